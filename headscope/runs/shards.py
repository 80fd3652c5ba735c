"""Finished pieces of an unfinished run: one file each, written in one step, with a checksum.

A shard's key says what was measured (stage, edits, prompts, the piece); its guard says for which request and with which
package versions. A file is used only where checksum, key and guard all agree; a damaged one, or one of other versions,
is removed and its piece is run again, and the run's record says so. The folder goes when the run is finished.

File: the line ``headscope-shard/1 <SHA-256 of the rest>``, then a safetensors file whose metadata holds key and guard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from headscope.errors import HeadscopeError
from headscope.runs.atomic import canonical_json, write_bytes_atomic

Arrays = dict[str, npt.NDArray[Any]]

_FORMAT = b"headscope-shard/1 "
_SUFFIX = ".shard"
_KEY = "headscope"
_DAMAGED = (SafetensorError, ValueError, KeyError, OSError)


class PartDone(HeadscopeError):  # noqa: N818 - no error: the rest is for other machines
    """This machine's share of the pieces is done and kept. The command line exits with 0."""

    exit_code = 0


class Shards:
    """The shards of one run.

    Attributes:
        folder: where they are; made with the first one.
        n_reused: pieces that were found done.
        n_written: pieces that were kept.
        damaged: names of files that were removed because they were damaged or of another version.
    """

    def __init__(self, folder: Path, guard: str) -> None:
        self.folder = folder
        self._guard = guard
        self.n_reused = self.n_written = 0
        self.damaged: list[str] = []

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob(f"*{_SUFFIX}"))

    def key(self, stage: str, content: Any) -> str:
        """The name of the shard that holds ``content`` (JSON-able: all that the piece's result depends on)."""
        digest = hashlib.sha256(canonical_json(content).encode("utf-8")).hexdigest()
        return f"{stage}-{digest[:24]}"

    def read(self, key: str) -> Arrays | None:
        """The arrays kept under ``key``; None where there are none that can be trusted."""
        path = self._path(key)
        if not path.is_file() or path.is_symlink():
            return None
        try:
            arrays = self._arrays(path.read_bytes(), key)
        except _DAMAGED:
            path.unlink(missing_ok=True)
            self.damaged.append(path.name)
            return None
        self.n_reused += 1
        return arrays

    def write(self, key: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep ``arrays`` under ``key``; WorkError where the disk is full or fails."""
        in_order = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        content = save(in_order, metadata={_KEY: self._label(key)})
        write_bytes_atomic(self._path(key), _FORMAT + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        self.n_written += 1

    def record(self) -> dict[str, Any]:
        """JSON-able facts for the manifest."""
        return {"reused_count": self.n_reused, "written_count": self.n_written, "damaged": sorted(self.damaged)}

    def _arrays(self, data: bytes, key: str) -> Arrays:
        header, _, content = data.partition(b"\n")
        if header != _FORMAT + hashlib.sha256(content).hexdigest().encode():
            raise ValueError("checksum")
        size = int.from_bytes(content[:8], "little")
        if json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(_KEY) != self._label(key):
            raise ValueError("of another piece, request or version")
        return load(content)

    def _label(self, key: str) -> str:
        return canonical_json({"key": key, "guard": self._guard})

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"
