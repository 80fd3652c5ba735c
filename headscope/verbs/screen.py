"""Which heads look at the concept? Every head, in one pass over the prompts.

1. Each concept prompt's span is found in its tokens. The query is the prompt's last token (``last``), every token after
   the span (``after``), the span itself (``self``), or the last token of each of the profile's readouts, put after the
   prompt (``readout``: the place where the causal outcome is read; the mean over readouts).
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
from headscope.verbs.examples import Example, attention_examples
from headscope.verbs.phase6_screen import screen_phase6
from headscope.verbs.request import batch_budget, chosen_concepts, templates_of
from headscope.verbs.result import Result

PROTOCOLS = ("matched", "phase6")
QUERIES = ("last", "after", "self", "readout")
LOWEST_COVERAGE = 0.5
CONTROL_KINDS = ("paired_equal", "paired_unequal_per_token", "length_matched")


class ScreenResult(Result):
    """``tables``: screen, coverage. ``values``: each measure and its control, (prompt, layer, head), and the attention
    rows of a few prompts, ``example_attention`` (example, layer, head, token).
    """


@dataclass(frozen=True)
class _View:
    """One text in which a prompt is read: its tokens, where its span and queries are (empty where there is none)."""

    sequence: int
    tokens: Tokens
    span: tuple[int, ...]
    queries: tuple[int, ...]

    def probe(self, queries: tuple[int, ...], span: tuple[int, ...]) -> Probe:
        return Probe(self.sequence, queries, span)


@dataclass(frozen=True)
class _Comparison:
    """One concept prompt, its probes, and the probes of its control; values are means over probes."""

    prompt: Prompt
    kind: str
    probes: tuple[Probe, ...]
    controls: tuple[Probe, ...]
    n_controls: int
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
        query: which tokens look: ``last``, ``after``, ``self`` or ``readout``; ignored by ``phase6``.
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
    views = _views(encoder, [*prompts, *profile.controls], profile, query)
    comparisons = [_compare(prompt, profile, views) for prompt in prompts]
    coverage = _coverage(names, comparisons, protocol)
    warnings = [*templates.warnings, *_check_coverage(coverage, comparisons, allow=allow_low_coverage)]

    distinct = list(dict.fromkeys(probe for one in comparisons for probe in (*one.probes, *one.controls)))
    sequences = [view.tokens.ids for of_prompt in views.values() for view in of_prompt]
    halvings: list[int] = []
    read = read_probes(
        model, sequences, distinct, batch_tokens=budget, pack=pack, progress=progress, halved=halvings.append
    )
    values = _dataset(model, comparisons, templates.of, {probe: i for i, probe in enumerate(distinct)}, read)
    table = screen_table(_blocks(model, names, comparisons, values, templates.of, query), seed=seed)
    shown = [_example(prompt, views[prompt.id][0], templates.of) for prompt in prompts]
    values = values.merge(attention_examples(model, shown, batch_tokens=budget, pack=pack))
    record: dict[str, Any] = {
        "protocol": protocol,
        "query": query,
        "concepts": list(names),
        "seed": seed,
        "batch_tokens": budget,
        "n_batches_halved": sum(halvings),
        "packed": bool(pack and model.tree_row_limit is not None),
        "chat_template": chat_template,
        "low_coverage_allowed": allow_low_coverage,
        "warnings": warnings,
    }
    return ScreenResult({"screen": table, "coverage": coverage}, values, record, "screen")


def _views(encoder: Encoder, prompts: Sequence[Prompt], profile: Profile, query: str) -> dict[str, tuple[_View, ...]]:
    """The texts in which each prompt is read: the prompt alone, or with each readout."""
    if query == "readout" and not profile.readouts:
        raise RequestError(
            f'profile "{profile.name}" has no readouts to look from',
            expected="readouts in profile.yaml, or --query last",
        )
    continuations = [f" {readout}" for readout in profile.readouts] if query == "readout" else [""]
    views: dict[str, tuple[_View, ...]] = {}
    n_sequences = 0
    for prompt in prompts:
        of_prompt: list[_View] = []
        for continuation in continuations:
            tokens = encoder.encode(prompt.text, continuation, name=f"prompt {prompt.id}")
            span = () if prompt.span is None else tokens.of_span(encoder.move_span(prompt.text, prompt.span))
            of_prompt.append(_View(n_sequences, tokens, span, _queries(len(tokens) - 1, span, query)))
            n_sequences += 1
        views[prompt.id] = tuple(of_prompt)
    return views


def _example(prompt: Prompt, view: _View, templates: dict[str, str]) -> Example:
    return Example(prompt.id, prompt.concept, templates[prompt.id], view.tokens, view.span, view.queries)


def _queries(last: int, span: tuple[int, ...], query: str) -> tuple[int, ...]:
    """The tokens that look; none where the span ends the text and so nothing comes after it."""
    if not span or (query != "self" and last in span):
        return ()
    return {"after": tuple(range(max(span) + 1, last + 1)), "self": span}.get(query, (last,))


def _compare(prompt: Prompt, profile: Profile, views: dict[str, tuple[_View, ...]]) -> _Comparison:
    """Find the prompt's control; ``kind`` is empty where there is none, and ``probes`` where there is no query."""
    mine = views[prompt.id]
    span, queries = mine[0].span, mine[0].queries
    if not span:
        return _Comparison(prompt, "", (), (), 0, 0, 0)
    probes = tuple(view.probe(view.queries, view.span) for view in mine if queries)
    partner = views.get(prompt.pair, ()) if prompt.pair is not None else ()
    if partner and partner[0].span:
        equal = len(partner[0].tokens) == len(mine[0].tokens) and partner[0].span == span
        kind = "paired_equal" if equal else "paired_unequal_per_token"
        controls = tuple(view.probe(view.queries, view.span) for view in partner if view.queries)
        return _Comparison(prompt, kind, probes, controls, int(bool(controls)), len(span), len(partner[0].span))
    alike = [control for control in profile.controls if len(views[control.id][0].tokens) == len(mine[0].tokens)]
    controls = tuple(view.probe(queries, span) for control in alike for view in views[control.id] if queries)
    kind = "length_matched" if alike else ""
    return _Comparison(prompt, kind, probes, controls, len(alike), len(span), len(span))


def _coverage(names: Sequence[str], comparisons: Sequence[_Comparison], protocol: str) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name in names:
        mine = [one for one in comparisons if one.prompt.concept == name]
        kinds = [one.kind for one in mine]
        usable = [one for one in mine if one.probes and one.controls]
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
                "n_without_query": sum(one.n_span_tokens > 0 and not one.probes for one in mine),
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
            and (not one.probes or not one.controls or one.kind == "paired_unequal_per_token")
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
            if one.probes:
                values[p] = np.mean([read[measure][place[probe]] for probe in one.probes], axis=0)
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
            "n_controls": ("prompt", [one.n_controls for one in comparisons]),
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
