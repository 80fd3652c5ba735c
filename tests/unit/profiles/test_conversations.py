"""Laws of prompts that are conversations: one text with known messages, places in a message, forms, checks."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import ProfileError
from headscope.profiles.assembling import fingerprint
from headscope.profiles.columns import Reading
from headscope.profiles.conversations import lexicon_span, told_apart
from headscope.profiles.loading import load_profile
from headscope.profiles.replacing import profile_from_files
from headscope.profiles.types import Message, Profile, Prompt
from headscope.stats.template_labels import templates_of
from tests.unit.profiles.test_loading import ROWS, folder

Row = dict[str, Any]


def talk(*contents: str, roles: str = "sua", **fields: Any) -> Row:
    """A row whose messages have these contents, by ``roles`` their first letters."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    turns = zip(roles, contents, strict=False)
    return {"messages": [{"role": names[role], "content": content} for role, content in turns], **fields}


JOY: list[Row] = [
    talk("Be brief.", "I am glad today.", id="joy-001", concept="joy", template="a", pair="n-1",
         span={"message": 1, "start": 5, "end": 9}),
    talk("Be brief.", "We won!", "We felt joyful", id="joy-002", concept="joy", template="b", pair="n-2"),
]  # fmt: skip
CALM: list[Row] = [
    talk("Be brief.", "I am busy today.", id="n-1", concept="calm", template="a",
         span={"message": 1, "start": 5, "end": 9}),
    talk("Be brief.", "We won!", "We felt ready", id="n-2", concept="calm", template="b"),
]  # fmt: skip
LOOSE: list[Row] = [*JOY, *({**row, "concept": "neutral"} for row in CALM)]
REST = [{**row, "pair": None} for row in ROWS if row["concept"] == "fear"]


def moods(at: Path, rows: list[Row]) -> Profile:
    return load_profile(folder(at, rows=[*rows, *REST]))


def task(at: Path, *rows: Row) -> Profile:
    at.mkdir(exist_ok=True)
    (at / "task.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return load_profile(at / "task.jsonl")


def test_a_conversation_is_one_text_that_knows_its_messages(tmp_path: Path) -> None:
    profile = moods(tmp_path, [*JOY, *CALM])
    first, second = profile.prompts_of("joy")
    assert first.text == "Be brief.\n\nI am glad today."
    assert first.turns == (("system", "Be brief."), ("user", "I am glad today."))
    assert second.roles == ("system", "user", "assistant")
    assert (first.span_text, second.span_text) == ("glad", "joyful"), "given in a message, and found by the lexicon"
    assert profile.has_messages
    assert not profile.goes_on(first)
    assert profile.goes_on(second)
    assert load_profile(folder(tmp_path / "plain")).prompts[0].turns == (("user", "I am glad today."),)


def test_an_entry_of_several_words_is_not_found_over_two_messages() -> None:
    text = "Say thank\n\nyou and thank you"
    talking = Prompt("a", text, "joy", messages=(Message("user", 0, 9), Message("user", 11, len(text))))
    assert lexicon_span(talking, ["thank you"]) == (19, 28)
    assert lexicon_span(replace(talking, messages=()), ["thank you"]) == (4, 14)
    assert lexicon_span(talking, ["grateful"]) is None


def test_one_message_of_a_user_is_a_plain_text(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": row["text"]}], **row} for row in ROWS]
    for row in rows:
        del row["text"]
    plain = load_profile(folder(tmp_path / "plain"))
    told = load_profile(folder(tmp_path / "told", rows=rows))
    assert not told.has_messages
    assert (told.prompts, told.fingerprint) == (plain.prompts, plain.fingerprint)
    rows[0]["span"] = {"message": 0, "start": 5, "end": 9}
    assert load_profile(folder(tmp_path / "told", rows=rows)).fingerprint == plain.fingerprint


def test_who_speaks_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    prints = {
        moods(tmp_path / roles, [talk("Be brief.", "I am glad.", roles=roles, concept="joy"), *CALM]).fingerprint
        for roles in ("su", "uu", "ua", "au")
    }
    joined = {"text": "Be brief.\n\nI am glad.", "concept": "joy"}
    prints.add(moods(tmp_path / "plain", [joined, *CALM]).fingerprint)
    assert len(prints) == 5


def test_a_profile_made_of_another_keeps_conversations_and_their_places(tmp_path: Path) -> None:
    base = moods(tmp_path / "base", [*JOY, *CALM])
    (tmp_path / "fear.txt").write_text("I was scared.\n")
    made = profile_from_files({"fear": tmp_path / "fear.txt"}, base)
    assert made.prompts_of("joy") == base.prompts_of("joy")
    assert made.controls == base.controls
    (tmp_path / "joy.jsonl").write_text("\n".join(map(json.dumps, JOY)))
    again = profile_from_files({"joy": tmp_path / "joy.jsonl"}, base)
    assert fingerprint(again) == fingerprint(base)


def test_the_same_rows_are_read_from_every_form_of_table(tmp_path: Path) -> None:
    rows = LOOSE
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "p.json").write_text(json.dumps(rows))
    names = ["id", "concept", "template", "pair", "messages", "span"]
    with (tmp_path / "p.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows:
            cells = {key: row.get(key, "") for key in names}
            writer.writerow(cells | {key: json.dumps(row[key]) for key in ("messages", "span") if key in row})
    made = [load_profile(tmp_path / f"p.{form}") for form in ("jsonl", "json", "csv")]
    assert len({profile.fingerprint for profile in made}) == 1
    assert made[0].has_messages
    assert any('the column "messages" holds the text' in warning for warning in made[0].warnings)


def test_messages_are_read_from_parquet_with_what_is_nothing_left_out(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = LOOSE
    named = [{**row, "messages": [{**one, "name": None} for one in row["messages"]]} for row in rows]
    parquet.write_table(pa.Table.from_pylist(named), tmp_path / "p.parquet")
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_profile(tmp_path / "p.parquet").fingerprint == load_profile(tmp_path / "p.jsonl").fingerprint


def test_messages_stand_in_for_a_text_that_is_not_there_and_for_no_other(tmp_path: Path) -> None:
    mixed = [{**JOY[0], "pair": None}, {"text": "We felt joyful.", "concept": "joy"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, mixed)))
    profile = load_profile(tmp_path / "p.jsonl")
    assert [prompt.roles for prompt in profile.prompts_of("joy")] == [("system", "user"), ("user",)]
    both = [{"text": "I am glad.", "concept": "joy", "messages": JOY[0]["messages"]}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, both)))
    profile = load_profile(tmp_path / "p.jsonl")
    assert profile.prompts[0].text == "I am glad."
    assert any('not read: the column "messages"' in warning for warning in profile.warnings)


