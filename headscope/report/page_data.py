"""What the page draws, as one JSON-able mapping: the run's tables by head, its arrays by prompt, its texts with marks.

Tables lie column by column, and numbers keep six digits, because the page is one file that a model of a thousand heads
must fit into; ``tables/`` keeps them in full. A missing number is null. Values of single prompts are little-endian
float32 in base64. Nothing is decided here: which row is which head's stands in ``plots.selecting``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.plots.curves import curve_rows
from headscope.plots.fast_vs_exact import both_ways
from headscope.plots.patch_heatmap import lone_patches
from headscope.plots.selecting import both_known, numbers, screen_rows
from headscope.report.evidence import Effect
from headscope.report.findings import WAY, ConceptFindings
from headscope.report.html import cell_plain
from headscope.report.page_texts import examples_of, prompt_texts, texts_of
from headscope.report.run_report import RunContent
from headscope.report.telling import Teller
from headscope.report.words import Words
from headscope.stats.ranking import OVERALL, single_effects
from headscope.terms import (
    AGREEING_EDIT,
    DAMAGE_OUTCOMES,
    DECIDING_EDIT,
    PRIMARIES,
    PRIMARY,
    RANDOM_BAND,
    REQUESTED,
    SINGLE,
)

_DIGITS = 6
_CELLS = ("estimate", "ci_low", "ci_high", "sim_low", "sim_high", "p_value", "q_value", "p_max_t", "mde")
_VERDICTS = (
    "concept heads verdict reason estimate sim_low sim_high attends attention_measure threshold_nats attention_share "
    "attention_share_low attention_share_high specificity specificity_low specificity_high perplexity_ratio_high "
    "templates_needed"
)
_LAYERS = "concept layer n_heads mean_delta mean_abs_delta max_delta max_delta_head n_attending effect_sum effect_min"


def page_data(content: RunContent, arrays: Mapping[str, xr.Dataset], words: Sequence[Words]) -> dict[str, Any]:
    """Everything that the page's script reads; any table, and any verb's arrays, may be missing."""
    tables, facts, findings = content.tables, content.facts, content.findings
    concepts = [found.concept for found in findings]
    return {
        "model": facts.model,
        "shape": list(facts.shape),
        "heads_per_layer": list(facts.heads_per_layer),
        "concepts": concepts,
        "awaited": [stage.name for stage in facts.stages if stage.open],
        "not_measured": facts.n_not_measured,
        "primary_outcome": _primary(tables),
        "deciding_edit": DECIDING_EDIT,
        "agreeing_edit": AGREEING_EDIT,
        "measures": [
            # Damage is measured on control prompts, whose class is no concept.
            head_measure(kind, name, edit, rows, [None] if name in DAMAGE_OUTCOMES else concepts, words)
            for kind, name, edit, rows in _measures(tables)
            if len(rows)
        ],
        "verdicts": columns(tables.get("verdicts", pd.DataFrame()), _VERDICTS.split()),
        "reads": _reads(tables),
        "pairs": _pairs(content),
        "predicted": _predicted(tables),
        "strips": {"effect": _effect_strips(arrays, concepts), "screen": _screen_strips(arrays, concepts)},
        "prompts": prompt_texts(tables),
        "examples": examples_of(arrays),
        "texts": texts_of(tables),
        "sets": _sets(findings, words),
        "curves": _curves(tables),
        "layers": columns(tables.get("layers", pd.DataFrame(columns=_LAYERS.split())), _LAYERS.split()),
    }


def columns(table: pd.DataFrame, names: Iterable[str]) -> dict[str, list[Any]]:
    """Some columns of a table, name -> cells; those it lacks are left out."""
    return {name: [_cell(value) for value in table[name].tolist()] for name in names if name in table.columns}


def packed(values: np.ndarray) -> str:
    """An array as base64 of little-endian float32, in C order."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _cell(value: Any) -> Any:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, str | bool | int):
        return value
    number = float(value)
    if not isfinite(number):
        return None
    return float(f"{number:.{_DIGITS}g}")


