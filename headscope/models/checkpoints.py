"""From a name to a folder of weights.

``demo`` is bundled; a path is a folder or a GGUF file; anything else is a hub id, with or without ``@revision``
(``hub.py``). A folder may be one of the hub's cache, or hold one GGUF file and no other weights, or an adapter, whose
base is then found in its turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from headscope.errors import ModelError
from headscope.models.gguf_file import GgufFile, gguf_at, one_of_several, read_gguf
from headscope.models.hub import ADAPTER_CONFIG, WAYS_OUT, WEIGHT_FILES, HubName, hub_folder, is_cached
from headscope.models.others_errors import refusal

DEMO = Path(__file__).parent / "demo"
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Checkpoint:
    """A folder of weights: the name it was asked by, the folder, and where it came from.

    Attributes:
        path: the folder with the weights; of an adapter, its base's.
        gguf: the file in it that holds everything, where it is one of llama.cpp's.
        adapter: the folder of an adapter that goes on top; None where there is none.
        commit: of a hub model, the commit that was taken.
        notes: what to know about how it was found, in plain sentences.
    """

    name: str
    path: Path
    source: Literal["bundled", "folder", "file", "hub"]
    gguf: GgufFile | None = None
    adapter: Path | None = None
    commit: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> Path:
        """The file that holds everything, or else the folder."""
        return self.path if self.gguf is None else self.gguf.path


def find_checkpoint(name: str) -> Checkpoint:
    """The folder that ``name`` stands for, downloaded if it must be and can be.

    Raises:
        ModelError: there is no such model, or it is not cached and the hub cannot be reached; or it is an adapter whose
            base is not there.
    """
    return _with_base(_located(name))


def _located(name: str) -> Checkpoint:
    """The folder of that name, an adapter's too."""
    if name == "demo":
        beside = ('the bundled model was taken, not the folder "demo" ("./demo" names it)',)
        return Checkpoint(name, DEMO, "bundled", notes=beside if _is_checkpoint(Path(name)) else ())
    file = gguf_at(name)
    if file is not None:
        return Checkpoint(name, file.parent, "file", gguf=opened_gguf(name, file))
    folder = existing_folder(name)
    if folder is None:
        on_hub = hub_name(name)
        snapshot = hub_folder(on_hub)
        return Checkpoint(name, snapshot, "hub", commit=snapshot.name)
    opened, notes = _opened(folder)
    notes = [*_shadowing(name, opened), *notes]
    file = _gguf_in(opened)
    if file is None:
        return Checkpoint(name, opened, "folder", notes=tuple(notes))
    notes.append(f'the file "{file.name}" was taken, the one with weights in the folder')
    return Checkpoint(name, opened, "folder", gguf=opened_gguf(name, file), notes=tuple(notes))


def opened_gguf(name: str, file: Path) -> GgufFile:
    """The header of a GGUF file; ModelError where it is none, or not whole."""
    refuse_pointers(name, [file])
    return read_gguf(name, file)


def _gguf_in(folder: Path) -> Path | None:
    """The one GGUF file of a folder without other weights and that is no adapter; ModelError where it holds several."""
    files = sorted(folder.glob("*.gguf"))
    beside = [*WEIGHT_FILES, *([] if (folder / "config.json").is_file() else [ADAPTER_CONFIG])]
    if not files or any((folder / file).is_file() for file in beside):
        return None
    return one_of_several(folder, files)


def existing_folder(name: str) -> Path | None:
    """The folder of that name; None where nothing has it. ModelError where it is a file, or can be no name."""
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            return folder
        is_file = folder.exists()
    except (OSError, ValueError) as error:
        raise ModelError("no folder can have this name", got=name[:100], fix=WAYS_OUT) from error
    if is_file:
        raise ModelError(
            f'"{name}" is a file',
            expected="a checkpoint folder with config.json and weights, or a GGUF file",
            got=name,
            fix=f"give the folder it lies in: {folder.parent}",
        )
    return None


def hub_name(name: str) -> HubName:
    """What the name stands for on the hub; ModelError where it can only be a folder."""
    parsed = _on_hub(name)
    if parsed is None:
        raise ModelError(
            f'there is no folder "{name}"', expected="a folder, demo, or a hub id (NAME or NAME@REVISION)", got=name,
            fix=WAYS_OUT,
        )  # fmt: skip
    return parsed


def _on_hub(name: str) -> HubName | None:
    return None if name.startswith((".", "~", "/")) else HubName.parse(name)


