"""A run and its folder.

1. ``Run.create`` makes the folder, takes its lock and writes the manifest as ``running``. On a folder that is there
   already it compares requests: another request is refused with what differs; the same one, finished, raises
   ``RunFinished`` and changes nothing; the same one, unfinished, goes on: what was derived is made anew, the pieces in
   ``shards/`` are used.
2. What the verbs made is written, each file in one step.
3. ``finish`` writes the manifest as ``finished``. From then on measured files never change; ranking, layers, verdicts,
   plots and reports may be added, and replaced with ``force``.

A run is a context manager: an exception leaves it ``failed``, a signal ``stopped``; a request that turns out wrong
before anything was written leaves no folder.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import xarray as xr

from headscope.errors import HeadscopeError, RequestError, WorkError, one_of
from headscope.profiles.files import expanded
from headscope.runs.arrays import arrays_to_bytes, read_arrays
from headscope.runs.atomic import (
    TEMPORARY_PREFIX,
    canonical_json,
    check_folder_writable,
    plain,
    write_bytes_atomic,
    write_json_atomic,
)
from headscope.runs.display import run_html
from headscope.runs.lock import LOCK_NAME, FolderLock
from headscope.runs.manifest import Manifest, Request, StageState, differences, read_manifest
from headscope.runs.paths import inside, make_folders, unmake_folders
from headscope.runs.shards import PartDone, Shards
from headscope.runs.tables import read_table
from headscope.tables import TABLES
from headscope.tables.csv import table_to_text

MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"
HEAD_SCORES = "head_scores.json"
TABLES_FOLDER = "tables"
PLOTS = "plots"
SHARDS = "shards"
RESUME = ("auto", "never", "require")
REPORTS = ("report.md", "report.ja.md", "evidence.md", "evidence.ja.md", "report.html")

_MADE = (ARRAYS, HEAD_SCORES, *REPORTS, TABLES_FOLDER, PLOTS)


class RunFinished(HeadscopeError):  # noqa: N818 - no error: there is nothing left to do
    """The request was served before: its folder is finished and stays as it is. The command line exits with 0."""

    exit_code = 0

    def __init__(self, run: Run) -> None:
        super().__init__("run is finished already; nothing was changed", where=str(run.path))
        self.run = run


class Run:
    """A run folder. Made by ``create`` to write a run, by ``open`` to read one or to add derived files.

    Attributes:
        path: the folder.
        manifest: its record; ``update`` changes and writes it.
        resumed: True where ``create`` found an unfinished run of the same request.
        making: True where ``create`` made this object; leaving a ``with`` block then ends the run. A run that was
            opened keeps its status.
        shards: finished pieces of it, while it is unfinished.
    """

    def __init__(self, path: Path, manifest: Manifest, lock: FolderLock | None, *, force: bool = False) -> None:
        self.path = path
        self.manifest = manifest
        self.resumed = False
        self.making = False
        self._lock = lock
        self._force = force
        self._made_folders: list[Path] = []
        guard = canonical_json([manifest.request.content(), manifest.versions])
        self.shards = Shards(inside(path, SHARDS), hashlib.sha256(guard.encode("utf-8")).hexdigest())

    @classmethod
    def create(
        cls, path: str | Path, request: Request, *, resume: str = "auto", force: bool = False, **facts: Any
    ) -> Run:
        """Begin the run of ``request`` in the folder ``path``, which may hold an unfinished run of the same request.

        Args:
            path: a folder that does not exist, is empty, or holds a run.
            resume: ``auto``: an unfinished run goes on from its shards; ``never``: it begins anew; ``require``: there
                must be one.
            force: derived files may be replaced.
            facts: fields of ``Manifest`` (model, profile, versions, …).

        Raises:
            RunFinished: this request was served before.
            RequestError: the folder holds something else or another request, cannot be written to, or another
                process is writing it.
        """
        one_of("resume", resume, RESUME)
        folder = expanded(path)
        if _former(folder, request) is None and resume == "require":
            raise RequestError(
                "there is no run to go on with", expected="an unfinished run of this request", where=str(folder)
            )
        check_folder_writable(folder)
        made = make_folders(folder)
        lock: FolderLock | None = None
        run: Run | None = None
        try:
            lock = FolderLock(folder)
            # Asked again under the lock: another process may have begun or finished in between.
            former = _former(folder, request)
            manifest = Manifest(
                request=request,
                request_digest=request.digest,
                created=_now(),
                **{name: plain(value) for name, value in facts.items()},
            )
            run = cls(folder, manifest, lock, force=force)
            run._made_folders, run.making = made, True
            if former is not None:
                run.resumed = True
                run.manifest.stages = former.stages  # what each took when it was run first
                run._clear()
                if resume == "never":
                    shutil.rmtree(folder / SHARDS, ignore_errors=True)
            run._write_manifest()
        except BaseException as error:
            if run is not None and run._present(MANIFEST):  # stopped when it had hardly begun
                run.__exit__(type(error), error, error.__traceback__)
            else:
                unmake_folders(made, lock)
            raise
        return run

    @classmethod
    def open(cls, path: str | Path, *, write: bool = False, force: bool = False) -> Run:
        """The run in a folder; with ``force`` its derived files may be replaced.

        ``write`` takes the lock, to add derived files; release it with ``close`` or by leaving a ``with`` block.

        Raises:
            RequestError: no run, a damaged manifest, or (with ``write``) another process is writing it.
        """
        folder = expanded(path)
        manifest = read_manifest(inside(folder, MANIFEST))
        return cls(folder, manifest, FolderLock(folder) if write else None, force=force)

    def _repr_html_(self) -> str:
        return run_html(self.path, self.manifest, self.tables)

    def finish(self) -> None:
        """Mark the run as finished, and let its folder go."""
        try:
            # The pieces go last: whoever is killed in between has a finished run, or all of its pieces.
            self.update(record={"shards": self.shards.record()}, status="finished", ended=_now(), error=None)
            shutil.rmtree(self.path / SHARDS, ignore_errors=True)
        finally:
            self.close()

    def fail(self, error: BaseException) -> None:
        """Mark the run as failed, or as stopped from outside, by ``error``, and let its folder go.

        What is kept is added to the error as a note, for whoever shows it.
        """
        try:
            if kept := len(self.shards):
                error.add_note(f"{kept} finished pieces are kept in {self.path}; the same command again goes on there")
            signalled = isinstance(error, KeyboardInterrupt | SystemExit)
            text = str(error) if isinstance(error, HeadscopeError) else "by a signal" if signalled else repr(error)
            stopped = signalled or isinstance(error, PartDone)
            self.update(status="stopped" if stopped else "failed", ended=_now(), error=text)
        finally:
            self.close()

    def close(self) -> None:
        """Let the folder go; the status stays."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is None or not self.making or self.manifest.status == "finished":
            self.close()
        elif isinstance(error, RequestError) and not self.resumed and not any(map(self._present, (*_MADE, SHARDS))):
            (self.path / MANIFEST).unlink()
            unmake_folders(self._made_folders, self._lock)
            self._lock = None
        elif error is not None:
            self.fail(error)
        else:
            self.finish()

    def update(self, **facts: Any) -> None:
        """Set fields of the manifest and write it; dicts are merged into what stands there, lists appended.

        Raises:
            WorkError: the run is finished, or was opened to read.
        """
        if self.manifest.status == "finished":
            raise WorkError("a finished run's manifest does not change", where=str(self.path))
        for name, value in facts.items():
            value, present = plain(value), getattr(self.manifest, name)
            if isinstance(present, dict) and isinstance(value, dict):
                value = {**present, **value}
            elif isinstance(present, list) and isinstance(value, list):
                value = [*present, *value]
            setattr(self.manifest, name, value)
        self._write_manifest()

    def tell_stages(self, stages: Sequence[StageState]) -> None:
        """Write how far the stages of a whole run are."""
        self.manifest.stages = list(stages)
        self._write_manifest()

    def stop(self, why: str) -> None:
        """Mark the run as stopped before its end, as was asked, and let its folder go; the same request goes on."""
        try:
            self.update(status="stopped", ended=_now(), error=why)
        finally:
            self.close()

    def warn(self, sentence: str) -> None:
        """Add a warning to the manifest, once."""
        if sentence not in self.manifest.warnings:
            self.update(warnings=[sentence])

    def write_arrays(self, datasets: Mapping[str, xr.Dataset]) -> Path:
        """Write ``arrays.safetensors``; see ``arrays.arrays_to_bytes``."""
        return self._write(ARRAYS, arrays_to_bytes(datasets), derived=False)

    def read_arrays(self) -> dict[str, xr.Dataset]:
        """The datasets of ``arrays.safetensors``, by name."""
        return read_arrays(inside(self.path, ARRAYS))

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        """Write ``tables/<name>.csv``; see ``tables.csv``."""
        data = table_to_text(name, table).encode("utf-8")
        return self._write(f"{TABLES_FOLDER}/{name}.csv", data, derived=TABLES[name].derived)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run."""
        return read_table(inside(self.path, f"{TABLES_FOLDER}/{name}.csv"), name)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are there, in the order of ``tables.TABLES``."""
        return tuple(name for name in TABLES if self._present(f"{TABLES_FOLDER}/{name}.csv"))

    def write_head_scores(self, data: bytes) -> Path:
        """Write ``head_scores.json``; see ``phase6.head_scores_document``."""
        return self._write(HEAD_SCORES, data, derived=False)

    def write_derived(self, name: str, data: bytes | str) -> Path:
        """Write a report or a picture, e.g. ``report.md`` or ``plots/top_heads.png``.

        Raises:
            RequestError: it is there already with other content and the run was not opened with ``force``.
        """
        if name not in REPORTS and not name.startswith(f"{PLOTS}/"):
            raise WorkError("no derived file has this name", expected=f"{', '.join(REPORTS)} or {PLOTS}/…", got=name)
        return self._write(name, data.encode("utf-8") if isinstance(data, str) else data, derived=True)

    def _write(self, name: str, data: bytes, *, derived: bool) -> Path:
        path = inside(self.path, name)
        if self._lock is None:
            raise WorkError("run was opened to read", got=f"a write of {name}", where=str(self.path))
        if self.manifest.status == "finished" or not self.making:
            if path.exists() and path.read_bytes() == data:
                return path
            if not derived:
                raise WorkError("a run's measured files do not change", got=name, where=str(self.path))
            if path.exists() and not self._force:
                raise RequestError(
                    f"{name} is there already", where=str(self.path), fix="--force replaces derived files"
                )
        return write_bytes_atomic(path, data)

    def _present(self, name: str) -> bool:
        return (self.path / name).exists()

    def _write_manifest(self) -> None:
        if self._lock is None:
            raise WorkError("run was opened to read", got="a change of its manifest", where=str(self.path))
        write_json_atomic(self.path / MANIFEST, self.manifest.model_dump(mode="json"))

    def _clear(self) -> None:
        """Remove what an undisturbed run would write anew; what others put into the folder stays."""
        for name in _MADE:
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        for entry in self.path.rglob(f"{TEMPORARY_PREFIX}*"):
            entry.unlink(missing_ok=True)


def _former(folder: Path, request: Request) -> Manifest | None:
    """The manifest of an unfinished run of the same request in ``folder``; None where there is no folder or no file."""
    try:
        present = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise RequestError("output folder cannot be read", got=error.strerror, where=str(folder)) from error
    if MANIFEST not in present:
        others = [name for name in present if name != LOCK_NAME and not name.startswith(TEMPORARY_PREFIX)]
        if others:
            raise RequestError(
                "output folder is not empty and holds no run",
                expected="a new folder, or one of a run",
                got=", ".join(sorted(others)[:5]),
                where=str(folder),
                fix="choose another folder with --out",
            )
        return None
    former = read_manifest(inside(folder, MANIFEST))
    if former.request != request:
        raise RequestError(
            "output folder holds a run of another request",
            expected=f"request {former.request_digest}",
            got=f"request {request.digest}; {'; '.join(differences(former.request, request))}",
            where=str(folder),
            fix="choose another folder with --out, or ask the same again",
        )
    if former.status == "finished":
        shutil.rmtree(folder / SHARDS, ignore_errors=True)  # left by a process that was killed while it removed them
        raise RunFinished(Run(folder, former, None))
    return former


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
