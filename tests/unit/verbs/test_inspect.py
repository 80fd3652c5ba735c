"""What is shown of one prompt is what the verbs measure of it; a reading that is given up leaves the model alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import headscope as hs
from headscope.errors import RequestError
from headscope.explore.facts import page_words
from headscope.verbs.inspect import Inspector
from headscope.verbs.inspection import TYPED, Inspection
from tests.tolerances import close, nats_error
from tests.unit.verbs.inspected import (
    ABLATED,
    HEADS,
    MANY,
    TEXT,
    demo,
    inspector,
    own_id,
    study,
    views,
    without_typed,
)


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


def test_a_prompt_is_pushed_along_another_concept_by_what_other_templates_say_of_it() -> None:
    """As a text would be whose profile lacks the prompt's template."""
    template = inspector().study.templates[own_id()]
    others = [one for one in without_typed().prompts if inspector().study.templates[one.id] != template]
    elsewhere = Inspector(demo(), replace(without_typed(), prompts=tuple(others))).read(TEXT)
    for concept in ("anger", "gratitude"):
        made = [view.edit("3:3", "add", dose=4.0, concept=concept) for view in (views()[own_id()], elsewhere)]
        got, expected = (edit.values_on(demo())[hs.Head(3, 3)] for edit in made)
        assert close(got, expected, demo()), concept


def test_what_takes_long_tells_how_far_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    view = Inspector(demo(), without_typed(), progress=lambda *how_far: told.append(how_far)).read(TEXT)
    for kind, dose, stage in (("mean", None, "control states"), ("add", 4.0, "steering vectors")):
        told.clear()
        view.edit("3:3", kind, dose=dose)
        total = told[0][2]
        assert told == [(stage, done, total) for done in range(total + 1)]
        assert all(stage in words["stages"] for words in page_words().values())


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


def test_a_dose_beyond_all_numbers_is_refused_without_a_warning() -> None:
    view = views()[TYPED]
    with pytest.raises(RequestError, match="not finite"):
        view.next_words([view.edit("3:3", "add", dose=1e308)])


def test_without_a_profile_only_what_needs_none_is_there() -> None:
    view = hs.inspect(demo(), TEXT)
    for edit in (view.edit(HEADS, "zero"), view.edit(HEADS, "bos"), view.edit(HEADS, "scale", factor=2.0)):
        assert np.abs(view.next_words([edit])["change"]).max() > 0
        assert view.log_odds([edit]).empty
    for kind, values in (("mean", {}), ("add", {"dose": 2.0})):
        with pytest.raises(RequestError, match="profile"):
            view.edit(HEADS, kind, **values)
