"""Files as other programs write them: the same texts in any shape are the same prompts, and what was taken is said."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headscope.errors import ProfileError
from headscope.profiles.columns import Reading
from headscope.profiles.conversations import said
from headscope.profiles.formats import SUFFIXES, read_prompts
from headscope.profiles.loading import load_profile
from headscope.profiles.replacing import profile_from_files

TEXTS = [
    "Ich bin so froh; das Wetter ist schön.",
    "Wir sind zufrieden, sagte Tom.",
    'Sie rief "hurra" und lachte.',
    "Erste Zeile,\nzweite Zeile; Schluss.",
    "Tab\tund | Strich.",
    "Le cœur 日本 🙂.",
]
ROWS = [{"text": text, "label": "joy"} for text in TEXTS]


def sheet(rows: list[list[str]], delimiter: str = ",", *, mark: bool = True, first: str = "") -> bytes:
    """What Excel's "CSV UTF-8" writes: a byte order mark, CRLF, quotes where they are needed only."""
    buffer = io.StringIO()
    csv.writer(buffer, "excel", delimiter=delimiter).writerows(rows)
    return (b"\xef\xbb\xbf" if mark else b"") + (first + buffer.getvalue()).encode()


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


ONE = [["text"], *([text] for text in TEXTS)]
TWO = [["Text", "Label"], *([text, "joy"] for text in TEXTS)]
WIDE = [[*row, "", ""] for row in TWO]
FRAME = pd.DataFrame(ROWS)
USER = [{"messages": [{"role": "user", "content": text}]} for text in TEXTS]
PARTS = [{"prompt": [{"role": "user", "content": [{"type": "text", "text": text}]}]} for text in TEXTS]

