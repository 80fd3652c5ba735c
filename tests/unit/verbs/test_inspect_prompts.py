"""Any text can be a prompt or is refused in a sentence; what is given up leaves the model alone; lines to paste."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import headscope as hs
from headscope.errors import Cancelled, ProfileError, RequestError
from headscope.heads import HeadSet
from headscope.measure.live_text import Chosen
from headscope.models.head_model import HeadModel
from headscope.verbs.inspect import Inspector
from headscope.verbs.inspect_lines import AskedEdit, shortened
from headscope.verbs.inspect_tokens import TokenTexts
from headscope.verbs.inspection import TYPED, Inspection
from tests.unit.verbs.inspected import (
    HEADS,
    TEMPLATE,
    TEXT,
    demo,
    inspector,
    own_id,
    views,
    without_typed,
)

# --- prompts ------------------------------------------------------------------------------------------------------


def test_characters_of_several_tokens_are_joined() -> None:
    text = "Thank you 🎉 for the 日本 tea  "
    view = hs.inspect(demo(), text)
    assert len(view.tokens) == len(view.ids) == len(view.special)
    assert view.special[0]
    assert "".join(view.tokens[1:]) == text
    assert max(view.tokens[1:].count(""), 0) >= 3, "no character had several tokens"


def test_texts_come_in_whole_characters() -> None:
    """A tokenizer whose tokens of an emoji are written one by one gives it when it is whole."""
    emoji = demo().tokenizer(" 🎉!", add_special_tokens=False)["input_ids"]
    chosen = [*(Chosen(0, token, ends=False) for token in emoji), Chosen(0, 0, ends=True)]
    pieces = [*TokenTexts(demo().tokenizer).pieces(chosen, ("baseline",))]
    assert "".join(piece.text for piece in pieces) == " 🎉!"
    assert all("\N{REPLACEMENT CHARACTER}" not in piece.text for piece in pieces)
    assert [piece.ends for piece in pieces] == [False] * len(emoji) + [True]


def test_what_is_written_is_told_token_by_token() -> None:
    view = views()[TYPED]
    pieces = [*view.write([view.edit(HEADS, "zero")], max_tokens=5)]
    for arm in ("baseline", "edited"):
        mine = [piece for piece in pieces if piece.arm == arm]
        assert [piece.ends for piece in mine] == [False] * 5 + [True]
        assert mine[-1].token_id is None
    assert [piece.arm for piece in pieces[:4]] == ["baseline", "edited"] * 2
    assert {piece.arm for piece in view.write(max_tokens=2)} == {"baseline"}


def test_an_empty_prompt_is_its_bos_and_without_one_is_refused() -> None:
    view = hs.inspect(demo(), "")
    assert view.ids == [demo().bos_token_id]
    assert len(view.next_words()) == 10
    with pytest.raises(ProfileError, match="no token"):
        hs.inspect(hs.load_model("demo", device="cpu", bos="never"), "")


def test_a_prompt_longer_than_the_context_is_refused_and_a_text_beyond_it() -> None:
    limit = demo().context_length
    assert limit is not None
    with pytest.raises(ProfileError, match="longer than the model's context"):
        hs.inspect(demo(), "tea " * limit)
    view = hs.inspect(demo(), "tea" + " tea" * (limit - 12))
    with pytest.raises(ProfileError, match="max-tokens"):
        next(view.write(max_tokens=limit))


def test_a_prompt_whose_readouts_leave_the_context_is_read_without_log_odds() -> None:
    limit = demo().context_length
    assert limit is not None
    text = "tea" + " tea" * (limit - 6)
    view = inspector().read(text)
    edits = [view.edit("3:3", "mean"), view.edit("1:0", "add", dose=2.0)]
    assert view.misfit is not None
    with pytest.raises(ProfileError, match="longer than the model's context"):
        view.log_odds(edits)
    assert view.next_words(edits)["change"].abs().max() > 0
    assert "log_odds" not in view.python(edits)
    assert "log_odds" in views()[TYPED].python(edits)
    assert views()[TYPED].misfit is None


def test_one_prompt_and_one_that_there_is() -> None:
    for asked in ({}, {"text": "a", "prompt": own_id()}, {"prompt": "no-such"}, {"messages": []}):
        with pytest.raises(RequestError):
            inspector().read(**asked)
    with pytest.raises(RequestError, match="joy"):
        inspector().read("a", concept="joy")
    with pytest.raises(RequestError, match="no token 99"):
        views()[TYPED].attention(0, 0, queries=[99])
    with pytest.raises(RequestError, match="another form"):
        hs.inspect(_chatting(), messages=[{"role": "robot", "content": "a"}])


def _chatting() -> HeadModel:
    tokenizer = copy.deepcopy(demo().tokenizer)
    tokenizer.chat_template = TEMPLATE
    return replace(demo(), tokenizer=tokenizer)


def test_a_chat_is_the_text_that_its_template_makes() -> None:
    model = _chatting()
    spoken = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": TEXT}]
    view = hs.inspect(model, messages=spoken, profile=without_typed())
    written_out = f"### system: Be kind.\n### user: {TEXT}\n### assistant: I"
    plain = hs.inspect(model, written_out, profile=without_typed())
    assert view.ids == plain.ids
    assert "".join(view.tokens[1:]) == written_out
    assert view.next_words().equals(plain.next_words())
    turn = hs.inspect(model, TEXT, chat_template=True)
    assert "".join(turn.tokens[1:]) == f"### user: {TEXT}\n### assistant: I"


# --- given up -----------------------------------------------------------------------------------------------------


READINGS: dict[str, Callable[[Inspection, Any], object]] = {
    "next words": lambda view, wanted: view.next_words([hs.zero("1:0")], cancelled=wanted),
    "log-odds": lambda view, wanted: view.log_odds([hs.zero("1:0")], cancelled=wanted),
    "attention": lambda view, wanted: view.attention(3, 0, [hs.zero("1:0")], cancelled=wanted),
    "map": lambda view, wanted: view.head_map(
        "attention", queries=[2], keys=[1], edits=[hs.zero("1:0")], cancelled=wanted
    ),
    "direct": lambda view, wanted: view.head_map(
        "direct", queries=[2], token_id=5, edits=[hs.zero("1:0")], cancelled=wanted
    ),
    "text": lambda view, wanted: [*view.write([hs.zero("1:0")], max_tokens=3, cancelled=wanted)],
    "mean": lambda view, wanted: view.edit("1:0", "mean", cancelled=wanted),
}


@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_that_is_given_up_leaves_the_model_as_it_was(reading: str) -> None:
    model = demo()
    ids = torch.tensor([[0, 5, 9]])

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())

    with torch.inference_mode():
        before, n_hooks = model.hf(input_ids=ids).logits, hooks()
    n_asked = 0
    for last in (0, 2, 4, 10**9):
        view, asked = Inspector(model, without_typed()).read(TEXT), [0]

        def wanted(asked: list[int] = asked, last: int = last) -> bool:
            asked[0] += 1
            return asked[0] > last

        if last < 10**9:
            with pytest.raises(Cancelled):
                READINGS[reading](view, wanted)
        else:
            READINGS[reading](view, wanted)
            n_asked = asked[0]
        with torch.inference_mode():
            assert torch.equal(model.hf(input_ids=ids).logits, before)
        assert hooks() == n_hooks
    assert n_asked > 4


def test_other_readings_may_run_while_a_text_is_written() -> None:
    view = views()[TYPED]
    edits = [view.edit(HEADS, "zero")]
    whole = [*view.write(edits, max_tokens=6)]
    pieces = []
    for piece in view.write(edits, max_tokens=6):
        view.next_words([view.edit("0:*", "zero")])
        pieces.append(piece)
    assert pieces == whole


# --- lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["zero", "mean", "bos", "scale=0.5", "scale=-1.0", "add=4.0", "add=-2.5:anger"])
def test_an_edit_is_read_from_the_word_it_is_written_as(word: str) -> None:
    view = views()[TYPED]
    asked = AskedEdit.read("3:*", word)
    made = view.edit(asked.heads, asked.kind, factor=asked.factor, dose=asked.dose, concept=asked.concept)
    again = AskedEdit.of(made, view.concept, demo().heads_per_layer)
    assert (again, again.word) == (asked, word)


@pytest.mark.parametrize(
    "word", ["", "scale", "scale=", "scale=x", "zero=1", "add", "add=4:", "scale=2:anger", "Mean=1"]
)
def test_a_word_of_another_form_is_refused(word: str) -> None:
    with pytest.raises(RequestError, match="malformed"):
        AskedEdit.read("3:*", word)


def test_lines_load_the_model_without_the_bos_that_it_was_loaded_without() -> None:
    view = hs.inspect(hs.load_model("demo", device="cpu", bos="never"), TEXT)
    assert "hs.load_model('demo', bos='never')" in view.python()
    assert all(" --bos never " in line for line in (view.command(), f"{view.test_command()} "))
    assert "bos" not in views()[TYPED].python() + views()[TYPED].command()


@pytest.mark.parametrize("edit", [hs.add("1:0", torch.ones(1, 16)), hs.zero("1:0", value_bias="keep")])
def test_values_that_were_given_stand_in_no_line(edit: hs.HeadEdit) -> None:
    with pytest.raises(RequestError, match="save it"):
        views()[TYPED].command([edit])


@pytest.mark.parametrize("spec", ["5:*", "0:0,0:1", "0:0-2", "1:3,2:*", "0:1,0:3-5,4:7", "*"])
def test_a_shortened_set_is_the_same_set(spec: str) -> None:
    shape = (8, 4, 1, 0, 8, 3)
    heads = HeadSet.parse(spec, shape)
    short = shortened(heads, shape)
    assert HeadSet.parse(short, shape) == heads
    assert len(short) <= len(str(heads))
