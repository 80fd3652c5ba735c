"""Which texts a screen reads, which of them it compares, and their reading a block at a time.

1. ``views_of``: each prompt in the texts in which it is read (alone, or with each readout), as ids and places.
2. ``compare``: each concept prompt with its matched partner, or with all controls of its number of tokens, read at the
   prompt's own places. What such a mean over controls is depends on lengths and places alone, so it is kept once for
   all prompts that share them.
3. ``read_means``: the probes are read in blocks and added to the sums they belong to. Partners are read beside their
   prompts, so beside ids and sums nothing grows with the number of prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from headscope.errors import RequestError
from headscope.measure.attention import MEASURES, Probe
from headscope.measure.protocols import Progress
from headscope.profiles.types import Profile, Prompt
from headscope.tokens import Encoder, Tokens

FloatArray = npt.NDArray[np.float64]

PROBES_AT_ONCE = 4096
"""Probes of a block; fewer are read in one."""

Place = tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, ...], ...]]
"""Number of tokens of each view, span, queries of each view."""


@dataclass(frozen=True, slots=True)
class View:
    """One text in which a prompt is read: its ids [T], where its span and queries are (empty where there is none)."""

    sequence: int
    continuation: str
    ids: npt.NDArray[np.int32]
    span: tuple[int, ...]
    queries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One concept prompt and its control, by the views that are read of each.

    Attributes:
        prompt: the prompt.
        kind: of its control; empty where there is none.
        views: of the prompt; none where there is no query.
        controls: of its partner; none for a ``length_matched`` prompt.
        place: what a ``length_matched`` prompt's controls are read at.
        n_controls: prompts behind the control's value.
        n_span_tokens: of the prompt.
        n_control_span_tokens: of its control.
    """

    prompt: Prompt
    kind: str
    views: tuple[View, ...]
    controls: tuple[View, ...]
    place: Place | None
    n_controls: int
    n_span_tokens: int
    n_control_span_tokens: int

    @property
    def is_compared(self) -> bool:
        """Whether there is something to compare, and to compare it with."""
        return bool(self.views and self.n_controls)


Alike = Mapping[tuple[int, ...], Sequence[tuple[View, ...]]]
"""Control prompts' views, by their numbers of tokens."""


class Read(Protocol):
    """``read_probes`` with all but what is read settled."""

    def __call__(
        self, sequences: Sequence[Sequence[int]], probes: Sequence[Probe], *, progress: Progress | None
    ) -> dict[str, FloatArray]:
        """Measure -> [n_probes, n_layers, n_heads]."""
        ...


def views_of(encoder: Encoder, prompts: Sequence[Prompt], profile: Profile, query: str) -> dict[str, tuple[View, ...]]:
    """The texts in which each prompt is read: the prompt alone, or with each readout.

    Raises:
        RequestError: readouts are asked for and the profile has none.
    """
    if query == "readout" and not profile.readouts:
        raise RequestError(
            f'profile "{profile.name}" has no readouts to look from',
            expected="readouts in profile.yaml, or --query last",
        )
    views: dict[str, tuple[View, ...]] = {}
    n_sequences = 0
    for prompt in prompts:
        of_prompt: list[View] = []
        text = encoder.encode_prompt(prompt).text
        after = [encoder.continuation(text, readout) for readout in profile.readouts] if query == "readout" else [""]
        for continuation in after:
            tokens = encoder.encode_prompt(prompt, continuation)
            span = _marked(prompt, tokens, encoder, query)
            ids = np.array(tokens.ids, dtype=np.int32)
            of_prompt.append(View(n_sequences, continuation, ids, span, _queries(len(tokens) - 1, span, query)))
            n_sequences += 1
        views[prompt.id] = tuple(of_prompt)
    return views


def _marked(prompt: Prompt, tokens: Tokens, encoder: Encoder, query: str) -> tuple[int, ...]:
    """The tokens of all marked places. The token that looks is none of them, where a prompt has other places."""
    found = {at for span in prompt.marked for at in tokens.of_span(encoder.place_span(prompt, span))}
    if query == "last" and len(prompt.marked) > 1:
        found.discard(len(tokens) - 1)
    return tuple(sorted(found))


def _queries(last: int, span: tuple[int, ...], query: str) -> tuple[int, ...]:
    """The tokens that look; none where the span ends the text and so nothing comes after it."""
    if not span or (query != "self" and last in span):
        return ()
    return {"after": tuple(range(max(span) + 1, last + 1)), "self": span}.get(query, (last,))


def by_length(views: Sequence[tuple[View, ...]]) -> Alike:
    """Control prompts' views, by their numbers of tokens."""
    alike: dict[tuple[int, ...], list[tuple[View, ...]]] = {}
    for one in views:
        alike.setdefault(_lengths(one), []).append(one)
    return alike


