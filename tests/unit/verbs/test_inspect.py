"""What is shown of one prompt is what the verbs measure of it; a reading that is given up leaves the model alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import headscope as hs
from headscope.errors import Cancelled, ProfileError, RequestError
from headscope.heads import HeadSet
from headscope.measure.live_text import Chosen
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile, Prompt
from headscope.verbs.inspect import Inspector
from headscope.verbs.inspect_lines import AskedEdit, shortened
from headscope.verbs.inspect_tokens import TokenTexts
from headscope.verbs.inspection import TYPED, TYPED_TEMPLATE, Inspection
from tests.tolerances import close, nats_error

HEADS = "3:*,1:0"
MANY = "1:*,2:*,3:*"
TEXT = "Thank you so much"
ABLATED = ("mean", "zero", "bos")
TEMPLATE = (
    "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant: I{% endif %}"
)


@cache
def demo() -> HeadModel:
    return hs.load_model("demo", device="cpu")


@cache
def profile() -> Profile:
    """Seven templates of two concepts and their controls, two readouts, and a typed text beside them."""
    bundled = hs.load_profile("baseline")
    kept = sorted({prompt.template or "" for prompt in bundled.controls})[:7]
    prompts = [
        one for one in bundled.prompts if one.template in kept and one.concept in ("gratitude", "anger", "neutral")
    ]
    typed = Prompt(TYPED, TEXT, "gratitude", template=TYPED_TEMPLATE)
    return replace(
        bundled, concepts={name: bundled.concepts[name] for name in ("gratitude", "anger")},
        prompts=(typed, *prompts), readouts=bundled.readouts[:2],
    )  # fmt: skip


def without_typed() -> Profile:
    return replace(profile(), prompts=tuple(prompt for prompt in profile().prompts if prompt.id != TYPED))


@cache
def study(seed: int = 0) -> hs.Study:
    return hs.Study(demo(), profile(), seed=seed)


@cache
def inspector() -> Inspector:
    return Inspector(demo(), without_typed())


@cache
def own_id() -> str:
    return without_typed().prompts_of("gratitude")[2].id


def views() -> dict[str, Inspection]:
    """The id that the verbs know a prompt by -> the prompt inspected: one of the profile's, and a typed text."""
    return {own_id(): inspector().read(prompt=own_id()), TYPED: inspector().read(TEXT)}


def same_odds(view: Inspection, edits: list[hs.HeadEdit], values: Any, edited: Any) -> bool:
    """Whether the log-odds shown are those of arrays of a verb, [lexicon]."""
    table = view.log_odds(edits).set_index("concept")
    shown = [table.loc[list(values["lexicon"].values), name] for name in ("baseline_nats", "edited_nats")]
    error = nats_error(view.model)
    return all(
        np.allclose(got, expected, rtol=0.0, atol=error) for got, expected in zip(shown, (values, edited), strict=True)
    )


# --- the numbers are the verbs' -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [None, TYPED])
def test_log_odds_are_those_of_ablate(prompt: str | None) -> None:
    name = prompt or own_id()
    result = study().ablate(HEADS, concept="gratitude", prompts=[name], edits=ABLATED, generate=False)
    arrays, view = result.values.sel(prompt=name), views()[name]
    effects = []
    for number, kind in enumerate(ABLATED):
        edits = [view.edit(HEADS, kind)]
        assert same_odds(view, edits, arrays["baseline"], arrays["edited"].isel(edit=number)), kind
        effects.append(float(view.log_odds(edits)["change_nats"].abs().max()))
    assert min(effects) > 100 * nats_error(demo()), "edits that change nothing prove nothing"


@pytest.mark.parametrize("kind", ["scale", "add"])
def test_log_odds_are_those_of_steer(kind: str) -> None:
    """Of a prompt of the profile along the vector that its template was left out of."""
    own, amount = study().only(), 0.5 if kind == "scale" else 4.0
    result = hs.Study(demo(), without_typed()).steer(
        "3:3,1:0", edit=kind, doses=[amount], target="concept", generate=False, n_random=1
    )  # fmt: skip
    arrays, view = result.values.sel(prompt=own_id()), views()[own_id()]
    edit = view.edit("3:3,1:0", kind, **{"factor" if kind == "scale" else "dose": amount})
    baseline = own.ablate("0:0", concept="gratitude", prompts=[own_id()], edits=["zero"], generate=False).values[
        "baseline"
    ]
    steered = arrays["steered_gratitude"].isel(edit_gratitude=0)
    assert same_odds(view, [edit], baseline.sel(prompt=own_id()), steered)


def test_texts_that_are_read_after_each_other_are_told_apart() -> None:
    """They share an id, and what an inspector keeps."""
    texts = (TEXT, "I am angry at this", TEXT)
    tables = [inspector().read(text).log_odds([hs.zero(HEADS)]) for text in texts]
    alone = [hs.inspect(demo(), text, profile=without_typed()).log_odds([hs.zero(HEADS)]) for text in texts]
    assert all(got.equals(expected) for got, expected in zip(tables, alone, strict=True))
    assert not tables[0].equals(tables[1])


