"""Direct attribution and the sources of patches in halves: nothing of a failed pass stays, and halvings are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import headscope.measure.direct as direct_module
import headscope.measure.patching as patching_module
import headscope.measure.source_passes as source_module
from headscope.api import attribute, patch
from headscope.engines.engine import Engine
from headscope.errors import WorkError
from headscope.heads import HeadSet
from headscope.measure.alignment import Patch, Placed, Recipe, Slot
from headscope.measure.direct import measure_direct
from headscope.measure.edit_kinds import PATCH_KINDS
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes, ForcedPasses
from headscope.measure.layout import PromptLayout
from headscope.measure.memory import RowTooLargeError
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.measure.patching import PatchStates
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.shards import Shards
from tests.laws.families import make, word_tokenizer
from tests.tolerances import FLOAT64, effect_error
from tests.unit.measure.made_up import JOY, asked, lexicons, made_up

SCORES = ("heads", "effect", "feed_forward", "attention_bias", "embedding", "bias", "total")


@pytest.fixture(scope="module")
def model() -> HeadModel:
    """Three layers of four heads in float64."""
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    model.hf.double()
    return model


def full_above(function: Callable[..., Any], n_rows: int, *, after: bool) -> Callable[..., Any]:
    """The function with a device that holds so many rows; ``after``, it is full when the pass has been seen."""

    def wrapped(model: HeadModel, batch: Any, *args: Any) -> Any:
        if len(batch) > n_rows and not after:
            raise torch.OutOfMemoryError
        result = function(model, batch, *args)
        if len(batch) > n_rows:
            raise torch.OutOfMemoryError
        return result

    return wrapped


@pytest.mark.parametrize(("n_rows", "after"), [(1, False), (2, True), (3, True)])
def test_direct_attribution_in_halves_gives_the_same_numbers(
    model: HeadModel, monkeypatch: pytest.MonkeyPatch, n_rows: int, after: bool
) -> None:
    """Two prompts in four rows: a prompt's rows fall into different halves, or into one."""
    given = made_up(model)

    def direct() -> direct_module.DirectScores:
        return measure_direct(model, given.prompts, given.log_odds, states=given.states, batch_tokens=512)

    whole = direct()
    monkeypatch.setattr(direct_module, "logits_at", full_above(direct_module.logits_at, n_rows, after=after))
    halved = direct()
    assert whole.n_halved == 0
    assert halved.n_halved == {1: 3, 2: 1, 3: 1}[n_rows]
    assert halved.additivity_error < FLOAT64
    for name in SCORES:
        assert np.allclose(getattr(whole, name), getattr(halved, name), atol=FLOAT64, equal_nan=True), name