def _lengths(views: tuple[View, ...]) -> tuple[int, ...]:
    return tuple(len(view.ids) for view in views)


def compare(prompt: Prompt, views: Mapping[str, tuple[View, ...]], alike: Alike) -> Comparison:
    """Find the prompt's control."""
    mine = views[prompt.id]
    span = mine[0].span
    if not span:
        return Comparison(prompt, "", (), (), None, 0, 0, 0)
    read = mine if mine[0].queries else ()
    partner = views.get(prompt.pair, ()) if prompt.pair is not None else ()
    if partner and partner[0].span:
        equal = len(partner[0].ids) == len(mine[0].ids) and partner[0].span == span
        kind = "paired_equal" if equal else "paired_unequal_per_token"
        controls = tuple(view for view in partner if view.queries)
        return Comparison(prompt, kind, read, controls, None, int(bool(controls)), len(span), len(partner[0].span))
    n_alike = len(alike.get(_lengths(mine), ()))
    place = (_lengths(mine), span, tuple(view.queries for view in mine)) if n_alike and read else None
    kind = "length_matched" if n_alike else ""
    return Comparison(prompt, kind, read, (), place, n_alike, len(span), len(span))


def read_means(
    comparisons: Sequence[Comparison],
    alike: Alike,
    shape: tuple[int, int],
    read: Read,
    progress: Progress | None = None,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Every measure of each prompt and of its control: means over views, and over controls where there are several.

    ``shape`` is (n_layers, n_heads); ``progress`` is told how many probes of all are read.

    Returns:
        Of the prompts and of their controls: measure -> [n_prompts, n_layers, n_heads], the mean over the reads that
        have a value, NaN where none has.
    """
    n = len(comparisons)
    places = {one.place: 2 * n for one in comparisons if one.place is not None}
    places = {place: 2 * n + k for k, place in enumerate(places)}
    total = {measure: np.zeros((2 * n + len(places), *shape)) for measure in MEASURES}
    count = {measure: np.zeros(sums.shape, dtype=np.int32) for measure, sums in total.items()}
    n_reads = sum(len(one.views) + len(one.controls) for one in comparisons)
    n_reads += sum(len(lengths) * len(alike[lengths]) for lengths, _, _ in places)
    reads, n_done = _reads(comparisons, alike, places), 0
    while block := list(islice(reads, PROBES_AT_ONCE)):
        _add(total, count, block, read, _shifted(progress, n_done, len(block), n_reads))
        n_done += len(block)
    for measure, sums in total.items():
        np.divide(sums, count[measure], out=sums, where=count[measure] > 0)
        sums[count[measure] == 0] = np.nan
        for p, one in enumerate(comparisons):
            if one.place is not None:
                sums[n + p] = sums[places[one.place]]
    return {name: sums[:n] for name, sums in total.items()}, {name: sums[n : 2 * n] for name, sums in total.items()}


def _reads(
    comparisons: Sequence[Comparison], alike: Alike, places: Mapping[Place, int]
) -> Iterator[tuple[int, View, tuple[int, ...], tuple[int, ...]]]:
    """(row of the sums, view, queries, span); prompts that share a partner come one after the other."""
    n = len(comparisons)
    partner = [one.controls[0].sequence if one.controls else -1 for one in comparisons]
    for p in sorted(range(n), key=partner.__getitem__):
        yield from ((p, view, view.queries, view.span) for view in comparisons[p].views)
        yield from ((n + p, view, view.queries, view.span) for view in comparisons[p].controls)
    for (lengths, span, queries), row in places.items():
        for views in alike[lengths]:
            yield from ((row, view, queries[v], span) for v, view in enumerate(views))


def _add(
    total: dict[str, FloatArray],
    count: dict[str, npt.NDArray[np.int32]],
    block: Sequence[tuple[int, View, tuple[int, ...], tuple[int, ...]]],
    read: Read,
    progress: Progress | None,
) -> None:
    """Read one block, each probe once, and add each value that is one to its row."""
    sequences = {view.sequence: view.ids for _, view, _, _ in block}
    number = {sequence: index for index, sequence in enumerate(sequences)}
    asked = [Probe(number[view.sequence], queries, span) for _, view, queries, span in block]
    place = {probe: index for index, probe in enumerate(dict.fromkeys(asked))}
    found = read([ids.tolist() for ids in sequences.values()], list(place), progress=progress)
    rows, which = [row for row, _, _, _ in block], [place[probe] for probe in asked]
    for name, sums in total.items():
        values = found[name][which]
        missing = np.isnan(values)
        np.add.at(count[name], rows, ~missing)
        np.add.at(sums, rows, np.where(missing, 0.0, values))


def _shifted(progress: Progress | None, first: int, size: int, n: int) -> Callable[[str, int, int], None] | None:
    if progress is None:
        return None
    return lambda stage, done, total: progress(stage, first + size * done // total, n)
