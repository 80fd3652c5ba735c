"""Named arrays in one safetensors file.

Each xarray dataset gives its variables as tensors named ``<dataset>/<variable>``. What a tensor cannot carry -
dimensions, coordinates of text, whole numbers and truth values, attributes - stands as sorted JSON in the file's one
metadata key, ``headscope``: safetensors writes several keys in random order, and the same arrays must give the same
bytes. Coordinates of floating-point numbers are tensors too, so that NaN keeps its bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headscope.errors import RequestError, WorkError
from headscope.profiles.files import open_plain
from headscope.runs.atomic import canonical_json, write_bytes_atomic

KEY = "headscope"
FORMAT = "headscope-arrays/1"
DTYPES = ("float32", "float64", "int64", "bool")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Axes(_Strict):
    dims: list[str]
    attrs: dict[str, JsonValue] = {}


class _Coordinate(_Axes):
    kind: Literal["text", "int64", "bool", "float32", "float64"]
    shape: list[int]
    values: Any = None


class _Dataset(_Strict):
    attrs: dict[str, JsonValue]
    variables: dict[str, _Axes]
    coords: dict[str, _Coordinate]


class _Header(_Strict):
    format: str
    datasets: dict[str, _Dataset]


def arrays_to_bytes(datasets: Mapping[str, xr.Dataset]) -> bytes:
    """The safetensors file of ``datasets``; equal datasets give equal bytes.

    Raises:
        WorkError: a name holds "/", a variable is of another dtype than ``DTYPES``, or a coordinate is of a kind
            that is neither text, number nor truth value.
    """
    tensors: dict[str, np.ndarray] = {}
    header = {
        "format": FORMAT,
        "datasets": {_name(name): _dataset_header(name, dataset, tensors) for name, dataset in datasets.items()},
    }
    return save(tensors, metadata={KEY: canonical_json(header)})


def write_arrays(path: str | Path, datasets: Mapping[str, xr.Dataset]) -> Path:
    """Write ``datasets`` to ``path`` in one step; see ``arrays_to_bytes``."""
    return write_bytes_atomic(path, arrays_to_bytes(datasets))


def read_arrays(path: str | Path) -> dict[str, xr.Dataset]:
    """The datasets of a file that ``write_arrays`` wrote, by name.

    Raises:
        RequestError: missing, cut off, or not such a file.
    """
    try:
        open_plain(Path(path)).close()  # a pipe would be waited for
        with safe_open(str(path), framework="numpy") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        header = _Header.model_validate(json.loads(metadata[KEY]))
        return {name: _dataset(name, facts, tensors) for name, facts in header.datasets.items()}
    except FileNotFoundError as error:
        raise RequestError("arrays are missing", where=str(path)) from error
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError, ValidationError) as error:
        raise RequestError(
            "arrays are damaged or of another kind",
            expected=f"a safetensors file with the metadata key {KEY}",
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            where=str(path),
        ) from error


def _dataset_header(name: str, dataset: xr.Dataset, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for label, variable in dataset.data_vars.items():
        tensors[f"{name}/{_name(label)}"] = _tensor(f"{name}/{label}", variable.values)
        variables[str(label)] = {"dims": list(map(str, variable.dims)), "attrs": dict(variable.attrs)}
    coords: dict[str, Any] = {}
    for label, coordinate in dataset.coords.items():
        values = np.asarray(coordinate.values)
        facts = {
            "dims": list(map(str, coordinate.dims)),
            "attrs": dict(coordinate.attrs),
            "shape": list(values.shape),
        }
        if values.dtype.name in ("float32", "float64"):
            tensors[f"{name}/{_name(label)}"] = _tensor(f"{name}/{label}", values)
            coords[str(label)] = {**facts, "kind": values.dtype.name}
        else:
            kind, content = _listed(f"{name}/{label}", values)
            coords[str(label)] = {**facts, "kind": kind, "values": content}
    return {"attrs": dict(dataset.attrs), "variables": variables, "coords": coords}


def _tensor(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.name not in DTYPES:
        raise WorkError(f'array "{name}" has no storable dtype', expected=", ".join(DTYPES), got=str(values.dtype))
    # safetensors writes the buffer as it lies, so it must be in C order and of this machine's (little) end.
    return np.asarray(values, dtype=values.dtype.newbyteorder("="), order="C")


def _listed(name: str, values: np.ndarray) -> tuple[str, list[Any]]:
    """Kind and flat values of a coordinate that is written into the header."""
    flat = values.ravel()
    if values.dtype.kind in "iu":
        if flat.size and int(flat.max()) > np.iinfo(np.int64).max:
            raise WorkError(f'coordinate "{name}" does not fit into int64', got=str(flat.max()))
        return "int64", flat.tolist()
    if values.dtype.kind == "b":
        return "bool", flat.tolist()
    if values.dtype.kind not in "UOT":
        raise WorkError(f'coordinate "{name}" has no storable kind', expected="text, numbers", got=str(values.dtype))
    texts: list[str | None] = []
    for value in flat.tolist():
        if value is None or isinstance(value, str):
            texts.append(value)
        elif isinstance(value, float) and math.isnan(value):  # pandas' missing text
            texts.append(None)
        else:
            raise WorkError(f'coordinate "{name}" mixes kinds', expected="text or None", got=type(value).__name__)
    return "text", texts


def _dataset(name: str, facts: _Dataset, tensors: Mapping[str, np.ndarray]) -> xr.Dataset:
    coords: dict[Hashable, xr.Variable] = {}
    for label, coordinate in facts.coords.items():
        is_tensor = coordinate.kind in ("float32", "float64")
        values = tensors[f"{name}/{label}"] if is_tensor else _from_header(coordinate)
        coords[label] = xr.Variable(coordinate.dims, values, attrs=coordinate.attrs)
    variables = {
        label: xr.Variable(axes.dims, tensors[f"{name}/{label}"], attrs=axes.attrs)
        for label, axes in facts.variables.items()
    }
    return xr.Dataset(variables, coords=coords, attrs=facts.attrs)


def _from_header(coordinate: _Coordinate) -> np.ndarray:
    if coordinate.kind in ("int64", "bool"):
        return np.array(coordinate.values, dtype=coordinate.kind).reshape(coordinate.shape)
    values = np.array(coordinate.values, dtype=object).reshape(coordinate.shape)
    return values if None in coordinate.values else values.astype(str)


def _name(label: Hashable) -> str:
    if not isinstance(label, str) or "/" in label or not label:
        raise WorkError("array has no storable name", expected='text without "/"', got=repr(label))
    return label
