"""What every file goes through: reasons for what is left out, templates, a limit, one folder or nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headscope.errors import ProfileError, RequestError
from headscope.profiles.importing import sources
from headscope.profiles.importing.cells import list_of, whole_numbers_of
from headscope.profiles.importing.importing import as_name, written
from headscope.profiles.importing.kinds import TaskRow
from headscope.profiles.importing.templates import template_ids
from headscope.profiles.loading import load_profile
from headscope.profiles.schema import ProfileFile
from tests.unit.profiles.importing.files_of_tasks import MIB_IOI, SAMPLES, imported, lines, put, sheet

HEADER = ["prompt", "answer", "foil", "corrupted"]
GOOD = ["One good prompt is", "a", "b", "One other prompt is"]
# a row, the reason that is told
LEFT: dict[str, tuple[list[str], str]] = {
    "no answer": (["The sky is", "", "b", ""], "it has no answer"),
    "an empty answer among several": (["The sky is", '["a", " "]', "b", ""], ""),
    "the answer is the foil": (["The sky is", "b", "b", ""], "an answer is also a foil"),
    "the answer begins the foil": (
        ["The sky is", "blue", "blue and red", ""],
        "one of its answers and foils begins another",
    ),
    "an answer begins another": (
        ["The sky is", '["blue", "blue sky"]', "b2", ""],
        "one of its answers and foils begins",
    ),
    "an empty prompt": ([" ", "a", "b", ""], "its prompt is empty"),
    "the corrupted prompt is the same": (["The sky is", "a", "b", "The sky is"], "its corrupted prompt is the same"),
    "the same prompt again": (GOOD, "its prompt stands there already"),
    "the same words again": (["one good prompt, is", *GOOD[1:]], "its prompt stands there already"),
    "a terminal escape": (["\x1b[31m red", "a", "b", ""], "text is no text that a profile may hold"),
    "a very long prompt": (["x" * 100_001, "a", "b", ""], "it has more than 100,000 characters"),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_asked_is_left_out_with_its_reason(case: str, tmp_path: Path) -> None:
    row, reason = LEFT[case]
    (tmp_path / "t.csv").write_text(sheet([HEADER, GOOD, row]))
    got = imported(tmp_path / "t.csv")
    if not reason:  # empty words of a list are no words
        assert got.n_rows == 2
        return
    assert got.n_rows == 1
    (told,) = got.left
    assert told.startswith(reason)
    assert got.left[told][0][0].startswith("line ")


def test_of_a_task_all_prompts_have_foils_or_none(tmp_path: Path) -> None:
    without = ["The sky is", "a", "", ""]
    (tmp_path / "t.csv").write_text(sheet([HEADER, GOOD, without]))
    got = imported(tmp_path / "t.csv")
    assert (got.n_rows, [*got.left]) == (1, ["it has no foil, and other prompts of its task have"])
    (tmp_path / "t.csv").write_text(sheet([HEADER, without]))
    assert (imported(tmp_path / "t.csv").n_rows, imported(tmp_path / "t.csv").left) == (1, {})


def test_a_file_of_which_nothing_can_be_asked_is_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(sheet([HEADER, LEFT["no answer"][0], LEFT["the answer is the foil"][0]]))
    with pytest.raises(ProfileError, match="1: it has no answer; 1: an answer is also a foil"):
        imported(tmp_path / "t.csv")


# name, content, words of the message
REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "unknown columns": ("t.csv", "a,b\n1,2\n", "file is of no known kind"),
    "unknown columns, all kinds are named": ("t.csv", "a,b\n1,2\n", "blimp: sentence_good, sentence_bad"),
    "texts alone": ("t.txt", "one\n", "file is no table"),
    "a list of texts": ("t.json", '["a"]', "file is no table"),
    "a number": ("t.json", "7", "file is no table"),
    "no rows": ("t.csv", "clean,corrupted,label\n", "file is no table"),
    "columns of two kinds": (
        "t.jsonl", json.dumps({"sentence_good": "a", "sentence_bad": "b", "input": "a", "output": "b"}),
        "file could be of several kinds",
    ),
    "a broken CSV": ("t.csv", 'clean,corrupted,label\n"a,b,1\n', "CSV is broken"),
    "too many cells": ("t.csv", "clean,corrupted,label\na,b,c,1\n", "wrong number of cells"),
    "a code page": ("t.csv", "prompt,answer\nfâché,a\n".encode("cp1252"), "not UTF-8"),
    "a workbook": ("t.xlsx", b"PK", 'save the sheet as "CSV UTF-8"'),
    "broken Parquet": ("t.parquet", b"PAR1", "Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_file_of_tasks_is_refused(case: str, tmp_path: Path) -> None:
    name, content, words = REFUSED[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ProfileError) as refused:
        imported(tmp_path / name)
    assert words in str(refused.value)


def test_a_kind_can_be_said_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match='kind "mibb" does not exist'):
        imported(put(tmp_path, SAMPLES["MIB ioi"]), kind="mibb")
    row = {"sentence_good": "He runs fast.", "sentence_bad": "He run fast.", "input": "hot", "output": "cold"}
    (tmp_path / "t.jsonl").write_text(lines([row]))
    assert imported(tmp_path / "t.jsonl", kind="blimp").n_rows == 1


def test_parquet_is_read_alike_and_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd, arrow = pytest.importorskip("pandas"), "pyarrow"
    pytest.importorskip(arrow, reason="the extra parquet is not installed")
    pd.DataFrame(MIB_IOI).to_parquet(tmp_path / "ioi.parquet")
    assert imported(tmp_path / "ioi.parquet").rows == imported(put(tmp_path, SAMPLES["MIB ioi"])).rows
    monkeypatch.setitem(sys.modules, arrow, None)
    with pytest.raises(ProfileError, match=r'pip install "headscope\[parquet\]"'):
        imported(tmp_path / "ioi.parquet")


def test_templates_are_what_is_left_without_names_numbers_and_what_is_asked() -> None:
    def ioi(io: str, subject: str, place: str, thing: str) -> TaskRow:
        text = f"Then, {io} and {subject} went to the {place}. {subject} gave a {thing} to"
        return TaskRow(text, (f" {io}",), (f" {subject}",))

    one = [ioi("Mary", "John", place, thing) for place in ("store", "school") for thing in ("ring", "drink")]
    other = TaskRow("After the lunch, Tom and Bill were tired, and Bill thanked", (" Tom",), (" Bill",))
    sums = [TaskRow(f"Q: What is {n} plus {n + 1}? A:", (f" {2 * n + 1}",)) for n in (3, 44, 517)]
    given = TaskRow("Anything at all", (" a",), template="mine")
    ids = template_ids([*one, other, *sums, given])
    assert ids == ["t001"] * 4 + ["t002"] + ["t003"] * 3 + ["mine"]


def test_words_that_the_file_names_as_fillers_are_no_part_of_a_template(tmp_path: Path) -> None:
    mcqa = imported(put(tmp_path, SAMPLES["MIB mcqa"]))  # a thing, said twice, and four colours
    assert (mcqa.n_templates, mcqa.n_rows) == (1, 3)
    sums = [TaskRow(f"{n} {sign} {n} is how much", (" 4",)) for n in (2, 33) for sign in "+-"]
    assert template_ids(sums) == ["t001", "t002"] * 2


def test_a_column_names_the_template_in_a_file_of_any_kind(tmp_path: Path) -> None:
    for name, sample in SAMPLES.items():
        if sample.name.endswith(".jsonl"):
            rows = [
                {**json.loads(line), "template": f"mine {n % 2}"} for n, line in enumerate(sample.content.splitlines())
            ]
            (tmp_path / "t.jsonl").write_text(lines(rows))
            got = [
                row["template"] for mine in imported(tmp_path / "t.jsonl", sample.wanted).rows.values() for row in mine
            ]
            assert got[:2] == ["mine 0", "mine 1"], name
    made = imported(put(tmp_path, SAMPLES["agreement"])).rows["sva"]
    assert {row["template"] for row in made} == {"prep"}


def test_found_templates_do_not_take_names_that_are_given() -> None:
    rows = [TaskRow("It was a long way to", (" go",)), TaskRow("Any", (" a",), template="t001")]
    assert template_ids(rows) == ["t002", "t001"]


def test_where_nothing_is_marked_the_words_that_differ_are_left_out() -> None:
    pairs = (("dog", "dogs"), ("author", "authors"))
    rows = [TaskRow(f"The {one} near", (" is",), corrupted=f"The {two} near") for one, two in pairs]
    assert len(set(template_ids(rows))) == 1
    assert len(set(template_ids([TaskRow(row.text, row.answers) for row in rows]))) == 2  # too short to be joined


def test_a_limit_takes_of_every_template_in_turn(tmp_path: Path) -> None:
    frames = ["Once the old man said that {} was", "{} is a place where people are"]
    rows = [[frames[n == 0].format(f"name{n}"), "a", "b", ""] for n in range(20)]
    (tmp_path / "t.csv").write_text(sheet([HEADER, *rows]))
    got = imported(tmp_path / "t.csv", limit=5)
    kept = [row["text"] for row in got.rows["t"]]
    assert len(kept) == 5
    assert rows[0][0] in kept
    assert kept == [row[0] for row in rows if row[0] in kept]
    assert got.rows == imported(tmp_path / "t.csv", limit=5).rows
    assert imported(tmp_path / "t.csv", limit=20).n_rows == 20


def test_pairs_are_counted_by_their_words(tmp_path: Path) -> None:
    rows = [
        ["One two three is", "a", "b", "One two four is"],
        ["One two is", "a", "b", "One is"],
        ["One", "a", "b", ""],
    ]
    (tmp_path / "t.csv").write_text(sheet([HEADER, *rows]))
    got = imported(tmp_path / "t.csv")
    assert (got.n_equal, got.n_unequal, got.n_rows) == (1, 1, 3)


def test_nothing_is_written_where_files_lie_or_the_folder_cannot_be_made(tmp_path: Path) -> None:
    got = imported(put(tmp_path, SAMPLES["CAA"]))
    full = tmp_path / "full"
    full.mkdir()
    (full / "kept.txt").write_text("kept")
    for folder, words in ((full, "exists already"), (full / "kept.txt", "exists already"),
                          (full / "kept.txt" / "p", "cannot be written")):  # fmt: skip
        with pytest.raises(ProfileError, match=words):
            written(got, folder, "caa.json")
    assert [path.name for path in full.iterdir()] == ["kept.txt"]


def test_a_file_without_partners_gets_neutral_control_prompts(tmp_path: Path) -> None:
    profile = written(imported(put(tmp_path, SAMPLES["CAA"])), tmp_path / "p", "caa.json")
    assert profile.control == "neutral"
    assert profile.has_tasks
    assert load_profile(tmp_path / "p").fingerprint == profile.fingerprint


@pytest.mark.parametrize(
    ("text", "name"),
    [("ioi", "ioi"), ("greater than!", "greater-than"), ("../x y", "x-y"), ("", "task"), ("_", "task"),
     ("日本", "日本"), ("overall", "task-overall"), ("corrupted", "task-corrupted"), ("a" * 99, "a" * 64), ("x-", "x")],
)  # fmt: skip
def test_any_text_makes_a_name_that_a_profile_may_have(text: str, name: str) -> None:
    made = as_name(text, "task")
    assert made == name
    ProfileFile.model_validate({"name": made, "prompts": "p.jsonl", "tasks": {made: {}}})


@pytest.mark.parametrize(
    ("cell", "words"),
    [("[12, 13]", [12, 13]), ("['a', \"b c\"]", ["a", "b c"]), ("[Mary, John]", ["Mary", "John"]), ("[]", []),
     ('[" a"]', [" a"]), ("['it\\'s']", ["it's"]), ("[[1]]", [[1]]), ("a", None), ("[a", None), ("[,]", None)],
)  # fmt: skip
def test_a_list_is_read_as_json_and_python_print_it(cell: str, words: list[Any] | None) -> None:
    assert list_of(cell) == words


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [(4, [4]), ("4", [4]), (" 04 ", [4]), ("4.0", [4]), (4.0, [4]), ("[1, 2]", [1, 2]), (-1, None), ("-1", None),
     (True, None), ("x", None), (1.5, None), ([], None), (None, None), ("[1, x]", None), ("9" * 30, None)],
)  # fmt: skip
def test_whole_numbers_are_read_as_they_are_written(cell: object, numbers: list[int] | None) -> None:
    assert whole_numbers_of(cell) == numbers


class Loaded(list[dict[str, Any]]):
    """Rows as the package datasets gives them."""

    @property
    def column_names(self) -> list[str]:
        return list(self[0])


def fake_datasets(**loads: Any) -> ModuleType:
    module = ModuleType("datasets")

    class DatasetsError(Exception):
        pass

    module.__dict__.update(exceptions=SimpleNamespace(DatasetsError=DatasetsError), **loads)
    return module


def test_a_data_set_of_the_hub_is_read_like_a_file_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str | None]] = []

    def load(name: str, config: str | None, *, split: str | None) -> Any:
        asked.append((name, config, split))
        return Loaded(MIB_IOI) if split else {"train": Loaded(MIB_IOI), "test": Loaded(MIB_IOI)}

    monkeypatch.setitem(
        sys.modules, "datasets", fake_datasets(load_dataset=load, load_from_disk=lambda _: Loaded(MIB_IOI))
    )
    table, _, name = sources.read_source("hf:mib-bench/ioi:small@test")
    assert asked == [("mib-bench/ioi", "small", "test")]
    assert name == "small"
    assert [cells for _, cells in table.records] == MIB_IOI
    assert sources.read_source("hf:mib-bench/ioi@test")[2] == "ioi"
    with pytest.raises(ProfileError, match="hf:mib-bench/ioi@train"):
        sources.read_source("hf:mib-bench/ioi")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").write_text("{}")
    assert imported(tmp_path / "saved").rows["saved"][0]["text"] == MIB_IOI[0]["prompt"]


def test_without_the_package_or_the_hub_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("cannot reach the hub\nat all")

    monkeypatch.setitem(sys.modules, "datasets", fake_datasets(load_dataset=offline))
    with pytest.raises(ProfileError, match=r"cannot reach the hub\n"):
        sources.read_source("hf:a/b")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ProfileError, match=r'pip install "headscope\[datasets\]"'):
        sources.read_source("hf:a/b")
