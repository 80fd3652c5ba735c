"""Which heads look at the concept? Every head, in one pass over the prompts.

1. Each concept prompt's span is found in its tokens. The query is the prompt's last token (``last``), every token after
   the span (``after``), the span itself (``self``), or the last token of each of the profile's readouts, put after the
   prompt (``readout``: the place where the causal outcome is read; the mean over readouts).
2. Each prompt is compared with a control at the same place: its matched partner where both have the same number of
   tokens and the span at the same positions (``paired_equal``); a partner of other length separately, per span token
   (``paired_unequal_per_token``); without a partner the mean over control prompts of the same number of tokens, read
   at the same positions (``length_matched``).
3. Prompts are read a block at a time and only their sums are kept, so that beside the result memory stays flat however
   many prompts there are.
4. The difference, averaged within templates, gets an interval and a q-value (``stats.screen_table``).

``protocol="phase6"`` is the Phase 6 study's own measure instead; it compares words at position 1 with last tokens that
see many more keys, so its differences are confounded with position, and it is kept to reproduce the study's figures.
A screen says where heads look. It is never a statement about what they do (Jain & Wallace 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.errors import ProfileError, RequestError, one_of
from headscope.heads import every_head
from headscope.measure.attention import MEASURES, UNITS, read_probes
from headscope.profiles.types import Prompt
from headscope.stats import ScreenBlock, screen_table
from headscope.study import Study
from headscope.tables import TABLES
from headscope.terms import ATTENTION_OF_EVEN_SPREAD, EVEN_SPREAD
from headscope.verbs.examples import Example, attention_examples
from headscope.verbs.phase6_screen import screen_phase6
from headscope.verbs.result import Result, prompt_coords
from headscope.verbs.screen_plan import (
    Alike,
    Comparison,
    FloatArray,
    Read,
    View,
    by_length,
    compare,
    read_means,
    views_of,
)

PROTOCOLS = ("matched", "phase6")
QUERIES = ("last", "after", "self", "readout")
LOWEST_COVERAGE = 0.5
_SPREAD = ("attention", "attention_without_sinks")
CONTROL_KINDS = ("paired_equal", "paired_unequal_per_token", "length_matched")


class ScreenResult(Result):
    """``tables``: screen, coverage; named_spans where prompts have several named places. ``values``: each measure and
    its control, (prompt, layer, head), and the attention rows of a few prompts, ``example_attention`` (example, layer,
    head, token).
    """


def screen(
    study: Study, *, protocol: str = "matched", query: str = "last", allow_low_coverage: bool = False
) -> ScreenResult:
    """Difference in attention to the concept, for every head and concept.

    Args:
        study: what is asked of which model.
        protocol: ``matched``, or ``phase6`` for the study's own measure.
        query: which tokens look: ``last``, ``after``, ``self`` or ``readout``.
        allow_low_coverage: go on where fewer than half of a concept's prompts can be compared; the record says so.

    Raises:
        RequestError: an unknown protocol, query or concept, or an option that ``phase6`` has no use for.
        ProfileError: too few prompts of a concept can be compared.
    """
    model, settings = study.model, study.settings
    bos = model.bos if model.tokenizer.bos_token_id is not None else "auto"
    check_protocol(
        protocol, query, bos=bos, allow_low_coverage=allow_low_coverage, chat_template=settings.chat_template
    )
    if protocol == "phase6":
        if study.profile.has_tasks:
            raise RequestError(
                "protocol phase6 looks for the words of concepts", expected="a profile of concepts",
                got=f"the tasks {', '.join(study.names)}", fix="--protocol matched",
            )  # fmt: skip
        return ScreenResult(*screen_phase6(study))
    views = views_of(study.encoder, [*study.prompts, *study.profile.controls], study.profile, query)
    alike = by_length([views[control.id] for control in study.profile.controls])
    comparisons = [compare(prompt, views, alike) for prompt in study.prompts]
    coverage = _coverage(study.names, comparisons, protocol)
    warnings = study.warnings
    if not study.profile.has_tasks:  # whose marked places are compared with an even spread, which needs no partner
        warnings = [*warnings, *_check_coverage(coverage, comparisons, allow=allow_low_coverage)]

    halvings: list[int] = []
    read = partial(read_probes, model, batch_tokens=study.batch_tokens, pack=study.pack, halved=halvings.append)
    values = _dataset(study, comparisons, alike, read)
    coverage["n_without_remainder"] = [
        _n_without_remainder(values.isel(prompt=values.concept == name)) for name in study.names
    ]
    table = _table(study, comparisons, values, query)
    values = values.merge(
        attention_examples(model, _examples(study, views), batch_tokens=study.batch_tokens, pack=study.pack)
    )
    record: dict[str, Any] = {
        "protocol": protocol,
        "query": query,
        "concepts": list(study.names),
        "seed": study.seed,
        "batch_tokens": study.batch_tokens,
        "n_batches_halved": sum(halvings),
        "packed": bool(study.pack and model.tree_row_limit is not None),
        "chat_template": settings.chat_template,
        "low_coverage_allowed": allow_low_coverage,
        "warnings": warnings,
    }
    tables = {"screen": table, "coverage": coverage}
    if len(names := _span_names(study)) > 1:
        tables["named_spans"] = pd.concat([_of_place(study, name, query, read) for name in names], ignore_index=True)
    return ScreenResult(tables, values, record, "screen")


def _span_names(study: Study) -> list[str]:
    """The named places of the prompts, each once."""
    return list(dict.fromkeys(name for prompt in study.prompts for name in prompt.spans))


def _of_place(study: Study, name: str, query: str, read: Read) -> pd.DataFrame:
    """The screen of one named place alone; prompts that do not have it are left out."""
    controls = [_at_place(control, name) for control in study.profile.controls]
    prompts = [_at_place(prompt, name) for prompt in study.prompts if name in prompt.spans]
    views = views_of(study.encoder, [*prompts, *controls], study.profile, query)
    alike = by_length([views[control.id] for control in controls])
    comparisons = [compare(prompt, views, alike) for prompt in prompts]
    table = _table(study, comparisons, _dataset(study, comparisons, alike, read), query)
    return table.assign(span=name, family=table["family"] + f"/{name}")[list(TABLES["named_spans"].columns)]


def _at_place(prompt: Prompt, name: str) -> Prompt:
    return replace(prompt, span=prompt.spans.get(name), spans={})


def check_protocol(protocol: str, query: str, *, bos: str, allow_low_coverage: bool, chat_template: bool | str) -> None:
    """Raise RequestError where protocol or query do not exist, or the study's protocol is to do what it does not."""
    for what, value, known in (("protocol", protocol, PROTOCOLS), ("query", query, QUERIES)):
        one_of(what, value, known)
    asked = {
        f"--query {query}": query != QUERIES[0],
        "--allow-low-coverage": allow_low_coverage,
        "--chat-template": chat_template is not False,
        "--bos never": bos == "never",
    }
    unused = [option for option, given in asked.items() if given]
    if protocol == "phase6" and unused:
        raise RequestError(
            f"protocol phase6 has no use for {', '.join(unused)}",
            expected="the Phase 6 study's own measure: plain prompts after a BOS, words found by its lists",
            fix="leave it out, or use --protocol matched",
        )


