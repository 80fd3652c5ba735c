"""Laws of every importer: what it takes stands in the file, answers follow their prompts, places hold their words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import ProfileError
from headscope.profiles.catalog import findings
from headscope.profiles.importing.importing import Imported, written
from headscope.profiles.importing.kinds import Wanted
from headscope.profiles.importing.registry import importer_for
from headscope.profiles.importing.sources import read_source
from headscope.profiles.loading import load_profile
from tests.unit.profiles.importing import files_of_tasks as files
from tests.unit.profiles.importing.files_of_tasks import SAMPLES, imported, put, sheet

Rows = list[dict[str, Any]]


def rows_of(name: str, folder: Path, **wanted: Any) -> Rows:
    sample = SAMPLES[name]
    return all_rows(imported(put(folder, sample), Wanted(**{**vars(sample.wanted), **wanted})))


def all_rows(got: Imported) -> Rows:
    return [row for rows in got.rows.values() for row in rows]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_is_known_by_its_columns_and_every_record_is_taken_or_told(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    path = put(tmp_path, sample)
    table, _, _ = read_source(str(path))
    assert importer_for(table, None).kind == sample.kind
    got = imported(path, sample.wanted)
    n_left = sum(map(len, got.left.values()))
    assert (got.n_rows, n_left, len(table.records)) == (sample.n_taken, sample.n_left, sample.n_taken + sample.n_left)


@pytest.mark.parametrize("name", SAMPLES)
def test_an_imported_folder_validates_and_holds_the_rows(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    got = imported(put(tmp_path, sample), sample.wanted)
    made = written(got, tmp_path / "made", sample.name)
    profile = load_profile(tmp_path / "made")
    assert made == profile
    assert [finding for finding in findings(tmp_path / "made") if finding.is_error(strict=True)] == []
    assert list(profile.concepts) == list(got.rows)
    for task, rows in got.rows.items():
        by_id = {prompt.id: prompt for prompt in profile.prompts}
        for row, prompt in zip(rows, profile.prompts_of(task), strict=True):
            assert (prompt.text, list(prompt.answers), list(prompt.foils)) == (
                row["text"], row["answers"], row.get("foils", []),
            )  # fmt: skip
            assert prompt.template == row["template"]
            if "corrupted" in row:
                partner = by_id[prompt.pair or ""]
                told = row["corrupted"]
                assert partner.text == (told if isinstance(told, str) else told["text"])
                assert (partner.answers, partner.template) == (prompt.answers, prompt.template)
            if "spans" in row:
                assert {name: list(span) for name, span in prompt.spans.items()} == row["spans"]


@pytest.mark.parametrize("name", SAMPLES)
def test_answers_follow_their_prompt_as_words_of_their_own(name: str, tmp_path: Path) -> None:
    for row in rows_of(name, tmp_path):
        for one in (*row["answers"], *row.get("foils", [])):
            assert one.strip()
            glued = row["text"][-1:].isalnum() and one[0].isalpha()
            assert not glued, (row["text"], one)
            assert "  " not in row["text"][-1:] + one[:2]


def test_names_stand_where_their_places_say(tmp_path: Path) -> None:
    for name in ("ioi by ids", "MIB ioi", "ioi with semicolons and a mark"):
        for row in rows_of(name, tmp_path):
            said = {place: row["text"][start:end] for place, (start, end) in row["spans"].items()}
            io, subject = row["answers"][0].strip(), row["foils"][0].strip()
            assert said == {"io": io, "s1": subject, "s2": subject}
            assert row["spans"]["s1"] < row["spans"]["s2"]


def test_every_two_digit_year_is_right_or_wrong_and_a_later_one_is_right(tmp_path: Path) -> None:
    rows = rows_of("greater than", tmp_path)
    for row, year in zip(rows, (4, 98), strict=True):
        assert sorted(row["answers"] + row["foils"]) == [f"{n:02d}" for n in range(100)]
        assert min(row["answers"]) == f"{year + 1:02d}"
        assert int(row["text"][-2:] + row["answers"][0]) > int(row["text"][-2:] + f"{year:02d}")


def test_ids_and_words_of_one_file_are_the_same_answers(tmp_path: Path) -> None:
    assert rows_of("hypernyms by ids", tmp_path) == rows_of("hypernyms by words", tmp_path)
    assert rows_of("hypernyms by ids", tmp_path)[0]["answers"] == [" gem", " gems"]
    assert rows_of("gender by ids", tmp_path)[0]["answers"] == [" she"]
    assert rows_of("capitals by words", tmp_path)[0]["foils"] == [" Peru"]


def test_the_corrupted_column_can_be_named(tmp_path: Path) -> None:
    usual, hard = (rows_of("ioi by ids", tmp_path, counterfactual=name) for name in (None, "corrupted_hard"))
    assert [row["corrupted"] for row in usual] == [row[2] for row in files.IOI_ROWS]
    assert [row["corrupted"] for row in hard] == [row[3] for row in files.IOI_ROWS]
    with pytest.raises(ProfileError, match='no column "corrupted_soft"'):
        rows_of("ioi by ids", tmp_path, counterfactual="corrupted_soft")


def test_ids_without_a_tokenizer_and_of_another_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"--ids-of FOLDER"):
        rows_of("ioi by ids", tmp_path, token_text=None)
    shifted = {number - 1: text for number, text in files.TOKENS.items()}
    for other in (
        shifted,
        dict.fromkeys(files.TOKENS, "ing"),
        dict.fromkeys(files.TOKENS, " \N{REPLACEMENT CHARACTER}"),
        {},
    ):
        with pytest.raises(ProfileError, match=r"token ids are of another tokenizer: \d of 4 records") as refused:
            rows_of("ioi by ids", tmp_path, token_text=other.get)
        assert "ioi.csv, line " in str(refused.value)


def test_one_odd_id_among_many_leaves_its_record_out(tmp_path: Path) -> None:
    rows = [[*row[:1], f"{row[1]} and", *row[2:]] for row in files.IOI_ROWS * 6]
    rows = [[n, row[1].replace("drink", f"drink{n}"), *row[2:]] for n, row in enumerate(rows)]
    rows[5] = [*rows[5][:4], files.IDS[" Zoe"], rows[5][5]]  # a name, but not one of the prompt
    (tmp_path / "ioi.csv").write_text(sheet([files.IOI_HEADER, *rows]))
    got = imported(tmp_path / "ioi.csv", files.WITH_IDS)
    assert (got.n_rows, {reason: len(places) for reason, places in got.left.items()}) == (
        23, {"a token id does not decode to a word that fits": 1},
    )  # fmt: skip


def test_the_usual_counterfactual_is_taken_and_another_can_be_named(tmp_path: Path) -> None:
    flip, abc = (rows_of("MIB ioi", tmp_path, counterfactual=name) for name in (None, "abc"))
    assert [row["corrupted"] for row in flip] == [row["s2_io_flip_counterfactual"]["prompt"] for row in files.MIB_IOI]
    assert [row["corrupted"] for row in abc] == [row["abc_counterfactual"]["prompt"] for row in files.MIB_IOI]
    with pytest.raises(ProfileError, match="abc_counterfactual, s2_io_flip_counterfactual"):
        rows_of("MIB ioi", tmp_path, counterfactual="s3")


def test_several_counterfactuals_of_which_none_is_usual_need_a_name(tmp_path: Path) -> None:
    row = {"prompt": "2 + 2 =", "label": "4", "a_counterfactual": {"prompt": "2 + 3 =", "label": "5"}}
    (tmp_path / "one.jsonl").write_text(files.lines([row]))
    assert all_rows(imported(tmp_path / "one.jsonl"))[0]["foils"] == [" 5"]
    (tmp_path / "two.jsonl").write_text(files.lines([{**row, "b_counterfactual": row["a_counterfactual"]}]))
    with pytest.raises(ProfileError, match="--counterfactual NAME"):
        imported(tmp_path / "two.jsonl")


def test_a_choice_is_right_and_the_other_choices_of_its_prompt_are_wrong(tmp_path: Path) -> None:
    for row, (color, label) in zip(
        rows_of("MIB mcqa", tmp_path), (("brown", " D"), ("white", " C"), ("gray", " A")), strict=True
    ):
        assert f"\n{label.strip()}. {color}\n" in row["text"]
        assert row["answers"] == [label]
        assert sorted([*row["answers"], *row["foils"]]) == [" A", " B", " C", " D"]


def test_what_is_asked_of_an_entity_stands_in_the_column_named_by_its_attribute(tmp_path: Path) -> None:
    first, second = rows_of("MIB ravel", tmp_path)
    assert (first["answers"], first["foils"]) == ([" France"], [" Japan"])
    assert (second["answers"], second["foils"]) == ([" Spanish"], [" French"])
    assert [row["text"][slice(*row["spans"]["entity"])] for row in (first, second)] == ["Paris", "Lima"]
    assert first["template"] == "%s is a city in the country of"


def test_a_domain_is_a_task(tmp_path: Path) -> None:
    got = imported(put(tmp_path, SAMPLES["EWoK"]))
    assert {task: [row["text"] for row in rows] for task, rows in got.rows.items()} == {
        "social-relations": ["Ali is the teacher of Bo."], "physics": ["The cup fell."],
    }  # fmt: skip
    assert got.rows["physics"][0]["answers"] == [" It is lower now."]


def test_built_prompts_hold_their_examples_and_corrupted_ones_the_same_words_elsewhere(tmp_path: Path) -> None:
    rows = rows_of("function vectors", tmp_path)
    assert rows == rows_of("function vectors", tmp_path)
    assert rows != rows_of("function vectors", tmp_path, seed=1)
    known = dict(files.PAIRS)
    for row in rows:
        clean, corrupted = row["text"], row["corrupted"]["text"]
        asked = clean[slice(*row["spans"]["question"])]
        assert row["answers"] == [f" {known[asked]}"]
        assert corrupted[slice(*row["corrupted"]["spans"]["question"])] == asked
        if row["template"] == "frame-1":
            shown = [block.removeprefix("Q: ").split("\nA:") for block in clean.split("\n\n")]
            moved = [block.removeprefix("Q: ").split("\nA:") for block in corrupted.split("\n\n")]
            assert all(known[one] == two.strip() for one, two in shown[:-1])
            assert shown[-1] == [asked, ""]
            assert [one for one, _ in shown] == [one for one, _ in moved]
            assert sorted(two for _, two in shown) == sorted(two for _, two in moved)
            assert all(one != two for (_, one), (_, two) in zip(shown[:-1], moved[:-1], strict=True))
            assert clean[slice(*row["spans"]["last_output"])] == shown[-2][1].strip()
    assert {row["template"] for row in rows} == {"frame-1", "frame-2"}


def test_few_shot_prompts_need_more_pairs_than_examples(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="--shots N"):
        rows_of("function vectors", tmp_path, n_shots=6)
    with pytest.raises(ProfileError, match="not so many frames"):
        rows_of("function vectors", tmp_path, n_frames=99)


def test_an_option_is_marked_in_the_question(tmp_path: Path) -> None:
    first, second = rows_of("CAA", tmp_path)
    assert (first["answers"], first["foils"]) == ([" (A)"], [" (B)"])
    assert (second["answers"], second["foils"]) == ([" (B)"], [" (A)"])
    assert first["text"][slice(*first["spans"]["matching"])] == "(A) Yes"
    assert second["text"][slice(*second["spans"]["matching"])] == "(B) No"


def test_a_prompt_with_its_answer_begins_the_good_sentence(tmp_path: Path) -> None:
    for name, source in (("BLiMP with prefixes", files.BLIMP_PREFIX), ("BLiMP sentences", files.BLIMP_WHOLE)):
        for row, pair in zip(rows_of(name, tmp_path), source, strict=False):
            assert pair["sentence_good"].startswith(row["text"] + row["answers"][0])
            assert pair["sentence_bad"].startswith(row["text"] + row["foils"][0])
            assert row["concept"] == pair["UID"]
    whole = rows_of("BLiMP sentences", tmp_path)
    assert [row["text"] + row["answers"][0] for row in whole] == ["Who did Jo see?", "Who might Al like?"]
    assert list(imported(put(tmp_path, SAMPLES["BLiMP sentences"])).left) == [
        "its sentences differ in their first word"
    ]


def test_tokens_that_differ_are_marked_in_both_texts(tmp_path: Path) -> None:
    for row, pair in zip(rows_of("CausalGym", tmp_path), files.CAUSALGYM, strict=True):
        text, other = row["text"], row["corrupted"]
        (start, end), (other_start, other_end) = row["spans"]["changed"], other["spans"]["changed"]
        assert (text[start:end], other["text"][other_start:other_end]) == ("author", "authors")
        assert (text[:start], text[end:]) == (other["text"][:other_start], other["text"][other_end:])
        assert "<|endoftext|>" + text == "".join(pair["base"])
        assert (row["answers"], row["foils"]) == ([" is"], [" are"])


def test_lists_beside_each_other_need_one_length(tmp_path: Path) -> None:
    rows = rows_of("TransformerLens", tmp_path)
    assert [row["corrupted"] for row in rows] == files.LENS["corrupted_prompts"]
    (tmp_path / "short.json").write_text(json.dumps({**files.LENS, "answers": [[" Mary", " John"]]}))
    with pytest.raises(ProfileError, match="2 prompts, 2 corrupted_prompts, 1 answers"):
        imported(tmp_path / "short.json")


def test_a_table_is_read_by_common_names_over_quoted_lines(tmp_path: Path) -> None:
    first, second = rows_of("a table", tmp_path)
    assert (first["answers"], first["foils"], first["corrupted"]) == ([" Paris"], [" Rome"], "The capital of Italy is")
    assert second["text"] == 'He said "yes",\nthen said'
    assert (second["answers"], second["foils"], second["template"]) == ([" yes"], [" no", " never"], "said")
    notes = imported(put(tmp_path, SAMPLES["a table"])).notes
    assert 'not read: the columns "source"' in notes
    assert "a space was put before 2 answers and foils, such as 'Paris'" in notes


@pytest.mark.parametrize("header", [["goal", "target"], ["", "input"], ["input"]])
def test_a_refusal_set_is_refused_with_the_way_to_ask_it(header: list[str], tmp_path: Path) -> None:
    (tmp_path / "refusal.csv").write_text(sheet([header, ["x"] * len(header)]))
    with pytest.raises(ProfileError, match=r"read in the text it writes") as refused:
        imported(tmp_path / "refusal.csv")
    assert f"--text-column {'goal' if 'goal' in header else 'input'}" in str(refused.value)
    assert refused.value.exit_code == 2