def _measures(tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Kind, name, edit and rows of every measure of single heads: looked at, removed, patched, predicted."""
    if "screen" in tables:
        for measure in dict.fromkeys(map(str, tables["screen"]["measure"])):
            yield "screen", measure, "", screen_rows(tables["screen"], measure)
    if "effects" in tables:
        effects = tables["effects"]
        alone = effects[(effects["role"] == SINGLE) | ((effects["role"] == REQUESTED) & (effects["k"] == 1))]
        for edit in dict.fromkeys(map(str, alone["edit"])):
            for outcome in dict.fromkeys(map(str, alone.loc[alone["edit"] == edit, "outcome"])):
                yield "effect", outcome, edit, single_effects(effects, edit=edit, outcome=outcome)
    if "patching" in tables:
        rows = lone_patches(tables["patching"])
        for direction in WAY:
            yield "patch", direction, "", rows[rows["direction"] == direction]
    if "scores" in tables:
        for (measure, edit), part in tables["scores"].groupby(["measure", "edit"], sort=False):
            yield "score", str(measure), str(edit), part


def head_measure(
    kind: str,
    name: str,
    edit: str,
    rows: pd.DataFrame,
    concepts: Sequence[str | None],
    words: Sequence[Words],
) -> dict[str, Any]:
    """One measure of single heads: what it is called, and its rows for each concept (None for all), by column."""
    by_concept = {
        concept or "": columns(part, ("layer", "head", *_CELLS, "n_templates"))
        for concept in concepts
        if len(part := rows if concept is None else rows[rows["concept"] == concept])
    }
    unit = str(rows.iloc[0]["unit"])
    return {
        "kind": kind,
        "name": name,
        "edit": edit,
        "label": {one.code: _label(kind, name, one) for one in words},
        "unit": {one.code: one.unit(unit).strip() for one in words},
        "by_concept": by_concept,
    }


def _label(kind: str, name: str, words: Words) -> str:
    if kind in ("screen", "patch") and words.known("labels", name):
        return words.known("labels", name)
    return name.replace("_", " ") if kind == "score" else cell_plain(words.outcome(name))


def _reads(tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Any]]:
    """Where each head reads, a row a concept and head, with a few columns for each region."""
    regions = tables.get("attention_by_region")
    if regions is None:
        return {}
    short = {"share": "share", "share_low": "low", "share_high": "high", "written_norm": "norm"}
    keys = ["concept", "layer", "head"]
    parts = [
        rows[[*keys, *short]].rename(columns={name: f"{region}_{short[name]}" for name in short})
        for region, rows in regions.groupby("region", sort=False)
    ]
    wide = reduce(lambda one, other: one.merge(other, on=keys, how="left"), parts)
    return columns(wide, map(str, wide.columns))


def _pairs(content: RunContent) -> dict[str, list[Any]]:
    """Looking beside doing, a row a concept and head."""
    if "screen" not in content.tables or "effects" not in content.tables:
        return {}
    names = ("concept", "layer", "head", "screen_delta", "effect_estimate", "verdict")
    return columns(both_known(content.ranked), names)


def _predicted(tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Any]]:
    """What a gradient predicts beside the exact effect of the same edit, a row a head measured both ways."""
    if "scores" not in tables:
        return {}
    names = ("concept", "layer", "head", "estimate", "exact_estimate", "exact_sim_low", "exact_sim_high")
    return columns(both_ways(tables["scores"]), names)


def _primary(tables: Mapping[str, pd.DataFrame]) -> str:
    """The outcome that decides in this run: that of its assay, or of its effects."""
    measured = [name for table in ("assay", "effects") if table in tables for name in tables[table]["outcome"]]
    return next((name for name in measured if name in PRIMARIES), PRIMARY)


def _effect_strips(arrays: Mapping[str, xr.Dataset], concepts: Sequence[str]) -> dict[str, Any]:
    """Edited - baseline of each concept's own log-odds, by head and prompt, under the deciding edit."""
    parts: dict[str, dict[str, Any]] = {}
    for dataset in arrays.values():
        if not {"baseline", "edited"} <= set(dataset.data_vars) or "kind" not in dataset.coords:
            continue
        heads = [str(spec) for spec in dataset["heads"].to_numpy()]
        kinds = [str(kind) for kind in dataset["kind"].to_numpy()]
        chosen = [i for i, spec in enumerate(heads) if "," not in spec and kinds[i] == DECIDING_EDIT]
        of_prompt = dataset["concept"].to_numpy()
        lexicons = [str(name) for name in dataset["lexicon"].to_numpy()]
        for concept in concepts:
            rows = np.flatnonzero(of_prompt == concept)
            if not chosen or not len(rows) or concept not in lexicons or concept in parts:
                continue
            column = lexicons.index(concept)
            edited = dataset["edited"].to_numpy()[chosen][:, rows, column]
            change = edited - dataset["baseline"].to_numpy()[rows, column]
            parts[concept] = _strip([heads[i] for i in chosen], dataset["prompt"].to_numpy()[rows], change)
    return parts


def _screen_strips(arrays: Mapping[str, xr.Dataset], concepts: Sequence[str]) -> dict[str, Any]:
    """Attention - its control's, by head and prompt."""
    dataset = arrays.get("screen")
    if dataset is None or not {"attention", "attention_control"} <= set(dataset.data_vars):
        return {}
    change = (dataset["attention"] - dataset["attention_control"]).to_numpy()  # [prompt, layer, head]
    names = [f"{layer}:{head}" for layer in range(change.shape[1]) for head in range(change.shape[2])]
    of_prompt, ids = dataset["concept"].to_numpy(), dataset["prompt"].to_numpy()
    return {
        concept: _strip(names, ids[rows], change[rows].reshape(len(rows), len(names)).T)
        for concept in concepts
        if len(rows := np.flatnonzero(of_prompt == concept))
    }


def _strip(heads: Sequence[str], prompts: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    return {"heads": list(heads), "prompts": [str(name) for name in prompts], "values": packed(values)}


def _sets(findings: Sequence[ConceptFindings], words: Sequence[Words]) -> list[dict[str, Any]]:
    """Baseline beside every edit of each set of heads, outcome by outcome."""
    tellers = [Teller(one) for one in words]
    return [
        {
            "concept": one.concept,
            "heads": one.heads,
            "title": {teller.words.code: teller.set_title(one) for teller in tellers},
            "rows": [_set_row(effect, tellers) for effect in (*one.effects, *one.damage)],
        }
        for concept in findings
        for one in concept.sets
    ]


def _set_row(effect: Effect, tellers: Sequence[Teller]) -> dict[str, Any]:
    names = ("before", "after", "estimate", "low", "high", "p_value", "q_value", "mde")
    return {
        "outcome": {one.words.code: cell_plain(one.words.outcome(effect.outcome)) for one in tellers},
        "edit": {one.words.code: cell_plain(one.words.named("edits", effect.edit)) for one in tellers},
        "unit": {one.words.code: one.words.unit(effect.unit).strip() for one in tellers},
        "missing": {one.words.code: one.missing(effect) for one in tellers},
        **{name: _cell(getattr(effect, name)) for name in names},
    }


def _curves(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Cumulative sets of the primary outcome, role -> columns; ``random_band`` holds the range at each k."""
    effects = tables.get("effects")
    if effects is None:
        return {}
    rows = curve_rows(effects)
    rows = rows[rows["concept"] != OVERALL]
    found: dict[str, Any] = {}
    for concept, part in rows.groupby("concept", sort=False):
        lines: dict[str, Any] = {}
        for role, line in part.groupby("role", sort=False):
            if role == RANDOM_BAND:
                band = line.assign(k=numbers(line, "k")).groupby("k")["estimate"].agg(["min", "max"]).reset_index()
                lines[str(role)] = columns(band, ("k", "min", "max"))
            else:
                lines[str(role)] = columns(line.sort_values("k"), ("k", "heads", "estimate", "ci_low", "ci_high"))
        found[str(concept)] = lines
    return found
