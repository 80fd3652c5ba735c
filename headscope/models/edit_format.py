"""An edit of heads as a file: one safetensors file, whose metadata hold what the numbers mean.

The values of each head, [d], lie under the head's name (``1:10``); one text of the file's own metadata,
``headscope_edit``, is JSON: heads, kind, factor, the model's fingerprint, where the edit came from. One file and not
two, so that values and meaning cannot be parted; what safetensors itself proves (lengths, offsets) is proved here too.
Numbers are kept in the type they came in, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from headscope import __version__
from headscope.errors import RequestError, WorkError
from headscope.runs.atomic import canonical_json, check_writable, write_bytes_atomic

FORMAT_VERSION = 1
ENDING = ".safetensors"
_KEY = "headscope_edit"
_KINDS_WITH_VALUES = {"zero": False, "scale": False, "mean": True, "replace": True, "add": True}


@dataclass(frozen=True)
class EditRecord:
    """What a file of an edit says.

    Attributes:
        heads: ``1:10``, ... in sorted order.
        kind: ``zero``, ``scale``, ``mean``, ``replace`` or ``add``.
        factor: of ``scale``; 1 otherwise.
        value_bias: of ``zero``: ``zero`` or ``keep``.
        model: name, family and fingerprint of the model it was made on.
        about: where it came from: free facts.
        values: [d] of each head, of the kinds that have values.
        headscope: version that wrote it.
    """

    heads: tuple[str, ...]
    kind: str
    factor: float
    value_bias: str
    model: Mapping[str, str]
    about: Mapping[str, Any]
    values: Mapping[str, Tensor]
    headscope: str = __version__

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what it does: heads, kind, factor, values."""
        content = hashlib.sha256(f"{self.heads} {self.kind} {self.factor!r} {self.value_bias}".encode())
        for head in self.heads:
            if head in self.values:
                content.update(self.values[head].float().contiguous().numpy().tobytes())
        return content.hexdigest()

    def facts(self) -> dict[str, Any]:
        """All but the values, JSON-able: what stands in the file's metadata."""
        return {
            "format": "headscope edit",
            "format_version": FORMAT_VERSION,
            "headscope": self.headscope,
            "heads": list(self.heads),
            "kind": self.kind,
            "factor": self.factor,
            "value_bias": self.value_bias,
            "scope": "all",
            "model": dict(self.model),
            "about": dict(self.about),
        }


def write_record(path: str | Path, record: EditRecord) -> Path:
    """Write an edit; a file that exists is replaced.

    Raises:
        RequestError: the path cannot be written, its name does not end in .safetensors, or a fact about the edit has
            no place in JSON.
    """
    path = Path(path)
    check_writable(path)
    if path.suffix != ENDING:
        raise RequestError("an edit is kept in a safetensors file", expected=f"a name in {ENDING}", got=path.name)
    try:
        facts = canonical_json(record.facts())
    except (WorkError, RecursionError) as error:
        raise RequestError("what is said about an edit has no place in JSON", got=str(error)) from error
    values = {name: value.contiguous().clone() for name, value in record.values.items()}
    return write_bytes_atomic(path, save(values, {_KEY: facts}))


def read_record(path: str | Path) -> EditRecord:
    """Read an edit.

    Raises:
        RequestError: there is no such file, it is damaged or something else, or a newer headscope wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError("there is no such file of an edit", expected=f"a {ENDING} file", got=str(path))
    try:
        with safe_open(path, framework="pt") as opened:
            facts: str | None = (opened.metadata() or {}).get(_KEY)
            names: list[str] = list(opened.keys())
            if facts is None:
                raise RequestError(
                    "the file holds tensors, but no edit of headscope's",
                    expected="a file of headscope edits save, or of model.save_edit",
                    where=str(path),
                )
            values = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise RequestError(
            "the file of an edit is damaged, or no safetensors file", got=str(error).splitlines()[0][:200],
            where=str(path), fix="copy or save it again",
        ) from error  # fmt: skip
    return _record(_json(facts, path), values, path)


def _json(facts: str, path: Path) -> dict[str, Any]:
    try:
        read: Any = json.loads(facts)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its facts are no JSON") from error
    if not isinstance(read, dict):
        raise _damaged(path, "its facts are no JSON object")
    return read


def _record(facts: dict[str, Any], values: dict[str, Tensor], path: Path) -> EditRecord:
    version = facts.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(path, f"format_version is {version!r}")
    if version > FORMAT_VERSION:
        raise RequestError(
            "the edit was written by a newer headscope", expected=f"format {FORMAT_VERSION} or older",
            got=f"format {version}, of headscope {str(facts.get('headscope'))[:40]}", where=str(path),
            fix="update headscope",
        )  # fmt: skip
    for wrong, why in _wrongs(facts, values):
        if wrong:
            raise _damaged(path, why)
    model = {str(name): str(value) for name, value in facts["model"].items()}
    return EditRecord(
        heads=tuple(facts["heads"]),
        kind=facts["kind"],
        factor=float(facts["factor"]),
        value_bias=facts["value_bias"],
        model=model,
        about=facts["about"],
        values=values,
        headscope=str(facts.get("headscope")),
    )


def _wrongs(facts: dict[str, Any], values: dict[str, Tensor]) -> Iterator[tuple[bool, str]]:
    """Whether each thing is wrong, and what to say of it; a later one rests on those before it."""
    heads, kind, factor, model = (facts.get(name) for name in ("heads", "kind", "factor", "model"))
    yield facts.get("scope") != "all", f"scope is {facts.get('scope')!r}, not 'all'"
    yield not isinstance(heads, list) or not heads or not all(map(_is_head, heads)), 'heads is no list of "layer:head"'
    yield len(set(heads or ())) < len(heads or ()), "a head stands twice"
    yield not isinstance(kind, str) or kind not in _KINDS_WITH_VALUES, f"kind is {kind!r}"
    is_number = isinstance(factor, int | float) and not isinstance(factor, bool)
    yield not is_number or not _is_finite(factor), f"factor is {factor!r}"
    yield facts.get("value_bias") not in ("zero", "keep"), f"value_bias is {facts.get('value_bias')!r}"
    named = isinstance(model, dict) and all(isinstance(model.get(name), str) for name in ("name", "fingerprint"))
    yield not named, "it does not name its model"
    yield not isinstance(facts.get("about"), dict), "about is no object"
    wanted = set(heads or ()) if _KINDS_WITH_VALUES[str(kind)] else set[str]()
    yield set(values) != wanted, f"its values are of {', '.join(sorted(values)) or 'no head'}"
    floats = all(value.dim() == 1 and value.is_floating_point() for value in values.values())
    yield not floats, "a value is no vector of floats"


def _is_finite(factor: Any) -> bool:
    try:
        return math.isfinite(factor)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _is_head(head: object) -> bool:
    return isinstance(head, str) and re.fullmatch(r"[0-9]{1,6}:[0-9]{1,6}", head) is not None


def _damaged(path: Path, why: str) -> RequestError:
    return RequestError("the file of an edit does not hold one whole", got=why, where=str(path), fix="save it again")
