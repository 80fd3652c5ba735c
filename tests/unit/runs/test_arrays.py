"""Laws of ``arrays.safetensors``: what is written comes back, the same arrays give the same bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from headscope.errors import RequestError, WorkError
from headscope.runs.arrays import DTYPES, arrays_to_bytes, read_arrays, write_arrays

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


def screen(seed: int = 0) -> xr.Dataset:
    """A dataset as a verb makes it."""
    values = np.random.default_rng(seed).normal(size=(3, 2, 4)).astype(np.float32)
    values[0, 1, 2] = np.nan
    return xr.Dataset(
        {"mass": (("prompt", "layer", "head"), values, {"unit": "share"}), "n_keys": ("prompt", np.array([4, 5, 6]))},
        coords={
            "prompt": ["gratitude-001", "anger-001", "日本"],
            "concept": ("prompt", ["gratitude", "anger", "neutral"]),
            "pair": ("prompt", np.array(["neutral-001", None, None], dtype=object)),
            "implicit": ("prompt", [False, True, False]),
            "layer": [0, 1],
            "depth": ("layer", [0.25, np.nan]),
            "seed": 7,
        },
        attrs={"query": "last"},
    )


def test_a_verbs_dataset_comes_back_as_it_was(tmp_path: Path) -> None:
    datasets = {"screen": screen(), "texts": xr.Dataset({"n": ((), np.int64(3))})}
    found = read_arrays(write_arrays(tmp_path / "arrays.safetensors", datasets))
    assert list(found) == sorted(datasets)
    for name, dataset in datasets.items():
        xr.testing.assert_identical(found[name], dataset)
    assert found["screen"]["mass"].dtype == np.float32


@st.composite
def any_dataset(draw: st.DrawFn) -> xr.Dataset:
    sizes = draw(st.dictionaries(NAMES, st.integers(0, 3), max_size=3))
    dims = list(sizes)

    def chosen() -> tuple[list[str], tuple[int, ...]]:
        picked = draw(st.lists(st.sampled_from(dims), unique=True)) if dims else []
        return picked, tuple(sizes[dim] for dim in picked)

    variables, coords = {}, {}
    for name in draw(st.lists(NAMES.filter(lambda name: name not in dims), unique=True, max_size=4)):
        picked, shape = chosen()
        if draw(st.booleans()):
            dtype = draw(st.sampled_from(DTYPES))
            variables[name] = (picked, draw(hnp.arrays(dtype, shape)))
        else:
            kind = draw(st.sampled_from(["text", "int64", "bool", "float32", "float64"]))
            values = draw(hnp.arrays(object, shape, elements=TEXTS)).astype(str) if kind == "text" else None
            coords[name] = (picked, draw(hnp.arrays(kind, shape)) if values is None else values)
    return xr.Dataset(variables, coords=coords)


@settings(max_examples=60, deadline=None)
@given(any_dataset())
def test_every_dataset_comes_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, dataset: xr.Dataset) -> None:
    path = tmp_path_factory.getbasetemp() / "a.safetensors"
    found = read_arrays(write_arrays(path, {"d": dataset}))["d"]
    assert set(found.variables) == set(dataset.variables)
    for name, variable in dataset.variables.items():
        assert found[name].dims == variable.dims
        if variable.dtype.kind in "fib":
            assert found[name].dtype == variable.dtype
            assert found[name].values.tobytes() == np.ascontiguousarray(variable.values).tobytes()
        else:
            assert found[name].values.tolist() == variable.values.tolist()
    assert arrays_to_bytes({"d": found}) == path.read_bytes()


def test_the_order_in_which_a_dataset_was_built_leaves_no_trace() -> None:
    dataset = screen()
    other = xr.Dataset(
        dict(reversed(list(dataset.data_vars.items()))),
        coords=dict(reversed(list(dataset.coords.items()))),
        attrs=dataset.attrs,
    )
    assert arrays_to_bytes({"a": dataset, "b": other}) == arrays_to_bytes({"b": dataset, "a": other})


def test_a_view_is_written_as_it_is_seen(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float64).reshape(3, 4)
    for view in (values.T, values[:, ::-1], values[::2], values.astype(">f8")):
        path = write_arrays(tmp_path / "a.safetensors", {"d": xr.Dataset({"v": (("x", "y"), view)})})
        np.testing.assert_array_equal(read_arrays(path)["d"]["v"].values, view)


def test_the_file_has_exactly_one_metadata_key_of_sorted_json() -> None:
    data = arrays_to_bytes({"screen": screen()})
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert list(metadata) == ["headscope"]
    text = metadata["headscope"]
    assert text == json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (xr.Dataset({"v": ("x", np.arange(3, dtype=np.int32))}), "dtype"),
        (xr.Dataset({"v": ("x", np.array(["a", "b"]))}), "dtype"),
        (xr.Dataset({"a/b": ("x", np.arange(3.0))}), "name"),
        (xr.Dataset(coords={"c": ("x", np.array(["2020-01-01"], dtype="datetime64[ns]"))}), "storable kind"),
        (xr.Dataset(coords={"c": ("x", np.array(["a", 3], dtype=object))}), "mixes kinds"),
        (xr.Dataset(coords={"c": ("x", np.array([2**63], dtype=np.uint64))}), "int64"),
    ],
)
def test_what_cannot_be_kept_is_refused(dataset: xr.Dataset, words: str) -> None:
    with pytest.raises(WorkError, match=words):
        arrays_to_bytes({"d": dataset})


def test_a_damaged_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    data = arrays_to_bytes({"screen": screen()})
    path = tmp_path / "arrays.safetensors"
    for length in (0, 4, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(RequestError, match="damaged"):
            read_arrays(path)
    with pytest.raises(RequestError, match="missing"):
        read_arrays(tmp_path / "none.safetensors")


@settings(max_examples=100, deadline=None)
@given(position=st.integers(8, 900), value=st.integers(0, 255))
def test_a_flipped_byte_of_the_header_is_refused_or_read_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    data = bytearray(arrays_to_bytes({"screen": screen()}))
    data[position] = value
    path = tmp_path_factory.getbasetemp() / "a.safetensors"
    path.write_bytes(data)
    try:
        found: object = read_arrays(path)
    except RequestError as error:
        found = error
    assert isinstance(found, dict) or "damaged" in str(found)