def _opened(folder: Path) -> tuple[Path, list[str]]:
    """The folder itself, or the snapshot to take where it is one of the hub's cache, and a note that says so."""
    if _is_checkpoint(folder):
        return folder, []
    repository = folder.parent if folder.name in ("snapshots", "blobs", "refs") else folder
    snapshots = sorted(path for path in (repository / "snapshots").glob("*") if _is_checkpoint(path))
    reference = repository / "refs" / "main"
    if reference.is_file():
        main = repository / "snapshots" / reference.read_text(encoding="utf-8", errors="replace").strip()
        snapshots = [main] if main in snapshots else snapshots
    if len(snapshots) == 1:
        return snapshots[0], [f'"{folder}" belongs to the hub\'s cache: its snapshot {snapshots[0].name} was taken']
    inside = snapshots or sorted(path for path in folder.glob("*") if path.is_dir() and _is_checkpoint(path))
    cached = sorted(path.name.removeprefix("models--").replace("--", "/") for path in folder.glob("models--*"))
    if inside or cached:
        raise ModelError(
            f'"{folder}" is no checkpoint, but a folder of several',
            expected="one folder with config.json and weights, or the name of a hub model",
            got=some([*map(str, inside), *cached]),
            fix=f"give one of them: --model {inside[0] if inside else cached[0]}",
        )
    return folder, []


def _is_checkpoint(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("config.json", ADAPTER_CONFIG)) or any(folder.glob("*.gguf"))


def _shadowing(name: str, folder: Path) -> list[str]:
    """A note where a hub model may have been meant; ModelError where the folder holds none, and it is cached."""
    on_hub = _on_hub(name)
    if on_hub is None:
        return []
    away = f'for the hub model "{name}" work in another folder, or rename this one'
    if not _is_checkpoint(folder) and is_cached(on_hub):
        raise ModelError(
            f'the folder "{name}" was taken for the model, and it holds none', where=str(folder.resolve()), fix=away
        )
    return [f'the folder "{name}" was taken, not a hub model of that name ("./{name}" says so; {away})']


def _with_base(found: Checkpoint) -> Checkpoint:
    """The checkpoint itself, or for an adapter its base with the adapter on top."""
    file = found.path / ADAPTER_CONFIG
    if not file.is_file():
        return found
    if (found.path / "config.json").is_file():
        return replace(found, adapter=found.path)
    settings = read_object(found.name, file)
    named, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    problem = f'the base of the adapter "{found.name}" is not there'
    fix = f'correct "base_model_name_or_path" in its {ADAPTER_CONFIG}, or put the adapter into the folder of its base'
    if not isinstance(named, str) or not named:
        raise ModelError(
            problem, expected="the folder or hub id it was trained on", got=str(named), where=str(file), fix=fix
        )
    near = [str(folder) for folder in (Path(named).expanduser(), found.path / named) if _is_checkpoint(folder)]
    on_hub = f"{named}@{revision}" if isinstance(revision, str) and revision and "@" not in named else named
    try:
        base = _located(near[0] if near else named if Path(named).is_dir() else on_hub)
    except ModelError as error:
        raise ModelError(problem, expected=named, got=error.problem, where=str(file), fix=fix) from error
    if not _is_checkpoint(base.path):
        raise ModelError(problem, expected=named, got="a folder without a checkpoint", where=str(file), fix=fix)
    if (base.path / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f'the base of the adapter "{found.name}" is an adapter itself', got=named, where=str(file),
            fix="merge that one into its base first (peft: merge_and_unload), and save the result",
        )  # fmt: skip
    return replace(found, path=base.path, gguf=base.gguf, adapter=found.path, notes=(*found.notes, *base.notes))


def refuse_pointers(name: str, files: Iterable[Path]) -> None:
    """ModelError where a file is a Git LFS pointer: a few lines that stand for a file which was never fetched."""
    pointers = [file for file in files if file.is_file() and begins(file, _POINTER)]
    if pointers:
        raise ModelError(
            f'"{name}" was cloned without its large files: Git LFS pointers stand in their place',
            got=some(sorted(file.name for file in pointers)),
            where=str(pointers[0].parent),
            fix="run git lfs pull in that folder (git lfs install first, where git has no lfs)",
        )


def begins(file: Path, start: bytes) -> bool:
    """Whether the file begins with these bytes."""
    with file.open("rb") as opened:
        return opened.read(len(start)) == start


def read_object(name: str, file: Path) -> dict[str, Any]:
    """A JSON object; ModelError where the file holds none."""
    refuse_pointers(name, [file])
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refusal(f'"{name}" cannot be loaded: its {file.name} is no JSON', error, where=str(file)) from error
    if not isinstance(content, dict):
        raise ModelError(
            f'"{name}" cannot be loaded: its {file.name} is no JSON object',
            expected='{"...": ...}', got=type(content).__name__, where=str(file),
        )  # fmt: skip
    return content


def some(names: Sequence[str]) -> str:
    """The first three of the names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