def test_direct_attribution_of_a_row_that_does_not_fit_is_refused(
    model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = made_up(model)
    monkeypatch.setattr(direct_module, "logits_at", full_above(direct_module.logits_at, 0, after=False))
    with pytest.raises(WorkError, match="a single row does not fit into memory"):
        measure_direct(model, given.prompts, given.log_odds, states=given.states, batch_tokens=512)


def patches_of(model: HeadModel, source: str) -> list[Patch]:
    """Three targets of nine tokens; their sources, or the two whose mean is taken."""
    ids = [[3 + (7 * i + 5 * j) % 40 for j in range(9)] for i in range(5)]
    one = [Placed(asked(f"p{i}", "joy", f"t{i}", row, pack=i == 4), Slot(3, 5, len(row))) for i, row in enumerate(ids)]
    if source == "mean":
        return [Patch(target, {"patch": one[3:], "control_patch": one[3:4]}) for target in one[:3]]
    return [
        Patch(target, {"patch": [one[3 + i % 2]], "control_patch": [one[(i + 1) % 3]]})
        for i, target in enumerate(one[:3])
    ]


def measured(model: HeadModel, patches: list[Patch], what: str = "z") -> tuple[ForcedOutcomes, PatchStates]:
    states = PatchStates(model, patches, Recipe(what), layers=range(3), batch_tokens=512)
    targets: list[PromptLayout] = [one.target.layout for one in patches]
    passes = ForcedPasses(
        model,
        targets,
        fixed_text_outcomes(lexicons()),
        damage_on=frozenset(one.id for one in targets),
        states=states,
        batch_tokens=512,
    )
    arms = [
        Arm(HeadSet.parse(spec, model.heads_per_layer), kind) for kind in PATCH_KINDS for spec in ("0:1", "1:2,2:0")
    ]
    return passes.measure(arms), states


def assert_same(one: ForcedOutcomes, other: ForcedOutcomes, error: float = FLOAT64) -> None:
    for name in one.edited:
        for arms in ("baseline", "edited"):
            assert np.allclose(getattr(one, arms)[name], getattr(other, arms)[name], rtol=0.0, atol=error), name


@pytest.mark.parametrize(
    ("what", "source", "after"),
    [
        ("z", "partner", False), ("z", "partner", True), ("pattern", "partner", True), ("v", "partner", True),
        ("z", "mean", False), ("z", "mean", True),
    ],
)  # fmt: skip
def test_sources_in_halves_patch_the_same(
    model: HeadModel, monkeypatch: pytest.MonkeyPatch, what: str, source: str, after: bool
) -> None:
    """A source seen before its pass failed is not counted twice in a mean."""
    patches = patches_of(model, source)
    whole, states = measured(model, patches, what)
    assert whole.n_halved == states.n_halved == 0
    monkeypatch.setattr(source_module, "run_hidden", full_above(source_module.run_hidden, 1, after=after))
    halved, states = measured(model, patches, what)
    # A mean's sources run once, when the states are made; others with their targets.
    assert (states.n_halved > 0, halved.n_halved > 0) == (source == "mean", True)
    # Patterns are put in by attention in float32, whatever the model is.
    assert_same(whole, halved, effect_error(model) if what == "pattern" else FLOAT64)
    assert np.abs(whole.change(JOY)).max() > 1e-3, "a patch must move what is compared"


def test_a_source_that_does_not_fit_alone_is_refused(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "run_hidden", full_above(source_module.run_hidden, 0, after=False))
    for source in ("partner", "mean"):
        with pytest.raises(WorkError, match="a single row does not fit into memory"):
            measured(model, patches_of(model, source))


def test_where_the_sources_of_a_batch_do_not_fit_together_its_targets_are_halved(
    model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of all sources fills the memory, though each runs alone: fewer targets keep fewer sources."""
    patches = patches_of(model, "partner")
    whole, _ = measured(model, patches)
    watch = patching_module.watch_rows

    def full_above_two(model: HeadModel, rows: Any, *args: Any, **options: Any) -> Any:
        if len(rows) > 2:
            raise RowTooLargeError("full")
        return watch(model, rows, *args, **options)

    monkeypatch.setattr(patching_module, "watch_rows", full_above_two)
    halved, _ = measured(model, patches)
    assert halved.n_halved > 0
    assert_same(whole, halved)


@pytest.fixture(scope="module")
def demo() -> HeadModel:
    return load_model("demo")


@pytest.fixture(scope="module")
def few() -> Profile:
    """Two prompts of gratitude and their controls."""
    whole = load_profile("baseline")
    prompts = whole.prompts_of("gratitude")[::40]
    pairs = {prompt.pair for prompt in prompts}
    return replace(whole, prompts=(*prompts, *(one for one in whole.controls if one.id in pairs)))


@pytest.mark.parametrize("source", ["partner", "mean"])
def test_the_record_of_a_patch_tells_the_halvings_of_its_sources_after_a_resume_too(
    demo: HeadModel, few: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, source: str
) -> None:

    def patched() -> int:
        result = patch(
            demo, few, "1:0", concepts="gratitude", source=source, n_random=2, generate=False, batch_tokens=2048,
            engine=Engine(Shards(tmp_path, "request")),
        )  # fmt: skip
        return int(result.record["n_batches_halved"])

    monkeypatch.setattr(source_module, "run_hidden", full_above(source_module.run_hidden, 1, after=True))
    n_halved = patched()
    assert n_halved > 0
    assert patched() == n_halved


def test_the_record_of_an_attribution_tells_every_halving(
    demo: HeadModel, few: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    common: dict[str, Any] = {"concepts": "gratitude", "steps": 0, "batch_tokens": 2048}
    assert attribute(demo, few, verify=1, **common).record["n_batches_halved"] == 0
    monkeypatch.setattr(direct_module, "logits_at", full_above(direct_module.logits_at, 1, after=True))
    assert attribute(demo, few, verify=0, **common).record["n_batches_halved"] == 1
