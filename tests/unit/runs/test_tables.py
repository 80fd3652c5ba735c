"""Laws of the tables: cells come back as they were, the same table gives the same bytes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from docs import tables as tables_page
from headscope.cli.results import print_rows
from headscope.errors import RequestError, WorkError
from headscope.runs.tables import read_table
from headscope.tables import COLUMNS, TABLES, Column, Table
from headscope.tables.csv import table_to_text

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(st.characters(codec="utf-8"), max_size=12),
    "int": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "float": st.floats(allow_nan=True) | st.none(),
    "bool": st.booleans(),
}


def cells_of(table: str, count: int = 2) -> dict[str, list[Any]]:
    examples: dict[str, Any] = {"text": 'a,"b"\r\nc', "int": 3, "float": 0.1, "bool": True}
    cells = {column: [examples[kind]] * count for column, kind in TABLES[table].kinds.items()}
    return cells | {"concept": [f"class {i}" for i in range(count)]}


def write_table(path: Path, name: str, table: pd.DataFrame) -> Path:
    path.write_bytes(table_to_text(name, table).encode("utf-8"))
    return path


@st.composite
def any_table(draw: st.DrawFn) -> tuple[str, dict[str, list[Any]]]:
    name = draw(st.sampled_from(sorted(TABLES)))
    count = draw(st.integers(0, 4))
    cells = {
        column: draw(st.lists(CELLS[kind], min_size=count, max_size=count))
        for column, kind in TABLES[name].kinds.items()
    }
    texts = st.lists(CELLS["text"], min_size=count, max_size=count, unique=True)
    return name, cells | {"concept": draw(texts)}


def frame(name: str, cells: dict[str, list[Any]]) -> pd.DataFrame:
    dtypes = {"text": "object", "int": "Int64", "float": "float64", "bool": "bool"}
    return pd.DataFrame({c: pd.Series(cells[c], dtype=dtypes[kind]) for c, kind in TABLES[name].kinds.items()})


@settings(max_examples=120, deadline=None)
@given(any_table())
def test_every_table_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, dict[str, list[Any]]]
) -> None:
    name, cells = drawn
    path = write_table(tmp_path_factory.getbasetemp() / f"{name}.csv", name, frame(name, cells))
    found = read_table(path, name)
    assert list(found.columns) == list(TABLES[name].kinds)
    for column, kind in TABLES[name].kinds.items():
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
        (",".join(TABLES["layers"].kinds).encode() + b"\nx\n", "other columns"),
        (",".join(TABLES["layers"].kinds).encode() + b"\nx,one" + b"," * 9 + b"\n", "does not fit"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "layers.csv"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=words):
        read_table(path, "layers")
    with pytest.raises(RequestError, match="missing"):
        read_table(tmp_path / "none.csv", "layers")


def test_two_rows_of_one_key_are_refused_when_written_and_when_read(tmp_path: Path) -> None:
    table = pd.DataFrame({**cells_of("layers", 3), "concept": ["joy", "anger", "joy"]})
    words = r"layers.*one row for each concept, layer.*rows 1 and 3: concept joy, layer 3"
    with pytest.raises(WorkError, match=f"(?s){words}"):
        table_to_text("layers", table)
    lines = table_to_text("layers", table[:2]).splitlines(keepends=True)
    path = tmp_path / "layers.csv"
    path.write_text("".join([*lines, lines[1]]))
    with pytest.raises(RequestError, match=f"(?s){words}.*layers.csv"):
        read_table(path, "layers")


def test_rows_that_no_column_tells_apart_are_kept() -> None:
    table = pd.DataFrame({**cells_of("effects"), "concept": ["joy", "joy"], "role": ["random_band"] * 2})
    assert table_to_text("effects", table).count("random_band") == 2
    with pytest.raises(WorkError, match="two rows of one key"):
        table_to_text("effects", table.assign(role="single"))


def test_every_column_is_used_and_every_key_tells_rows_apart_by_columns() -> None:
    assert set(COLUMNS) == {column for table in TABLES.values() for column in table.columns}
    for name, table in TABLES.items():
        assert table.name == name
        assert len(set(table.columns)) == len(table.columns)
        assert all(COLUMNS[column].title.keys() == {"en", "ja"} for column in table.columns)
    with pytest.raises(KeyError, match="concpet"):
        Table("typo", "", ["concpet"], [])


def test_a_column_is_added_in_one_place(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    new = Column("n_ties", "int", "heads", {"en": "ties", "ja": "同点"}, "heads of the same score")
    monkeypatch.setitem(COLUMNS, "n_ties", new)
    ranking = TABLES["ranking"]
    wider = dataclasses.replace(ranking, columns=[*ranking.columns, "n_ties"], shown=(*ranking.shown, "n_ties"))
    monkeypatch.setitem(TABLES, "ranking", wider)
    rows = pd.DataFrame(cells_of("ranking"))
    assert table_to_text("ranking", rows).splitlines()[0].endswith(",n_ties")
    assert "| `n_ties` | heads of the same score |" in tables_page.section()
    monkeypatch.setenv("COLUMNS", "200")
    print_rows("", rows, "ranking")
    assert "ties" in capsys.readouterr().out
