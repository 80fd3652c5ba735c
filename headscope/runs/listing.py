"""Many runs: what is in a folder of run folders.

Only manifests and the short table of verdicts are read. A folder whose manifest cannot be read is listed with the
reason; it stops nobody.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headscope.errors import RequestError
from headscope.runs.folder import MANIFEST, Run


@dataclass(frozen=True)
class RunSummary:
    """One run in a few facts.

    Attributes:
        run: its folder.
        verb: what was asked.
        model: by name.
        profile: by name.
        concepts: that were looked at.
        status: running, finished, failed or stopped; ``damaged`` where the manifest cannot be read.
        created: ISO 8601, UTC.
        seconds: of work, by the run's own clock; None where none was written.
        verdicts: how many heads or sets got each verdict.
        problem: why the manifest cannot be read.
    """

    run: str
    verb: str = ""
    model: str = ""
    profile: str = ""
    concepts: tuple[str, ...] = ()
    status: str = "damaged"
    created: str = ""
    seconds: float | None = None
    verdicts: dict[str, int] = field(default_factory=dict[str, int])
    problem: str | None = None


def run_folders(root: Path) -> list[Path]:
    """The run folders in ``root``, and ``root`` itself where it is one; sorted.

    Raises:
        RequestError: there is no such folder.
    """
    try:
        children = sorted(root.iterdir())
    except OSError as error:
        raise RequestError("folder of runs cannot be read", got=error.strerror, where=str(root)) from error
    return [folder for folder in (root, *children) if (folder / MANIFEST).is_file()]


def summarize_runs(
    root: Path,
    *,
    model: str | None = None,
    concept: str | None = None,
    status: str | None = None,
    verdict: str | None = None,
) -> Iterator[RunSummary]:
    """The runs in ``root`` that fit; a run fits ``verdict`` where one of its heads or sets got it."""
    for folder in run_folders(root):
        summary = _summary(folder)
        if (
            (model is None or summary.model == model)
            and (concept is None or concept in summary.concepts)
            and (status is None or summary.status == status)
            and (verdict is None or verdict in summary.verdicts)
        ):
            yield summary


def _summary(folder: Path) -> RunSummary:
    try:
        manifest = Run.open(folder).manifest
    except RequestError as error:
        return RunSummary(str(folder), problem=error.problem)
    asked = manifest.request.options.get("concepts") or manifest.request.options.get("concept") or []
    names = [asked] if isinstance(asked, str) else asked if isinstance(asked, list) else []
    return RunSummary(
        run=str(folder),
        verb=manifest.request.verb,
        model=str(manifest.model.get("name", "")),
        profile=str(manifest.profile.get("name", "")),
        concepts=tuple(map(str, names)),
        status=manifest.status,
        created=manifest.created,
        seconds=sum(manifest.timings.values()) if manifest.timings else None,
        verdicts=_verdicts(folder / "tables" / "verdicts.csv"),
    )


def _verdicts(path: Path) -> dict[str, int]:
    """Counted without pandas: a thousand tables are read in the time of a few."""
    if not path.is_file() or path.is_symlink():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return dict(sorted(Counter(row.get("verdict") or "" for row in csv.DictReader(file)).items()))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {"unreadable": 1}
