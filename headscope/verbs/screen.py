"""Which heads look at the concept? Every head, in one pass over the prompts.

1. Each concept prompt's span is found in its tokens. The query is the last token (``last``), every token after the span
   (``after``), or the span itself (``self``).
2. Each prompt is compared with a control at the same place: its matched partner where both have the same number of
   tokens and the span at the same positions (``paired_equal``); a partner of other length separately, per span token
   (``paired_unequal_per_token``); without a partner the mean over control prompts of the same number of tokens, read
   at the same positions (``length_matched``).
3. The difference, averaged within templates, gets an interval and a q-value (``stats.screen_table``).

``protocol="phase6"`` is the Phase 6 study's own measure instead; it compares words at position 1 with last tokens that
see many more keys, so its differences are confounded with position, and it is kept to reproduce the study's figures.
A screen says where heads look. It is never a statement about what they do (Jain & Wallace 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.errors import ProfileError, RequestError
from headscope.heads import every_head
from headscope.measure.asked import encoder_of
from headscope.measure.attention import MEASURES, UNITS, Probe, read_probes
from headscope.measure.passes import Progress
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile, Prompt
from headscope.stats import ScreenBlock, screen_table
from headscope.tokens import Encoder, Tokens
from headscope.verbs.phase6_screen import screen_phase6
from headscope.verbs.request import batch_budget, chosen_concepts, templates_of
from headscope.verbs.result import Result

PROTOCOLS = ("matched", "phase6")
QUERIES = ("last", "after", "self")
LOWEST_COVERAGE = 0.5
CONTROL_KINDS = ("paired_equal", "paired_unequal_per_token", "length_matched")


class ScreenResult(Result):
    """``tables``: screen, coverage. ``values``: each measure and its control, (prompt, layer, head)."""


@dataclass(frozen=True)
class _Place:
    """A prompt's tokens and where its span and queries are; empty where there is none."""

    tokens: Tokens
    span: tuple[int, ...]
    queries: tuple[int, ...]


@dataclass(frozen=True)
class _Comparison:
    """One concept prompt, its probe, and the probes of its control."""

    prompt: Prompt
    kind: str
    probe: Probe | None
    controls: tuple[Probe, ...]
    n_span_tokens: int
    n_control_span_tokens: int


