"""Laws of the tables: cells come back as they were, the same table gives the same bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from headscope.errors import RequestError, WorkError
from headscope.runs.tables import COLUMNS, read_table, table_to_text, write_table

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(st.characters(codec="utf-8"), max_size=12),
    "int": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "float": st.floats(allow_nan=True) | st.none(),
    "bool": st.booleans(),
}


def cells_of(table: str, count: int = 2) -> dict[str, list[Any]]:
    examples: dict[str, Any] = {"text": 'a,"b"\r\nc', "int": 3, "float": 0.1, "bool": True}
    return {column: [examples[kind]] * count for column, kind in COLUMNS[table].items()}


@st.composite
def any_table(draw: st.DrawFn) -> tuple[str, dict[str, list[Any]]]:
    name = draw(st.sampled_from(sorted(COLUMNS)))
    count = draw(st.integers(0, 4))
    return name, {
        column: draw(st.lists(CELLS[kind], min_size=count, max_size=count)) for column, kind in COLUMNS[name].items()
    }


def frame(name: str, cells: dict[str, list[Any]]) -> pd.DataFrame:
    dtypes = {"text": "object", "int": "Int64", "float": "float64", "bool": "bool"}
    return pd.DataFrame({c: pd.Series(cells[c], dtype=dtypes[kind]) for c, kind in COLUMNS[name].items()})


@settings(max_examples=120, deadline=None)
@given(any_table())
def test_every_table_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, dict[str, list[Any]]]
) -> None:
    name, cells = drawn
    path = write_table(tmp_path_factory.getbasetemp() / f"{name}.csv", name, frame(name, cells))
    found = read_table(path, name)
    assert list(found.columns) == list(COLUMNS[name])
    for column, kind in COLUMNS[name].items():
        for before, after in zip(cells[column], found[column].tolist(), strict=True):
            if before is None or (kind == "float" and math.isnan(before)):
                assert pd.isna(after)
            elif kind == "float":
                assert np.float64(before).tobytes() == np.float64(after).tobytes()
            else:
                assert before == after
    assert table_to_text(name, found).encode() == path.read_bytes()


def test_columns_are_written_in_their_own_order_whatever_the_frames() -> None:
    table = pd.DataFrame(cells_of("screen"))
    assert table_to_text("screen", table[sorted(table.columns)]) == table_to_text("screen", table)


def test_a_float32_column_keeps_its_values(tmp_path: Path) -> None:
    table = pd.DataFrame(cells_of("layers"))
    table["mean_delta"] = np.array([0.1, 1 / 3], dtype=np.float32)
    found = read_table(write_table(tmp_path / "layers.csv", "layers", table), "layers")
    assert found["mean_delta"].astype(np.float32).tolist() == table["mean_delta"].tolist()


def test_text_that_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    for text in ("NA", "nan", "null", "1:10", "001", "1e5", "true", " ", "", "=1+1", "\r", "\n", '"'):
        table = pd.DataFrame({**cells_of("texts"), "edited_text": [text, text]})
        assert (
            read_table(write_table(tmp_path / "t.csv", "texts", table), "texts")["edited_text"].tolist() == [text] * 2
        )


def test_whole_numbers_with_one_missing_stay_whole(tmp_path: Path) -> None:
    table = pd.DataFrame({**cells_of("effects"), "layer": [1.0, np.nan]})
    found = read_table(write_table(tmp_path / "e.csv", "effects", table), "effects")
    assert found["layer"].dtype == "Int64"
    assert found["layer"].tolist() == [1, pd.NA]
    assert read_table(write_table(tmp_path / "e.csv", "effects", table[:1]), "effects")["layer"].dtype == "int64"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer": ["one", "two"]}, "layers.layer"),
        ({"layer": [1.5, 2]}, "whole number"),
        ({"layer": [True, False]}, "whole number"),
        ({"concept": [1, 2]}, "expected text"),
        ({"mean_delta": ["0.1", "0.2"]}, "layers.mean_delta"),
        ({"surprise": [1, 2]}, "unknown surprise"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change: dict[str, list[Any]], words: str) -> None:
    with pytest.raises(WorkError, match=words):
        table_to_text("layers", pd.DataFrame({**cells_of("layers"), **change}))


def test_a_missing_column_or_an_unknown_table_is_refused() -> None:
    with pytest.raises(WorkError, match="missing concept"):
        table_to_text("layers", pd.DataFrame(cells_of("layers")).drop(columns="concept"))
    with pytest.raises(WorkError, match="no table is called"):
        table_to_text("surprise", pd.DataFrame())
    with pytest.raises(RequestError, match="no table is called"):
        read_table("surprise.csv", "surprise")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\xff\xfe", "cannot be read"),
        (b"concept,layer\n", "other columns"),
        (b'concept,"layer\n', "cannot be read"),
        (",".join(COLUMNS["layers"]).encode() + b"\nx\n", "other columns"),
        (",".join(COLUMNS["layers"]).encode() + b"\nx,one" + b"," * 9 + b"\n", "does not fit"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "layers.csv"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=words):
        read_table(path, "layers")
    with pytest.raises(RequestError, match="missing"):
        read_table(tmp_path / "none.csv", "layers")
