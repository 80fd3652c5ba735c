"""Folders and files of runs: what they are called, made and not led out of."""

from __future__ import annotations

import re
from pathlib import Path

import regex

from headscope.errors import RequestError
from headscope.runs.lock import FolderLock
from headscope.runs.manifest import Request

_NOT_IN_NAME = regex.compile(r"[^\w\p{M}.-]+")


def default_run_path(model_name: str, profile_name: str, request: Request) -> Path:
    """``runs/<model>-<profile>-<8 hex of the request>``; of a model's path or hub id the last part."""
    return Path("runs") / f"{file_part(model_name)}-{file_part(profile_name)}-{request.digest}"


def file_part(name: str) -> str:
    """The last part of a path or hub id, with characters that trouble a file name replaced by "-"."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return _NOT_IN_NAME.sub("-", last).strip(".-")[:80] or "model"


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of ``folder``, not reached through a link that leads out of it."""
    path = folder / name
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise RequestError(f"{name} cannot be reached", got=str(error), where=str(folder)) from error
    if not resolved.is_relative_to(folder.resolve()):
        raise RequestError(f"{name} leads out of the run folder", got=str(resolved), where=str(folder))
    return path


def make_folders(folder: Path) -> list[Path]:
    """Make ``folder`` and its parents; those that were not there, innermost first."""
    missing = [each for each in (folder.absolute(), *folder.absolute().parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError("output folder cannot be made", got=error.strerror, where=str(folder)) from error
    return missing


def unmake_folders(made: list[Path], lock: FolderLock | None) -> None:
    """Let go of a folder nothing was written into, and remove it and its new parents as far as they are empty."""
    if lock is not None:
        lock.release()
    for folder in made:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return
