"""An outcome of one's own is a function of a few lines: measured by every verb, resumed, equal to the slow way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headscope as hs
from headscope.engines.engine import Engine
from headscope.engines.ray import _with_model, _without_model
from headscope.errors import RequestError
from headscope.measure.forced import ForcedPasses
from headscope.measure.gradients import GradientPasses
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.outcomes import chosen_outcomes, outcome
from headscope.measure.outcomes.outcome import REGISTERED
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.runs.shards import Shards
from headscope.study import Study
from headscope.verbs.effect_rows import edited_sets
from headscope.verbs.sweep import sweep
from tests.reference import slow
from tests.tolerances import nats_error

HEADS = "1:0,3:2"


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    """Three outcomes, one read at each kind of place; gone when the test is."""
    before = dict(REGISTERED)

    @hs.outcome("p_of_a", unit="share", raises='says "a" more often')
    def p_of_a(logits: torch.Tensor, places: LogitPlaces) -> torch.Tensor:
        return logits.softmax(-1)[:, places.token_id(" a")]

    @hs.outcome("entropy_of_text", unit="nats", read_at="prompt")
    def entropy_of_text(logits: torch.Tensor, places: LogitPlaces) -> torch.Tensor:
        return -(logits.exp() * logits).sum(-1)

    @hs.outcome("n_letters", unit="letters", read_at="text")
    def n_letters(texts: list[str], prompts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return hs.load_model("demo")


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Two prompts of each concept and their controls."""
    whole = hs.load_profile("baseline")
    prompts = [one for name in whole.concepts for one in whole.prompts_of(name)[::30]]
    pairs = {one.pair for one in prompts}
    return replace(whole, prompts=(*prompts, *(one for one in whole.controls if one.id in pairs)))


def test_a_sweep_has_rows_of_it_that_agree_with_the_slow_way(model: HeadModel, profile: Profile) -> None:
    result = hs.sweep(model, profile, heads=HEADS, edits=["zero"], concepts="anger", outcomes=["p_of_a"])
    rows = result.table[result.table["outcome"] == "p_of_a"]
    assert rows["heads"].tolist() == HEADS.split(",")
    assert set(rows["unit"]) == {"share"}
    assert set(rows["concept"]) == {"anger"}
    assert set(rows["family"]) == {"sweep/p_of_a/zero"}
    assert [one["name"] for one in result.record["outcomes"]] == ["p_of_a"]
    token = model.tokenizer(" a", add_special_tokens=False)["input_ids"][0]
    for heads in (None, *HEADS.split(",")):
        twin = model.hf if heads is None else slow.without_heads(model.hf, model.head_set(heads).heads)
        for prompt in profile.prompts_of("anger"):
            expected = np.mean([share(twin, model.tokenizer, f"{prompt.text} {r}", token) for r in profile.readouts])
            arms = result.values["baseline_p_of_a"] if heads is None else result.values["edited_p_of_a"]
            mine = arms.sel(prompt=prompt.id)
            mine = mine if heads is None else mine[(result.values["heads"] == heads).to_numpy()]
            assert float(mine.squeeze()) == pytest.approx(expected, abs=nats_error(model))


def share(hf: Any, tokenizer: Any, text: str, token: int) -> float:
    with torch.inference_mode():
        logits = hf(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1]
    return float(logits.double().softmax(-1)[token])


def test_the_order_of_outcomes_changes_no_number_and_without_them_nothing_is_new(
    model: HeadModel, profile: Profile
) -> None:
    names = ["p_of_a", "entropy_of_text"]
    plain = hs.sweep(model, profile, heads=HEADS)
    both = [hs.sweep(model, profile, heads=HEADS, outcomes=order) for order in (names, names[::-1])]
    for result in both:
        mine = result.table[~result.table["outcome"].isin(names)].reset_index(drop=True)
        assert mine.astype(object).equals(plain.table.astype(object))
    for name in names:
        one, other = (result.table[result.table["outcome"] == name].reset_index(drop=True) for result in both)
        assert one.astype(object).equals(other.astype(object))
        assert set(one["concept"]) == ({"neutral"} if name == "entropy_of_text" else {"gratitude", "anger", "apology"})
    assert "outcomes" not in plain.record
    study = Study(model, profile)
    edits = [edit.arm for edit in edited_sets([model.head_set("1:0")], ["zero"], "single")]
    damage_on = frozenset(one.id for one in study.controls)
    first, second = (
        ForcedPasses(model, study.layouts, order, damage_on=damage_on, states=None, batch_tokens=2048).measure(edits)
        for order in (study.outcomes, study.outcomes[::-1])
    )
    for name in first.edited:
        assert np.array_equal(first.edited[name], second.edited[name], equal_nan=True)


