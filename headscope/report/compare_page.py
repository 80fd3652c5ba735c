"""Two runs beside each other as one HTML page, with the tables as files; see ``comparing`` for what is compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from headscope.errors import RequestError
from headscope.profiles.files import expanded
from headscope.report.comparing import (
    MEASURES,
    TABLE_OF,
    Comparison,
    RunSide,
    compare_runs,
    concepts_in,
    measured,
    names_of,
)
from headscope.report.facts import RunFacts, facts_of
from headscope.report.page import assets, embedded, environment
from headscope.report.page_data import columns, head_measure
from headscope.report.words import words_of
from headscope.report.writing import facts_from, readable_tables
from headscope.runs.atomic import check_folder_writable, write_text_atomic
from headscope.runs.folder import Run

PAGE = "compare.html"
_LABELS = {
    "attention": "Δ attention",
    "value_weighted": "Δ value-weighted attention",
    "effect_mean": "effect of mean ablation",
    "effect_zero": "effect of zero ablation",
    "sufficiency": "patching: brings it (sufficiency)",
    "necessity": "patching: takes it away (necessity)",
    "attribution_patching": "predicted effect",
}
_KINDS = {"effects": "effect", "patching": "patch", "scores": "score"}
_SCRIPTS = ("format.js", "state.js", "map.js", "data_table.js", "compare.js")


def compare(first: str | Path, second: str | Path, out: str | Path, *, force: bool = False) -> tuple[Comparison, Path]:
    """Compare two runs; write ``compare.html``, ``agreement.csv``, ``changed_verdicts.csv``, ``verdict_counts.csv``.

    Returns:
        What was found, and the page. ``out`` is made where it is missing.

    Raises:
        RequestError: a folder holds no run, the output cannot be written, or a file is there already with other
            content and ``force`` is not set.
    """
    runs = [Run.open(first), Run.open(second)]
    sides, problems = _sides(runs)
    found = compare_runs(*sides)
    found = replace(found, notes=(*problems, *found.notes))
    files = {
        PAGE: render_comparison(sides[0], sides[1], found),
        "agreement.csv": _csv(found.agreement),
        "changed_verdicts.csv": _csv(found.changed),
        "verdict_counts.csv": _csv(found.counts),
    }
    folder = expanded(out)
    check_folder_writable(folder)
    changed = [name for name, text in files.items() if _differs(folder / name, text)]
    if changed and not force:
        raise RequestError(
            f"{changed[0]} is there already with other content", where=str(folder), fix="another --out, or --force"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_text_atomic(folder / name, text)
    return found, folder / PAGE


def default_folder(first: str | Path, second: str | Path) -> Path:
    """``runs/compare-<request>-<request>``."""
    digests = [Run.open(path).manifest.request_digest for path in (first, second)]
    return Path("runs") / f"compare-{'-'.join(digests)}"


def render_comparison(first: RunSide, second: RunSide, found: Comparison) -> str:
    """The page of a comparison."""
    data = {
        "shape": [max(pair) for pair in zip(first.facts.shape, second.facts.shape, strict=True)],
        "heads_per_layer": list(first.facts.heads_per_layer),
        "concepts": list(dict.fromkeys(name for side in (first, second) for name in concepts_in(side))),
        "measures": [],
        "language": "en",
        "words": {"en": {key: words_of("en").entries[key] for key in ("maps", "grids", "verdicts", "columns")}},
        "verdicts": {},
        "runs": [
            {"name": side.name, "shape": list(side.facts.shape), "measures": _maps(side)} for side in (first, second)
        ],
        "agreement": columns(found.agreement.assign(label=found.agreement["measure"].map(_LABELS)), _AGREEMENT),
        "changed": columns(found.changed, map(str, found.changed.columns)),
        "counts": columns(found.counts, map(str, found.counts.columns)),
    }
    return (
        environment()
        .get_template("compare.html.j2")
        .render(first=first, second=second, notes=found.notes, data=embedded(data), **assets(_SCRIPTS))
    )


_AGREEMENT = ("concept", "label", "n_heads", "rho", "ci_low", "ci_high", "largest_difference", "at_head", "unit")


def _sides(runs: list[Run]) -> tuple[list[RunSide], list[str]]:
    tables: list[dict[str, pd.DataFrame]] = []
    facts: list[RunFacts] = []
    problems: list[str] = []
    for run in runs:
        read, trouble = readable_tables(run)
        tables.append({name: table for name, table in read.items() if len(table)})
        facts.append(facts_of(facts_from(run), tables[-1]))
        problems += [f"{run.path.name}: {sentence}" for sentence in trouble]
    names = names_of(facts)
    return [RunSide(name, of, fact) for name, of, fact in zip(names, tables, facts, strict=True)], problems


def _maps(side: RunSide) -> list[dict[str, Any]]:
    """Each measure's numbers by concept; the script draws the same measure of both runs beside each other."""
    found: list[dict[str, Any]] = []
    for measure in MEASURES:
        rows = measured(side.tables, measure)
        if len(rows):
            kind = _KINDS.get(TABLE_OF.get(measure, ""), "screen")
            found.append(
                head_measure(kind, measure, "", rows, concepts_in(side), [words_of("en")])
                | {"label": {"en": _LABELS[measure]}}
            )
    return found


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() != text.encode("utf-8")
