"""What verbs print of a run: facts for machines, the tables people look at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headscope.cli import console

if TYPE_CHECKING:
    import pandas as pd

    from headscope.runs.folder import Run

ASSAY = {
    "concept": "concept",
    "estimate": "concept − control (nats)",
    "ci_low": "from",
    "ci_high": "to",
    "share_right": "prompts right",
    "shown": "shown",
}
COVERAGE = {
    "concept": "concept",
    "n_prompts": "prompts",
    "n_spans": "with span",
    "n_paired_equal": "equal pairs",
    "n_paired_unequal": "unequal pairs",
    "n_length_matched": "length-matched",
    "n_without_query": "nothing after span",
    "n_without_remainder": "nothing beside sinks",
    "coverage_share": "coverage",
}
SCREEN = {
    "concept": "concept",
    "name": "head",
    "estimate": "Δ attention",
    "ci_low": "from",
    "ci_high": "to",
    "q_value": "q",
    "n_templates": "templates",
    "status": "status",
}
EFFECTS = {
    "concept": "concept",
    "heads": "heads",
    "edit": "edit",
    "outcome": "outcome",
    "baseline_mean": "baseline",
    "edited_mean": "edited",
    "estimate": "Δ",
    "ci_low": "from",
    "ci_high": "to",
    "p_value": "p",
    "mde": "detectable",
    "status": "status",
}
SCORES = {
    "concept": "concept",
    "measure": "score",
    "rank": "rank",
    "name": "head",
    "estimate": "predicted",
    "exact_estimate": "exact (nats)",
    "exact_sim_low": "from",
    "exact_sim_high": "to",
}
RANKING = {
    "concept": "concept",
    "by": "by",
    "rank": "rank",
    "name": "head",
    "screen_delta": "Δ attention",
    "screen_q": "q",
    "effect_estimate": "effect (nats)",
    "effect_ci_low": "from",
    "effect_ci_high": "to",
    "verdict": "verdict",
}
PATCHING = {
    "concept": "concept",
    "direction": "direction",
    "heads": "heads",
    "unpatched_mean": "unpatched",
    "control_patched_mean": "control patch",
    "patched_mean": "patch",
    "estimate": "Δ (nats)",
    "ci_low": "from",
    "ci_high": "to",
    "p_max_t": "family-wise p",
    "share_recovered": "share recovered",
    "share_low": "share from",
    "share_high": "share to",
}
WRITTEN_PATCHED = {
    "concept": "concept",
    "direction": "direction",
    "outcome": "outcome",
    "unpatched_mean": "unpatched",
    "control_patched_mean": "control patch",
    "patched_mean": "patch",
    "estimate": "Δ",
    "ci_low": "from",
    "ci_high": "to",
    "p_value": "p",
    "mde": "detectable",
}
DISSOCIATION = {
    "concept": "concept",
    "other": "other",
    "direction": "direction",
    "own_heads": "own head",
    "other_heads": "other's head",
    "own_estimate": "through own (nats)",
    "other_estimate": "through other's (nats)",
    "estimate": "difference",
    "ci_low": "from",
    "ci_high": "to",
    "double": "detectable both ways",
}


def served(work: Callable[[], Run]) -> Run:
    """The run that ``work`` makes, or the finished one it finds; then nothing was changed, and a note says so."""
    from headscope.runs.folder import RunFinished

    try:
        return work()
    except RunFinished as finished:
        console.note(str(finished))
        return finished.run
    except BaseException as error:
        for note in getattr(error, "__notes__", ()):
            console.note(note)
        raise


def facts(run: Run) -> dict[str, Any]:
    """A run in a few facts, for ``--json``."""
    return {
        "run": str(run.path),
        "verb": run.manifest.request.verb,
        "status": run.manifest.status,
        "request": run.manifest.request_digest,
        "model": run.manifest.model.get("name"),
        "profile": run.manifest.profile.get("name"),
        "seed": run.manifest.request.seed,
        "warnings": run.manifest.warnings,
        "tables": {name: str(run.path / "tables" / f"{name}.csv") for name in run.tables},
    }


def print_rows(title: str, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Rows of a table under ``columns``; a column ``name`` is made of layer and head."""
    rows = console.records(table)
    if "name" in columns:
        rows = [row | {"name": f"{row['layer']}:{row['head']}"} for row in rows]
    console.print_table(title, rows, columns)


def top_screen(screen: pd.DataFrame, top_n: int) -> pd.DataFrame:
    """The ``top_n`` rows of each concept with the largest |Δ attention|, of the query and control that rank heads."""
    from headscope.stats.ranking import primary_screen

    rows = primary_screen(screen)
    order = rows["estimate"].abs().sort_values(ascending=False, kind="stable").index
    return (
        rows.loc[order]
        .groupby("concept", sort=False)
        .head(top_n)
        .sort_values("concept", key=_in_order(rows), kind="stable")
    )


def top_patches(patching: pd.DataFrame, top_n: int) -> pd.DataFrame:
    """For each concept and direction the ``top_n`` patches that move its log-odds most against the control patch."""
    from headscope.stats.patching import primary_patches

    rows = primary_patches(patching)
    order = rows["estimate"].abs().sort_values(ascending=False, kind="stable").index
    return rows.loc[order].groupby(["concept", "direction"], sort=False).head(top_n).sort_index()


def _in_order(rows: pd.DataFrame) -> Callable[[pd.Series], pd.Series]:
    place = {name: index for index, name in enumerate(dict.fromkeys(rows["concept"]))}
    return lambda concepts: concepts.map(place)


def print_unfinished(run: Run) -> None:
    """That a run is not finished, and what is kept of it, on standard error."""
    if run.manifest.status != "finished":
        console.warn(
            f"this run is not finished (status: {run.manifest.status}); what it holds is what there is. "
            f"{len(run.shards)} finished pieces are kept, from which the command that began it goes on"
        )


def print_warnings(run: Run) -> None:
    """What a reader of the numbers must know, on standard error."""
    for warning in run.manifest.warnings:
        console.warn(warning)
    shards: Any = run.manifest.record.get("shards", {})
    damaged = shards.get("damaged") if isinstance(shards, dict) else None  # a manifest may have been edited by hand
    for name in damaged if isinstance(damaged, list) else ():
        console.warn(f"a kept piece was damaged or of another version and was run again: {name}")