def test_written_text_and_patches_are_measured_too(model: HeadModel, profile: Profile) -> None:
    common: dict[str, Any] = {"max_tokens": 2, "outcomes": ["n_letters", "p_of_a"]}
    ablated = hs.ablate(model, profile, HEADS, **common)
    texts = ablated.tables["texts"]
    rows = ablated.table[ablated.table["outcome"] == "n_letters"]
    assert set(rows["concept"]) == {"gratitude", "anger", "apology"}
    lengths = texts["baseline_text"].str.len()
    assert rows["baseline_mean"].between(lengths.min(), lengths.max()).all()
    patched = hs.patch(model, profile, HEADS, n_random=0, **common)
    rows = patched.table[patched.table["outcome"].isin(["n_letters", "p_of_a"])]
    assert set(rows["compared_with"]) == {"control_patch", "unpatched"}
    assert rows["share_recovered"].isna().all()


def test_kept_pieces_are_used_again_only_where_the_function_is_the_same(
    model: HeadModel, profile: Profile, tmp_path: Path
) -> None:
    def swept() -> tuple[Shards, Any]:
        shards = Shards(tmp_path, "request")
        study = Study(model, profile, outcomes=["p_of_a"], engine=Engine(shards))
        return shards, sweep(study, heads="1:0", edits=["zero"])

    shards, result = swept()
    again, second = swept()
    assert again.n_reused == shards.n_written > 0
    assert second.table.astype(object).equals(result.table.astype(object))

    @hs.outcome("p_of_a", unit="share")
    def other(logits: torch.Tensor, places: LogitPlaces) -> torch.Tensor:
        return logits.softmax(-1)[:, places.token_id(" the")]

    assert swept()[0].n_reused == 0


def test_autograd_derives_it(model: HeadModel, profile: Profile) -> None:
    """Against a difference quotient of the integral's end: the sum over heads is the effect of editing all at once."""
    study = Study(model, profile, concepts="anger")
    states = study.states(["mean"])
    prompts = [layout for layout in study.layouts if layout.concept == "anger"]
    (p_of_a,) = chosen_outcomes(["p_of_a"])
    passes = GradientPasses(model, prompts, {"anger": p_of_a}, states=states, partners={}, batch_tokens=2048)
    scores = passes.measure(steps=8)
    assert np.isfinite(scores.gate_gradient).all()
    assert np.abs(scores.completeness_error).max() < 0.1 * max(np.abs(scores.all_edited).max(), 1e-3)
    with pytest.raises(RequestError, match="has no gradient"):
        GradientPasses(
            model, prompts, {"anger": chosen_outcomes(["n_letters"])[0]}, states=states, partners={}, batch_tokens=64
        )


@pytest.mark.parametrize("name", ["kl_other", "Upper", "keyword_count_x", "a b", "a:b"])
def test_names_that_would_be_mistaken_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="cannot be named"):
        outcome(name, unit="share")


def test_what_is_not_registered_or_gives_no_number_a_place_is_refused(model: HeadModel, profile: Profile) -> None:
    with pytest.raises(RequestError, match='"nobody" is not registered'):
        hs.sweep(model, profile, outcomes=["nobody"])
    with pytest.raises(RequestError, match="once each"):
        hs.sweep(model, profile, outcomes=["p_of_a", "p_of_a"])

    @hs.outcome("one_number", unit="share")
    def one_number(logits: torch.Tensor, places: LogitPlaces) -> torch.Tensor:
        return logits.mean()

    with pytest.raises(RequestError, match="one number for each place"):
        hs.sweep(model, profile, heads="1:0", edits=["zero"], outcomes=["one_number"])


def test_a_function_of_the_script_itself_reaches_workers(model: HeadModel, profile: Profile) -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    study = Study(model, profile, outcomes=["p_of_a"])
    stage = study.stage("sweep", [edit.arm for edit in edited_sets([model.head_set("1:0")], ["zero"], "single")])
    passes = stage.passes()
    piece = passes.plan(stage.arms)[0]
    run = partial(passes.run, arms=stage.arms)
    there = _with_model(_without_model(run, cloudpickle.Pickler), model)
    assert np.array_equal(there(piece)["edited p_of_a"], run(piece)["edited p_of_a"])
    with pytest.raises(RequestError, match="cannot import"):
        _with_model(b"cnobody_has_this\nfunction\n.", model)