def test_a_typed_text_is_pushed_as_any_text_is() -> None:
    view = views()[TYPED]
    made = hs.steering_edit(inspector().study, "3:3,1:0", "gratitude", 4.0)
    got = view.edit("3:3,1:0", "add", dose=4.0).values_on(demo())
    assert all(torch.equal(got[head], value) for head, value in made.values_on(demo()).items())
    other = view.edit("3:3", "add", dose=4.0, concept="anger").values_on(demo())
    assert not torch.equal(other[hs.Head(3, 3)], got[hs.Head(3, 3)])


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("prompt", [None, TYPED])
def test_texts_are_those_of_ablate(prompt: str | None, seed: int) -> None:
    name, edits = prompt or own_id(), ("mean", "zero")
    result = study(seed).ablate(MANY, concept="gratitude", prompts=[name], edits=edits, max_tokens=12)
    texts, view = result.tables["texts"].set_index("edit"), views()[name]
    for kind in edits:
        got = view.texts([view.edit(MANY, kind)], max_tokens=12, seed=seed)
        assert got == {"baseline": texts.loc[kind, "baseline_text"], "edited": texts.loc[kind, "edited_text"]}
    assert len({*texts["edited_text"], *texts["baseline_text"]}) > 1, "arms that write the same prove nothing"


def test_a_map_of_attention_to_the_span_is_what_screen_reads() -> None:
    values = study().screen().values.sel(prompt=own_id())
    view = views()[own_id()]
    assert view.prompt.span is not None
    span = view.layout.tokens.of_span(view.prompt.span)
    for measure in ("attention", "value_weighted"):
        got = view.head_map(measure, queries=[len(view.ids) - 1], keys=span)
        assert close(got, values[measure].values, demo()), measure


def test_a_map_sums_over_keys_and_averages_over_queries() -> None:
    view = views()[TYPED]
    edits = [view.edit("1:*", "mean")]
    got = view.head_map("attention", queries=[2, 4], keys=[0, 2], edits=edits)
    rows = [[view.attention(layer, head, edits)[[2, 4]][:, [0, 2]] for head in range(4)] for layer in range(4)]
    assert close(got, [[pattern.sum(axis=1).mean() for pattern in layer] for layer in rows], demo())


# --- edits --------------------------------------------------------------------------------------------------------


def test_several_edits_are_nested_edits_of_the_model() -> None:
    view = views()[TYPED]
    edits = [
        view.edit("3:0-1", "zero"), view.edit("3:2", "mean"), view.edit("1:*", "scale", factor=0.25),
        view.edit("2:3", "add", dose=3.0), view.edit("3:3", "bos"),
    ]  # fmt: skip
    for some in (edits, edits[:1], edits[2:4], edits[4:]):
        with demo().edit(*some) as hf, torch.inference_mode():
            expected = hf(input_ids=torch.tensor([view.ids])).logits[0, -1].double().softmax(-1)
        table = view.next_words(some, n=20)
        got = table["probability_edited"].to_numpy()
        assert np.allclose(got, expected[table["token_id"].tolist()], rtol=0.0, atol=nats_error(demo()))
        assert np.abs(table["change"]).max() > 10 * nats_error(demo())


def test_next_words_are_the_likeliest_of_both_arms() -> None:
    view = views()[TYPED]
    table = view.next_words([view.edit("*", "zero")], n=7)
    with torch.inference_mode():
        plain = demo().hf(input_ids=torch.tensor([view.ids])).logits[0, -1].softmax(-1)
    assert set(plain.topk(7).indices.tolist()) <= set(table["token_id"])
    assert len(table) > 7, "arms that agree prove nothing"
    assert close(table["probability_baseline"], plain[table["token_id"].tolist()], demo())
    highest = table[["probability_baseline", "probability_edited"]].max(axis=1)
    assert highest.is_monotonic_decreasing
    assert (table["change"] == table["probability_edited"] - table["probability_baseline"]).all()
    alone = view.next_words(n=7)
    assert len(alone) == 7
    assert (alone["change"] == 0).all()


def test_a_saved_edit_does_what_is_shown(tmp_path: Any) -> None:
    view = views()[own_id()]
    for kind in ABLATED:
        edit = view.edit(HEADS, kind)
        again = hs.load_edit(demo().save_edit(tmp_path / f"{kind}.safetensors", edit))
        assert view.next_words([again]).equals(view.next_words([edit]))


def test_heads_that_are_edited_twice_are_refused() -> None:
    view = views()[TYPED]
    with pytest.raises(RequestError, match="head 3:1 is edited twice"):
        view.next_words([view.edit("3:*", "mean"), view.edit("3:1", "zero")])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("patch", {}), ("scale", {}), ("add", {}), ("zero", {"factor": 2.0}), ("mean", {"dose": 2.0}),
        ("scale", {"factor": float("nan")}), ("add", {"dose": 0.0}), ("add", {"dose": 1.0, "concept": "joy"}),
    ],
)  # fmt: skip
def test_an_edit_that_says_nothing_is_refused(kind: str, values: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        views()[TYPED].edit("3:1", kind, **values)


def test_without_a_profile_only_what_needs_none_is_there() -> None:
    view = hs.inspect(demo(), TEXT)
    for edit in (view.edit(HEADS, "zero"), view.edit(HEADS, "bos"), view.edit(HEADS, "scale", factor=2.0)):
        assert np.abs(view.next_words([edit])["change"]).max() > 0
        assert view.log_odds([edit]).empty
    for kind, values in (("mean", {}), ("add", {"dose": 2.0})):
        with pytest.raises(RequestError, match="profile"):
            view.edit(HEADS, kind, **values)


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