def test_a_column_that_is_named_may_hold_conversations(tmp_path: Path) -> None:
    rows = [{"prompt": row["messages"], "content": "x", "concept": row["concept"]} for row in [*JOY, *CALM]]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    profile = load_profile(tmp_path / "p.jsonl", reading=Reading(text_column="prompt"))
    assert profile.prompts[0].roles == ("system", "user")


def test_an_author_of_conversations_is_told_what_weakens_them(tmp_path: Path) -> None:
    profile = moods(tmp_path, [*JOY, CALM[0], {**CALM[1], "messages": CALM[1]["messages"][:2]}])
    told = "\n".join(profile.warnings)
    assert "1 prompts are plain texts beside conversations" in told
    assert "1 prompts end in an assistant's words, which the model goes on with: joy-002" in told
    assert "1 prompts of joy have turns that no prompt of calm has" in told
    assert "1 prompts of fear have turns that no prompt of calm has" in told
    same = moods(tmp_path, [*JOY, *CALM])
    assert not any("of joy have turns" in warning for warning in same.warnings)
    assert not any("conversations" in warning for warning in load_profile(folder(tmp_path / "plain")).warnings)


@pytest.mark.parametrize(("roles", "n"), [("su", 0), ("ua", 1), ("us", None)])
def test_white_space_at_the_end_matters_where_the_model_goes_on_with_it(
    roles: str, n: int | None, tmp_path: Path
) -> None:
    row = talk("Hello", "I am glad ", roles=roles, concept="joy", id="x")
    if n is None:
        with pytest.raises(ProfileError, match="it comes first"):
            moods(tmp_path, [row, *CALM])
        return
    told = [one for one in moods(tmp_path, [row, *CALM]).warnings if "end in white space" in one]
    assert len(told) == n


def test_the_same_words_of_other_speakers_are_another_prompt(tmp_path: Path) -> None:
    rows = [talk("I am glad.", "Go on.", roles=roles, concept="joy", id=roles) for roles in ("su", "uu")]
    assert len(moods(tmp_path, [*rows, *CALM]).prompts_of("joy")) == 2
    with pytest.raises(ProfileError, match="are the same text"):
        moods(tmp_path, [rows[0], {**rows[0], "id": "again"}, *CALM])
    (tmp_path / "joy.jsonl").write_text("\n".join(map(json.dumps, [*rows, rows[0]])))
    once = load_profile(tmp_path / "joy.jsonl", reading=Reading(drop_duplicates=True))
    assert len(once.prompts_of("joy")) == 2


