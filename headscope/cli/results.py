"""What verbs print of a run: facts for machines, the tables people look at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headscope.cli import console
from headscope.tables import TABLES
from headscope.terms import ANSWERS

if TYPE_CHECKING:
    import pandas as pd

    from headscope.runs.folder import Run


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


def print_rows(title: str, rows: pd.DataFrame, shown: str | Mapping[str, str]) -> None:
    """Rows under the headings of the table ``shown``, or under these; a column ``name`` is made of layer and head."""
    headings = TABLES[shown].headings() if isinstance(shown, str) else shown
    records = console.records(rows)
    if "name" in headings:
        records = [row | {"name": f"{row['layer']}:{row['head']}"} for row in records]
    console.print_table(title, records, headings)


def what_it_shows(run: Run) -> list[tuple[str, pd.DataFrame, str | Mapping[str, str]]]:
    """What the unedited model shows, as tables to print: of concepts the assay, of tasks also how often it is right."""
    assay = run.table("assay")
    if not (assay["outcome"] == ANSWERS).any():
        return [("Does the model show the concept?", assay, "assay")]
    titles = {"estimate": "clean − corrupted (nats)", "share_right": "clean above corrupted"}
    shown: list[tuple[str, pd.DataFrame, str | Mapping[str, str]]] = [
        ("Does the model do the task?", assay, TABLES["assay"].headings(titles=titles))
    ]
    if "accuracy" in run.tables:
        shown.append(("How often is it right?", run.table("accuracy"), "accuracy"))
    return shown


def written_headings() -> dict[str, str]:
    """Headings of what patches do to what the model writes."""
    shown = "concept direction outcome unpatched_mean control_patched_mean patched_mean estimate ci_low ci_high "
    shown += "p_value mde"
    titles = {"estimate": "Δ", "mde": TABLES["effects"].titles["mde"]}
    return TABLES["patching"].headings(tuple(shown.split()), titles)


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


def top_probes(probes: pd.DataFrame, top_n: int) -> pd.DataFrame:
    """The ``top_n`` rows of each concept with the largest AUROC, then accuracy."""
    best = probes.sort_values(["probe_auroc", "probe_accuracy"], ascending=False, kind="stable")
    best = best.groupby("concept", sort=False).head(top_n)
    return best.sort_values("concept", key=_in_order(probes), kind="stable")


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
