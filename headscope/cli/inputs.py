"""What a request names, checked before work starts: outputs that can be written, prompts that take others' place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.errors import ProfileError, RequestError

if TYPE_CHECKING:
    from headscope.profiles.columns import Reading
    from headscope.profiles.types import Profile


def check_outputs(folder: Path | None, file: Path | None = None, *endings: str) -> None:
    """Prove, before any work, that outputs could be written; nothing is made.

    ``folder`` is a run folder, which need not exist; ``endings``: what the name of ``file`` may end in.

    Raises:
        RequestError: one of them cannot be written to, or the file ends otherwise.
    """
    if folder is None and file is None:
        return
    from headscope.runs.atomic import check_folder_writable, check_writable

    if folder is not None:
        check_folder_writable(folder)
    if file is None:
        return
    check_writable(file)
    if file.suffix not in endings:
        raise RequestError(
            "output file has an ending that names no known format",
            expected=" or ".join(endings),
            got=file.suffix or "no ending",
            where=str(file),
        )


def read_profile(
    profile: str, data_dir: Path | None, prompts: Mapping[str, Path], reading: Reading | None = None
) -> Profile:
    """The profile, its prompts replaced by files: ``prompts`` goes before ``data_dir``, which goes before the profile.

    ``reading`` names the columns of the files where there are any, else of the profile's own.

    Raises:
        ProfileError: no such profile or class, a class without a file in ``data_dir``, or a file is malformed.
    """
    from headscope.profiles.columns import Reading
    from headscope.profiles.loading import load_profile
    from headscope.profiles.replacing import profile_from_files

    reading = reading or Reading()
    own = Reading(drop_duplicates=reading.drop_duplicates) if prompts or data_dir is not None else reading
    base = load_profile(profile, reading=own)
    files = dict(prompts)
    if data_dir is not None:
        for name in (*base.concepts, base.control):
            if name not in files:
                files[name] = _class_file(data_dir, name)
    return profile_from_files(files, base, reading) if files else base


def _class_file(folder: Path, name: str) -> Path:
    from headscope.profiles.formats import SUFFIXES

    candidates = [folder / f"{name}_prompts{suffix}" for suffix in SUFFIXES]
    found = [path for path in candidates if path.is_file()]
    if len(found) != 1:
        raise ProfileError(
            f'the data folder holds {"no file" if not found else "several files"} for the prompts of "{name}"',
            expected=f"one of {', '.join(path.name for path in candidates)}",
            got=", ".join(path.name for path in found) or "none",
            where=str(folder),
            fix="every class of the profile needs its file there, or one of its own (--prompts CLASS=FILE)",
        )
    return found[0]


def prompt_files(assignments: Iterable[str]) -> dict[str, Path]:
    """Read ``CLASS=FILE`` assignments.

    Raises:
        RequestError: one is malformed, or a class is given twice.
    """
    from headscope.profiles.files import expanded

    files: dict[str, Path] = {}
    for assignment in assignments:
        name, equals, file = assignment.partition("=")
        if not (name and equals and file):
            raise RequestError(
                "--prompts is malformed", expected="CLASS=FILE, e.g. gratitude=mine.jsonl", got=assignment
            )
        if name in files:
            raise RequestError(f'--prompts gives "{name}" twice', expected="each class once", got=assignment)
        files[name] = expanded(file)
    return files