def screen(
    model: HeadModel,
    profile: Profile,
    *,
    protocol: str = "matched",
    query: str = "last",
    concepts: Sequence[str] | str | None = None,
    allow_low_coverage: bool = False,
    chat_template: bool = False,
    pack: bool = True,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> ScreenResult:
    """Difference in attention to the concept, for every head and concept.

    Args:
        model: the model.
        profile: what is asked.
        protocol: ``matched``, or ``phase6`` for the study's own measure.
        query: which tokens look: ``last``, ``after`` or ``self``; ignored by ``phase6``.
        concepts: only these; all by default.
        allow_low_coverage: go on where fewer than half of a concept's prompts can be compared; the record says so.
        chat_template: wrap prompts in the tokenizer's chat template.
        pack: share prefixes between prompts where the model allows it; results agree to 1e-5 either way.
        seed: of the sign-flips.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.

    Raises:
        RequestError: an unknown protocol, query or concept.
        ProfileError: too few prompts of a concept can be compared.
    """
    for what, value, known in (("protocol", protocol, PROTOCOLS), ("query", query, QUERIES)):
        if value not in known:
            raise RequestError(f'{what} "{value}" does not exist', expected=", ".join(known), got=value)
    names = chosen_concepts(profile, concepts)
    budget = batch_budget(batch_tokens)
    if protocol == "phase6":
        return ScreenResult(*screen_phase6(model, profile, names, seed=seed, batch_tokens=budget, progress=progress))
    encoder = encoder_of(model, chat_template=chat_template)
    prompts = [prompt for name in names for prompt in profile.prompts_of(name)]
    templates = templates_of([*prompts, *profile.controls])
    places = {prompt.id: _place(encoder, prompt, query) for prompt in (*prompts, *profile.controls)}
    index = {prompt_id: i for i, prompt_id in enumerate(places)}
    comparisons = [_compare(prompt, profile, places, index, query) for prompt in prompts]
    coverage = _coverage(names, comparisons, protocol)
    warnings = [*templates.warnings, *_check_coverage(coverage, comparisons, allow=allow_low_coverage)]

    probes = [probe for one in comparisons for probe in (one.probe, *one.controls) if probe is not None]
    distinct = list(dict.fromkeys(probes))
    sequences = [place.tokens.ids for place in places.values()]
    read = read_probes(model, sequences, distinct, batch_tokens=budget, pack=pack, progress=progress)
    values = _dataset(model, comparisons, templates.of, {probe: i for i, probe in enumerate(distinct)}, read)
    table = screen_table(_blocks(model, names, comparisons, values, templates.of, query), seed=seed)
    record: dict[str, Any] = {
        "protocol": protocol,
        "query": query,
        "concepts": list(names),
        "seed": seed,
        "batch_tokens": budget,
        "packed": bool(pack and model.tree_row_limit is not None),
        "chat_template": chat_template,
        "low_coverage_allowed": allow_low_coverage,
        "warnings": warnings,
    }
    return ScreenResult({"screen": table, "coverage": coverage}, values, record, "screen")


def _place(encoder: Encoder, prompt: Prompt, query: str) -> _Place:
    tokens = encoder.encode(prompt.text, name=f"prompt {prompt.id}")
    if prompt.span is None:
        return _Place(tokens, (), ())
    span = tokens.of_span(encoder.move_span(prompt.text, prompt.span))
    return _Place(tokens, span, _queries(tokens, span, query))


def _queries(tokens: Tokens, span: tuple[int, ...], query: str) -> tuple[int, ...]:
    """The tokens that look; none where the span ends the prompt and so nothing comes after it."""
    last = len(tokens) - 1
    if not span or (query != "self" and last in span):
        return ()
    return {"last": (last,), "after": tuple(range(max(span) + 1, last + 1)), "self": span}[query]


def _compare(
    prompt: Prompt, profile: Profile, places: dict[str, _Place], index: dict[str, int], query: str
) -> _Comparison:
    """Find the prompt's control; ``kind`` is empty where there is none, and the probe None where there is no query."""
    place = places[prompt.id]
    if not place.span:
        return _Comparison(prompt, "", None, (), 0, 0)
    probe = Probe(index[prompt.id], place.queries, place.span) if place.queries else None
    partner = places.get(prompt.pair) if prompt.pair is not None else None
    if partner is not None and prompt.pair is not None and partner.span:
        equal = len(partner.tokens) == len(place.tokens) and partner.span == place.span
        kind = "paired_equal" if equal else "paired_unequal_per_token"
        controls = (Probe(index[prompt.pair], partner.queries, partner.span),) if partner.queries else ()
        return _Comparison(prompt, kind, probe, controls, len(place.span), len(partner.span))
    alike = [control for control in profile.controls if len(places[control.id].tokens) == len(place.tokens)]
    controls = tuple(Probe(index[control.id], place.queries, place.span) for control in alike) if place.queries else ()
    kind = "length_matched" if alike else ""
    return _Comparison(prompt, kind, probe, controls, len(place.span), len(place.span))


def _coverage(names: Sequence[str], comparisons: Sequence[_Comparison], protocol: str) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name in names:
        mine = [one for one in comparisons if one.prompt.concept == name]
        kinds = [one.kind for one in mine]
        usable = [one for one in mine if one.probe is not None and one.controls]
        rows.append(
            {
                "concept": name,
                "n_prompts": len(mine),
                "n_spans": sum(one.n_span_tokens > 0 for one in mine),
                "n_implicit": sum(one.prompt.implicit for one in mine),
                "n_paired_equal": kinds.count("paired_equal"),
                "n_paired_unequal": kinds.count("paired_unequal_per_token"),
                "n_length_matched": kinds.count("length_matched"),
                "n_unmatched": kinds.count(""),
                "n_without_query": sum(one.n_span_tokens > 0 and one.probe is None for one in mine),
                "coverage_share": len([one for one in usable if one.kind != "paired_unequal_per_token"])
                / max(1, len(mine)),
                "protocol": protocol,
                "note": "",
            }
        )
    return pd.DataFrame(rows)


def _check_coverage(coverage: pd.DataFrame, comparisons: Sequence[_Comparison], *, allow: bool) -> list[str]:
    warnings: list[str] = []
    for row in coverage.to_dict("records"):
        if row["coverage_share"] >= LOWEST_COVERAGE:
            continue
        name = row["concept"]
        left_out = [
            one.prompt.id
            for one in comparisons
            if one.prompt.concept == name
            and (one.probe is None or not one.controls or one.kind == "paired_unequal_per_token")
        ]
        listed = ", ".join(left_out[:10]) + (f" and {len(left_out) - 10} more" if len(left_out) > 10 else "")
        problem = f'only {row["coverage_share"]:.0%} of the prompts of "{name}" can be compared with a matched control'
        if not allow:
            raise ProfileError(
                problem,
                expected=f"at least {LOWEST_COVERAGE:.0%}: a span that is found, text after it, and a control prompt "
                "of the same number of tokens",
                got=f"no comparison for {listed}",
                fix="give pairs of equal length in the profile, or more control prompts; --allow-low-coverage goes on "
                "with what there is",
            )
        warnings.append(f"{problem} ({listed} left out); low coverage was allowed")
    return warnings


def _dataset(
    model: HeadModel,
    comparisons: Sequence[_Comparison],
    templates: dict[str, str],
    place: dict[Probe, int],
    read: dict[str, np.ndarray],
) -> xr.Dataset:
    """Every measure of each prompt and of its control (the mean over its controls), dims (prompt, layer, head)."""
    n_layers, n_heads = len(model.heads_per_layer), max(model.heads_per_layer)
    variables: dict[str, Any] = {}
    for measure in MEASURES:
        values = np.full((len(comparisons), n_layers, n_heads), np.nan)
        controls = np.full_like(values, np.nan)
        for p, one in enumerate(comparisons):
            if one.probe is not None:
                values[p] = read[measure][place[one.probe]]
            if one.controls:
                controls[p] = np.mean([read[measure][place[probe]] for probe in one.controls], axis=0)
        attributes = {"unit": UNITS[measure]}
        variables[measure] = (("prompt", "layer", "head"), values, attributes)
        variables[f"{measure}_control"] = (("prompt", "layer", "head"), controls, attributes)
    return xr.Dataset(
        variables,
        coords={
            "prompt": [one.prompt.id for one in comparisons],
            "layer": np.arange(n_layers),
            "head": np.arange(n_heads),
            "concept": ("prompt", [one.prompt.concept for one in comparisons]),
            "template": ("prompt", [templates[one.prompt.id] for one in comparisons]),
            "pair": ("prompt", [one.prompt.pair or "" for one in comparisons]),
            "control": ("prompt", [one.kind for one in comparisons]),
            "n_controls": ("prompt", [len(one.controls) for one in comparisons]),
            "n_span_tokens": ("prompt", [one.n_span_tokens for one in comparisons]),
            "n_control_span_tokens": ("prompt", [one.n_control_span_tokens for one in comparisons]),
        },
    )


def _blocks(
    model: HeadModel,
    names: Sequence[str],
    comparisons: Sequence[_Comparison],
    values: xr.Dataset,
    templates: dict[str, str],
    query: str,
) -> list[ScreenBlock]:
    heads = every_head(model.heads_per_layer)
    layer, head = [h.layer for h in heads], [h.head for h in heads]
    blocks: list[ScreenBlock] = []
    for kind in CONTROL_KINDS:
        for measure in MEASURES:
            for name in names:
                mine = [p for p, one in enumerate(comparisons) if one.prompt.concept == name and one.kind == kind]
                if not mine:
                    continue
                value = values[measure].to_numpy()[mine][:, layer, head]
                control = values[f"{measure}_control"].to_numpy()[mine][:, layer, head]
                unit = UNITS[measure]
                if kind == "paired_unequal_per_token":
                    value = value / np.array([comparisons[p].n_span_tokens for p in mine])[:, None]
                    control = control / np.array([comparisons[p].n_control_span_tokens for p in mine])[:, None]
                    unit = f"{unit}_per_token"
                ids = [comparisons[p].prompt.id for p in mine]
                labels = [templates[prompt_id] for prompt_id in ids]
                blocks.append(ScreenBlock(name, query, measure, kind, unit, heads, value, control, labels))
    return blocks
