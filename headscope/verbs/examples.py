"""Where the heads look on a few prompts, token by token, for people to see: the screen's numbers are means over many.

The examples of a concept are its first prompts in the profile's order, one a template, never chosen by their result.
Of each, the whole attention row of one query is kept: the last token that looks, after the first readout where there
are readouts. A token's text is what it adds to the text before it, so that tokens put together give the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from headscope.measure.attention import UNITS, Probe, read_probes
from headscope.models.head_model import HeadModel
from headscope.tokens import Tokens

EXAMPLES = 3
"""Examples of each concept."""

_LONGEST = 96
"""Prompts of more tokens are no examples: nobody reads them, and their rows would outweigh the screen."""


@dataclass(frozen=True)
class Example:
    """A prompt that may be shown.

    Attributes:
        id: the prompt's id.
        concept: its concept.
        template: its template.
        n_tokens: of the text as the model sees it, with the readout.
        encode: gives these tokens; called for the prompts that are chosen.
        span: indices of the concept's tokens.
        queries: indices of the tokens that look.
    """

    id: str
    concept: str
    template: str
    n_tokens: int
    encode: Callable[[], Tokens]
    span: tuple[int, ...]
    queries: tuple[int, ...]


def attention_examples(model: HeadModel, prompts: Iterable[Example], *, batch_tokens: int, pack: bool) -> xr.Dataset:
    """The attention rows of the first ``EXAMPLES`` prompts of each concept.

    Candidates come in the profile's order; those without a query are no examples.

    Returns:
        ``example_attention`` (example, layer, head, token), shares of attention that sum to 1 over tokens (less where
        the model has attention sinks of its own), NaN behind a text's end and for heads a layer does not have.
        Coordinates: ``example`` the prompt's id, ``example_concept``, ``example_query`` the index of the token that
        looks, ``token_text`` and ``token_in_span`` (example, token). Without examples an empty dataset.
    """
    chosen = _choose(prompts)
    if not chosen:
        return xr.Dataset()
    probes = [Probe(s, one.queries[-1:], (key,), False) for s, one in enumerate(chosen) for key in range(_seen(one))]
    tokens = [one.encode() for one in chosen]
    read = read_probes(model, [one.ids for one in tokens], probes, batch_tokens=batch_tokens, pack=pack)["attention"]
    n_tokens = max(map(len, tokens))
    values = np.full((len(chosen), n_tokens, *read.shape[1:]), np.nan, dtype=np.float32)
    for probe, row in zip(probes, read, strict=True):
        values[probe.sequence, probe.keys[0]] = row
    texts = [[*_texts(one), *[""] * (n_tokens - len(one))] for one in tokens]
    in_span = [[index in one.span for index in range(n_tokens)] for one in chosen]
    return xr.Dataset(
        {
            "example_attention": (
                ("example", "layer", "head", "token"),
                np.moveaxis(values, 1, -1),
                {"unit": UNITS["attention"]},
            )
        },
        coords={
            "example": [one.id for one in chosen],
            "example_concept": ("example", [one.concept for one in chosen]),
            "example_query": ("example", [one.queries[-1] for one in chosen]),
            "token_text": (("example", "token"), texts),
            "token_in_span": (("example", "token"), in_span),
        },
    )


def _choose(prompts: Iterable[Example]) -> list[Example]:
    chosen: dict[tuple[str, str], Example] = {}
    for one in prompts:
        n_of_concept = sum(concept == one.concept for concept, _ in chosen)
        if one.queries and one.n_tokens <= _LONGEST and n_of_concept < EXAMPLES:
            chosen.setdefault((one.concept, one.template), one)
    return list(chosen.values())


def _seen(one: Example) -> int:
    """How many tokens the query can see, itself included."""
    return one.queries[-1] + 1


def _texts(tokens: Tokens) -> list[str]:
    """What each token adds to the text; empty for a BOS and for all but the last token of one character."""
    ends = [0]
    for _, end in tokens.offsets:
        ends.append(max(end, ends[-1]))
    return [tokens.text[first:last] for first, last in pairwise(ends)]
