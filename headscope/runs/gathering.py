"""Parts of one sweep, run on several machines, put together into the folder that finishes it.

1. Every part lies beside the folder, as ``<folder>.part-K-of-N``, with its shards.
2. All N must be there, and all of one request; else nothing is made.
3. The folder is begun as that request's unfinished run, and the shards are copied into it, whole files only. The
   same command without ``--shard`` then finds every piece of the sweep done.
"""

from __future__ import annotations

import re
from pathlib import Path

from headscope.errors import RequestError
from headscope.runs.atomic import write_bytes_atomic
from headscope.runs.folder import SHARDS, Run

_PART = re.compile(r"\.part-([1-9][0-9]*)-of-([1-9][0-9]*)")


def part_folder(folder: Path, number: int, of: int) -> Path:
    """The folder of one part of the run in ``folder``."""
    return folder.with_name(f"{folder.name}.part-{number}-of-{of}")


def gather(folder: Path) -> int:
    """Put the parts of ``folder`` together in it; the number of shards copied.

    Raises:
        RequestError: there are no parts, one is missing, they are of different requests or versions, or the folder
            holds something else.
        RunFinished: the folder is finished.
    """
    parts = [Run.open(path) for path in _parts(folder)]
    first = parts[0].manifest
    for part in parts:
        if (part.manifest.request, part.manifest.versions) != (first.request, first.versions):
            raise RequestError(
                "parts are of different requests or package versions",
                expected=f"request {first.request_digest} in all",
                got=f"request {part.manifest.request_digest}",
                where=str(part.path),
            )
    facts = first.model_dump(include={"request_sources", "model", "profile", "versions", "git", "machine", "warnings"})
    count = 0
    run = Run.create(folder, first.request, **facts)
    try:
        for part in parts:
            for shard in sorted((part.path / SHARDS).glob("*")):
                if shard.is_file() and not shard.is_symlink():
                    write_bytes_atomic(folder / SHARDS / shard.name, shard.read_bytes())
                    count += 1
        run.update(status="stopped")
    finally:
        run.close()
    return count


def _parts(folder: Path) -> list[Path]:
    found: dict[int, set[int]] = {}
    for path in folder.parent.glob("*.part-*-of-*"):
        match = _PART.fullmatch(path.name.removeprefix(folder.name)) if path.name.startswith(folder.name) else None
        if match and path.is_dir():
            found.setdefault(int(match[2]), set()).add(int(match[1]))
    if len(found) != 1:
        raise RequestError(
            "there are no parts to gather" if not found else "parts of different cuts lie side by side",
            expected=f"{folder.name}.part-K-of-N for every K from 1 to N",
            got=", ".join(f"{len(numbers)} parts of {of}" for of, numbers in sorted(found.items())) or "none",
            where=str(folder.parent),
        )
    ((of, numbers),) = found.items()
    if missing := sorted(set(range(1, of + 1)) - numbers):
        raise RequestError(
            "a part is missing",
            expected=f"{of} parts",
            got="no part " + ", ".join(map(str, missing)),
            where=str(folder.parent),
            fix=f"run it: the same command with --shard {missing[0]}/{of}",
        )
    return [part_folder(folder, number, of) for number in sorted(numbers)]