# name of the file, its bytes, words of what is said of it, in order
SHAPES: dict[str, tuple[str, bytes, list[str]]] = {
    "one column, commas": ("joy.csv", sheet(ONE), []),
    "one column, semicolons": ("joy.csv", sheet(ONE, ";"), ["semicolons"]),
    "one column, tabs": ("joy.csv", sheet(ONE, "\t"), ["tabs"]),
    "commas": ("joy.csv", sheet(TWO), ['"Text" holds the text', '"Label" names the class']),
    "semicolons": ("joy.csv", sheet(TWO, ";"), ["semicolons", '"Text"', '"Label"']),
    "semicolons without a mark": ("joy.csv", sheet(TWO, ";", mark=False), ["semicolons", '"Text"', '"Label"']),
    "tabs in .csv": ("joy.csv", sheet(TWO, "\t"), ["tabs", '"Text"', '"Label"']),
    "tabs in .tsv": ("joy.tsv", sheet(TWO, "\t"), ['"Text"', '"Label"']),
    "sep=; and semicolons": ("joy.csv", sheet(TWO, ";", first="sep=;\r\n"), ["semicolons", '"Text"', '"Label"']),
    "SEP=, and one column": ("joy.csv", sheet(ONE, first="SEP=,\r\n"), ["commas"]),
    "empty columns and rows": ("joy.csv", sheet([*WIDE, *[[""] * 4] * 3]), ['"Text"', '"Label"']),
    "pandas, with its index": ("joy.csv", FRAME.to_csv().encode(), ["not read: a column without a name", '"label"']),
    "JSON lines": ("joy.jsonl", lines(ROWS), ['"label"']),
    "JSON lines named .json": ("joy.json", lines(ROWS), ["JSON lines", '"label"']),
    "pandas, lines named .json": ("joy.json", (FRAME.to_json(orient="records", lines=True) or "").encode(), ["lines"]),
    "pandas, records": ("joy.json", (FRAME.to_json(orient="records", indent=1) or "").encode(), ['"label"']),
    "a list of texts": ("joy.json", json.dumps(TEXTS).encode(), []),
    "the study's": (
        "joy.json",
        json.dumps({"prompts": TEXTS, "note": "mine"}).encode(),
        ['not read: the field "note"'],
    ),
    "prompt": ("joy.jsonl", lines([{"prompt": text} for text in TEXTS]), ['"prompt" holds the text']),
    "messages": ("joy.jsonl", lines(USER), ['"messages" holds the text']),
    "messages of parts": ("joy.jsonl", lines(PARTS), ['"prompt" holds the text']),
    "labels that are one number": ("joy.jsonl", lines([{**row, "label": 1} for row in ROWS]), ["is 1 on every row"]),
    "labels that are one digit": ("joy.csv", sheet([["text", "label"], *([t, "1"] for t in TEXTS)]), ["is 1 on every"]),
    "labels that are true": ("joy.jsonl", lines([{**row, "label": True} for row in ROWS]), ["is True on every row"]),
    "further columns": (
        "joy.jsonl",
        lines([{**row, "id": index, "source": "x", "pari": "n"} for index, row in enumerate(ROWS)]),
        ['"source", the column "pari" (is "pair" meant?)', '"label"'],
    ),
    "missing values": ("joy.jsonl", lines([{**row, "span": None, "implicit": None} for row in ROWS]), ['"label"']),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_texts_in_any_shape_are_the_same_prompts(shape: str, tmp_path: Path) -> None:
    name, content, said = SHAPES[shape]
    (tmp_path / name).write_bytes(content)
    profile = load_profile(tmp_path / name)
    assert [prompt.text for prompt in profile.prompts_of("joy")] == TEXTS
    assert list(profile.concepts) == ["joy"]
    told = [warning for warning in profile.warnings if warning.startswith(name)]
    assert len(told) >= (1 if said else 0)
    for words in said:
        assert any(words in warning for warning in told), f"{words!r} is not in {told}"
    if not said:
        assert told == []


def parquet(table: pd.DataFrame, path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    table.to_parquet(path)


def test_parquet_is_a_table_like_any_other(tmp_path: Path) -> None:
    numbered = FRAME.assign(id=range(6), template=range(6), span=[[0, 3]] * 6, split=None)
    parquet(numbered.set_index(pd.Index(list("abcdef"), name="kept")), tmp_path / "joy.parquet")
    profile = load_profile(tmp_path / "joy.parquet")
    assert [(prompt.id, prompt.text, prompt.span, prompt.template) for prompt in profile.prompts_of("joy")] == [
        (str(index), text, (0, 3), str(index)) for index, text in enumerate(TEXTS)
    ]
    assert 'joy.parquet: not read: the column "kept"' in profile.warnings

    parquet(pd.DataFrame(USER), tmp_path / "user.parquet")
    assert [said(raw.row) for raw in read_prompts(tmp_path / "user.parquet").rows] == [(text, ()) for text in TEXTS]


@pytest.mark.parametrize("damage", ["cut", "no footer", "other bytes", "empty", "numbers", "bytes"])
def test_damaged_parquet_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "joy.parquet"
    texts: Any = {"numbers": [1, 2], "bytes": [b"\xff", b"\x00"]}.get(damage, ["a", "b"])
    parquet(pd.DataFrame({"text": texts}), path)
    data = path.read_bytes()
    whole = {"cut": data[:-9], "no footer": data[:40], "other bytes": b"PAR1" + bytes(60) + b"PAR1", "empty": b""}
    path.write_bytes(whole.get(damage, data))
    with pytest.raises(ProfileError, match=r"Parquet is broken|wrong shape"):
        load_profile(path)


def test_without_the_package_parquet_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "joy.parquet").write_bytes(b"PAR1")
    with pytest.raises(ProfileError, match=r'pip install "headscope\[parquet\]"'):
        load_profile(tmp_path / "joy.parquet")


def test_named_columns_go_before_names_that_give_themselves_away(tmp_path: Path) -> None:
    rows = [["text", "label", "Body", "mood"], *(["other", "0", text, "joy"] for text in TEXTS)]
    (tmp_path / "p.csv").write_bytes(sheet(rows, ";"))
    profile = load_profile(tmp_path / "p.csv", reading=Reading(text_column="body", label_column="mood"))
    assert [prompt.text for prompt in profile.prompts_of("joy")] == TEXTS
    assert 'p.csv: not read: the column "text", the column "label"' in profile.warnings
    for reading in (Reading(text_column="boddy"), Reading(label_column="moood")):
        with pytest.raises(ProfileError, match="has no column"):
            load_profile(tmp_path / "p.csv", reading=reading)
    with pytest.raises(ProfileError, match="cannot be text and class"):
        load_profile(tmp_path / "p.csv", reading=Reading("mood", "mood"))


def test_what_has_no_columns_cannot_be_told_which(tmp_path: Path) -> None:
    (tmp_path / "joy.txt").write_text("I am glad.\n")
    for name in (tmp_path / "joy.txt", "baseline"):
        with pytest.raises(ProfileError, match="no columns"):
            load_profile(name, reading=Reading(text_column="body"))
    assert load_profile("baseline", reading=Reading(drop_duplicates=True)).prompts


def test_a_label_on_every_row_gives_way_to_the_class_a_file_is_named_for(tmp_path: Path) -> None:
    base = load_profile("baseline")
    path = tmp_path / "mine.csv"
    path.write_bytes(sheet([["text", "label"], *([text, "Freude"] for text in TEXTS)]))
    profile = profile_from_files({"gratitude": path}, base)
    assert [prompt.text for prompt in profile.prompts_of("gratitude")] == TEXTS
    assert any('"Freude" on every row; they are taken as prompts of gratitude' in note for note in profile.warnings)
    for column, labels in (("label", ["joy", "awe"] * 3), ("concept", ["Freude"] * 6)):
        rows = [[text, label] for text, label in zip(TEXTS, labels, strict=True)]
        path.write_bytes(sheet([["text", column], *rows]))
        with pytest.raises(ProfileError, match="unknown concept"):
            profile_from_files({"gratitude": path}, base)


def test_exact_repeats_are_left_out_on_request_and_their_partners_kept(tmp_path: Path) -> None:
    rows = [
        {"text": "I am glad.", "concept": "joy", "pair": "n-2"},
        {"text": "I am glad.", "concept": "joy"},
        {"text": "I am glad!", "concept": "joy", "pair": "n-1"},
        {"text": "I am busy.", "concept": "neutral", "id": "n-1"},
        {"text": "I am busy.", "concept": "neutral", "id": "n-2"},
        {"text": "I am busy.", "concept": "neutral", "id": "n-3"},
    ]
    (tmp_path / "p.jsonl").write_bytes(lines(rows))
    with pytest.raises(ProfileError, match="--drop-duplicates"):
        load_profile(tmp_path / "p.jsonl")
    profile = load_profile(tmp_path / "p.jsonl", reading=Reading(drop_duplicates=True))
    assert [(prompt.text, prompt.pair) for prompt in profile.prompts] == [
        ("I am glad.", "n-1"),
        ("I am glad!", "n-1"),
        ("I am busy.", None),
    ]
    assert "3 exact repeats are left out: 1 of joy, 2 of neutral" in profile.warnings
    (tmp_path / "p.jsonl").write_bytes(lines([{**rows[0], "pair": None}, {**rows[0], "concept": "awe", "pair": None}]))
    with pytest.raises(ProfileError, match="are the same text"):
        load_profile(tmp_path / "p.jsonl", reading=Reading(drop_duplicates=True))


def test_every_form_is_known_to_a_folder_of_classes(tmp_path: Path) -> None:
    for name in ("joy_prompts.tsv", "awe_prompts.csv", "fear_prompts.json"):
        content = json.dumps([f"I saw {name}."]) if name.endswith("json") else f"text\nI saw {name}.\n"
        (tmp_path / name).write_text(content)
    assert list(load_profile(tmp_path).concepts) == ["awe", "fear", "joy"]
    assert set(SUFFIXES) == {".jsonl", ".csv", ".json", ".txt", ".tsv", ".parquet"}


@pytest.mark.oracle
def test_files_as_people_have_them_are_read(shared: Path) -> None:
    """Every file of the collection; the one in a code page gets the cure that its bytes ask for."""
    if not (shared / "field").is_dir():
        pytest.skip("the collection of files is not there")
    files = sorted(path for path in (shared / "field").rglob("*") if path.is_file())
    read: dict[str, list[str]] = {}
    for path in files:
        if "cp1252" in path.name:
            with pytest.raises(ProfileError, match="iconv -f CP1252"):
                read_prompts(path)
            read[path.name] = list(pd.read_csv(path, encoding="cp1252", sep="\t")["text"])  # no tabs: a column
        else:
            read[path.name] = [said(raw.row)[0] for raw in read_prompts(path).rows]
            assert load_profile(path).prompts
    assert len(files) >= 12
    assert {len(texts) for texts in read.values()} == {6}
    for start in ("freude", "joy"):
        same = [texts for name, texts in read.items() if name.startswith(start)]
        assert all(texts == same[0] for texts in same[1:]), start