def _examples(study: Study, views: Mapping[str, tuple[View, ...]]) -> Iterator[Example]:
    for prompt in study.prompts:
        view = views[prompt.id][0]
        tokens = partial(study.encoder.encode_prompt, prompt, view.continuation)
        template = study.templates[prompt.id]
        yield Example(prompt.id, prompt.concept, template, len(view.ids), tokens, view.span, view.queries)


def _coverage(names: Sequence[str], comparisons: Sequence[Comparison], protocol: str) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name in names:
        mine = [one for one in comparisons if one.prompt.concept == name]
        kinds = [one.kind for one in mine]
        usable = [one for one in mine if one.is_compared]
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
                "n_without_query": sum(one.n_span_tokens > 0 and not one.views for one in mine),
                "n_without_remainder": 0,  # known when read
                "coverage_share": len([one for one in usable if one.kind != "paired_unequal_per_token"])
                / max(1, len(mine)),
                "protocol": protocol,
                "note": "",
            }
        )
    return pd.DataFrame(rows)


def _n_without_remainder(values: xr.Dataset) -> int:
    """Heads' comparisons that ``attention_without_sinks`` lacks, next to nothing being left beside the sinks."""
    names = ("attention", "attention_without_sinks")
    compared, left = (values[name].notnull() & values[f"{name}_control"].notnull() for name in names)
    return int((compared & ~left).sum())