def test_a_tasks_conversation_and_its_partner_are_compared_message_by_message(tmp_path: Path) -> None:
    clean = talk(
        "Answer in a word.",
        "Mary and John went out. Who saw John?",
        "It was",
        id="t1",
        answers=[" Mary"],
        foils=[" John"],
        corrupted=talk("Answer in a word.", "Ann and John went out. Who saw John?", "It is"),
    )
    profile = task(tmp_path, clean)
    first, partner = profile.prompts[:2]  # then neutral ones, for one template has none to lend
    assert {name: first.text[slice(*span)] for name, span in first.spans.items()} == {
        "changed_1": "Mary",
        "changed_2": "was",
    }
    assert {name: partner.text[slice(*span)] for name, span in partner.spans.items()} == {
        "changed_1": "Ann",
        "changed_2": "is",
    }
    assert (partner.id, partner.roles, partner.answers) == ("t1-corrupted", first.roles, (" Mary",))
    listed = task(tmp_path / "list", {**clean, "corrupted": clean["corrupted"]["messages"]})
    assert listed.fingerprint == profile.fingerprint


def test_places_of_a_corrupted_conversation_are_given_in_its_messages(tmp_path: Path) -> None:
    partner = talk("Be brief.", "Ann came. Who?", spans={"io": {"message": 1, "start": 0, "end": 3}})
    row = talk(
        "Be brief.",
        "Mary came. Who?",
        id="t1",
        answers=["Mary"],
        foils=["Ann"],
        corrupted=partner,
        spans={"io": {"message": 1, "start": 0, "end": 4}},
    )
    profile = task(tmp_path, row)
    assert [prompt.text[slice(*prompt.spans["io"])] for prompt in profile.prompts[:2]] == ["Mary", "Ann"]
    partner["spans"]["io"]["message"] = 2
    with pytest.raises(ProfileError, match="prompt t1-corrupted has no message 2") as raised:
        task(tmp_path, row)
    assert "task.jsonl, line 1" in str(raised.value)


def test_partners_in_which_others_speak_have_no_places_in_common(tmp_path: Path) -> None:
    row = talk("Be brief.", "Mary came. Who?", id="t1", answers=["Mary"], corrupted="Ann came. Who?")
    first, partner = task(tmp_path, row).prompts[:2]
    assert not first.marked
    assert partner.roles == ("user",)


def test_answers_that_begin_a_turn_have_no_space_before_them(tmp_path: Path) -> None:
    def told(answer: str, *contents: str) -> list[str]:
        partner = talk(*(one.replace("Mary", "Ann") for one in contents))
        row = talk(*contents, id="t1", answers=[answer], foils=[answer.replace("Yes", "No")], corrupted=partner)
        return [one for one in task(tmp_path, row).warnings if "have answers that" in one]

    assert not told("Yes", "Be brief.", "Mary came?")
    assert "begin with a space, and begin the assistant's turn" in told(" Yes", "Be brief.", "Mary came?")[0]
    assert not told(" Yes", "Be brief.", "Mary came?", "I say")
    assert "continue its last word" in told("Yes", "Be brief.", "Mary came?", "I say")[0]


def test_what_every_conversation_says_does_not_make_their_templates_alike(tmp_path: Path) -> None:
    system = "You are an assistant that answers every question of the user in one short and friendly sentence."
    contents = ("I am glad today.", "The letter that came made us joyful.", "How happy she was to be home at last!")
    rows = [talk(system, content, concept="joy") for content in contents]
    profile = moods(tmp_path, [*rows, *(talk(system, row["messages"][1]["content"], concept="calm") for row in CALM)])
    apart = told_apart(profile.prompts)
    assert [text for text, _ in apart[:3]] == list(contents)
    assert [text[slice(*span)] for text, span in apart[:3] if span is not None] == ["glad", "joyful", "happy"]
    labels, _ = templates_of(profile)
    assert len({labels[prompt.id] for prompt in profile.prompts_of("joy")}) == 3
    alone = [prompt for prompt in profile.prompts if prompt.messages][:1]
    assert told_apart(alone) == [(alone[0].text, alone[0].span)]
    marked = replace(profile.prompts[0], span=(0, 3))
    assert told_apart([marked, *profile.prompts[1:]])[0] == (contents[0], None)