def _check_coverage(coverage: pd.DataFrame, comparisons: Sequence[Comparison], *, allow: bool) -> list[str]:
    warnings: list[str] = []
    for row in coverage.to_dict("records"):
        if row["coverage_share"] >= LOWEST_COVERAGE:
            continue
        name = row["concept"]
        left_out = [
            one.prompt.id
            for one in comparisons
            if one.prompt.concept == name and (not one.is_compared or one.kind == "paired_unequal_per_token")
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


def _dataset(study: Study, comparisons: Sequence[Comparison], alike: Alike, read: Read) -> xr.Dataset:
    """Every measure of each prompt and of its control (the mean over its controls), dims (prompt, layer, head)."""
    n_layers, n_heads = len(study.model.heads_per_layer), max(study.model.heads_per_layer)
    values, controls = read_means(comparisons, alike, (n_layers, n_heads), read, study.progress)
    prompts, counts = [one.prompt for one in comparisons], ("n_controls", "n_span_tokens", "n_control_span_tokens")
    variables: dict[str, Any] = {}
    for measure in MEASURES:
        attributes = {"unit": UNITS[measure]}
        variables[measure] = (("prompt", "layer", "head"), values[measure], attributes)
        variables[f"{measure}_control"] = (("prompt", "layer", "head"), controls[measure], attributes)
    if study.profile.has_tasks:
        even = _attention_of_even_spread(comparisons, values)
        variables[ATTENTION_OF_EVEN_SPREAD] = (("prompt", "layer", "head"), even, {"unit": UNITS["attention"]})
    return xr.Dataset(
        variables,
        coords=prompt_coords(study, prompts, layer=np.arange(n_layers), head=np.arange(n_heads))
        | {
            "control": ("prompt", [one.kind for one in comparisons]),
            **{name: ("prompt", [getattr(one, name) for one in comparisons]) for name in counts},
        },
    )


def _even_shares(comparisons: Sequence[Comparison]) -> FloatArray:
    """[n] what the marked tokens would get of attention that is even over all but the first token and the query.

    The mean over the queries that see any other token. NaN where only the first token is marked: what a head spends on
    it as a sink is not told from what it spends on a marked word.
    """

    def shares(view: View) -> list[float]:
        if not any(view.span):
            return []
        return [sum(0 < at < query for at in view.span) / (query - 1) for query in view.queries if query > 1]

    of = [[share for view in one.views for share in shares(view)] for one in comparisons]
    return np.array([np.mean(one) if one else np.nan for one in of])


def _attention_of_even_spread(comparisons: Sequence[Comparison], values: Mapping[str, FloatArray]) -> FloatArray:
    """[n, L, H] the same of all attention: the even share of what is left beside the sink and the query itself."""
    sink, itself = values["sink_share"], values["self_share"]
    first_is_marked = np.array([any(0 in view.span for view in one.views) for one in comparisons])
    # A marked first token's share stands on both sides: the sink's is no sign of looking.
    return _even_shares(comparisons)[:, None, None] * (1.0 - sink - itself) + sink * first_is_marked[:, None, None]


def _table(study: Study, comparisons: Sequence[Comparison], values: xr.Dataset, query: str) -> pd.DataFrame:
    """The screen table, one family (measure and kind of control) at a time, so that one family's copies are held."""
    heads = every_head(study.model.heads_per_layer)
    layer, head = [h.layer for h in heads], [h.head for h in heads]
    parts: list[pd.DataFrame] = []
    even = _even_shares(comparisons)
    for kind in (EVEN_SPREAD, *CONTROL_KINDS) if study.profile.has_tasks else CONTROL_KINDS:
        for measure in _SPREAD if kind == EVEN_SPREAD else MEASURES:
            blocks: list[ScreenBlock] = []
            for name in study.names:
                mine = [
                    p
                    for p, one in enumerate(comparisons)
                    if one.prompt.concept == name and (one.kind == kind or (kind == EVEN_SPREAD and one.views))
                ]
                if not mine:
                    continue
                value = values[measure].to_numpy()[mine][:, layer, head]
                control = values[f"{measure}_control"].to_numpy()[mine][:, layer, head]
                unit = UNITS[measure]
                if kind == EVEN_SPREAD and measure == "attention":
                    control = values[ATTENTION_OF_EVEN_SPREAD].to_numpy()[mine][:, layer, head]
                elif kind == EVEN_SPREAD:
                    control = np.broadcast_to(even[mine][:, None], value.shape)
                if kind == "paired_unequal_per_token":
                    value = value / np.array([comparisons[p].n_span_tokens for p in mine])[:, None]
                    control = control / np.array([comparisons[p].n_control_span_tokens for p in mine])[:, None]
                    unit = f"{unit}_per_token"
                labels = [study.templates[comparisons[p].prompt.id] for p in mine]
                blocks.append(ScreenBlock(name, query, measure, kind, unit, heads, value, control, labels))
            if blocks:
                parts.append(screen_table(blocks, seed=study.seed))
    return pd.concat(parts, ignore_index=True) if parts else screen_table([], seed=study.seed)
