"""Positions that depend on the longest row of a pass: a prompt's numbers never depend on its neighbours.

Each number is that of plain transformers with one prompt at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from headscope.errors import ProfileError, RequestError
from headscope.heads import HeadSet
from headscope.measure.alignment import Patch, Placed, Recipe, Slot
from headscope.measure.attention import Probe, read_probes
from headscope.measure.edits import Arm, ArmValues
from headscope.measure.forced import ForcedPasses
from headscope.measure.generation import TextPasses
from headscope.measure.layout import PromptLayout
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.measure.patching import PatchStates
from headscope.measure.sampling import Sampling
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.laws import check_laws
from headscope.models.lengths import MOST_TRIED
from headscope.models.loading import load_model
from headscope.models.running import logits_at, prefill, step
from headscope.tokens import tree_row
from tests.laws import oracles
from tests.laws.families import make, word_tokenizer
from tests.tolerances import TINY
from tests.unit.measure.made_up import CONTROL, JOY, LEXICON, asked, lexicons, tokens_of

LIMIT = 12
TOLERANCE = TINY  # of logits, relative to the largest where that is above 1
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 2.0, 4.0, 8.0],
}
SCHEMES: dict[str, tuple[str, dict[str, Any]]] = {
    "longrope": (
        "phi3",
        {"sliding_window": None, "rope_parameters": LONGROPE, "original_max_position_embeddings": LIMIT},
    ),
    "temperature by position": ("llama4_text", {"floor_scale": LIMIT + 1, "attention_chunk_size": 64}),
    "logarithm of position": ("inkling_text", {"log_scaling_n_floor": LIMIT, "sliding_window_size": 64}),
}
HEADS = HeadSet.parse("0:1,1:2", [4, 4, 4])
SHORT, LONG = [1, 3, 4, 5, 6], [[1, *(3 + (i * k) % 50 for i in range(n - 1))] for n, k in ((14, 7), (17, 5), (17, 11))]


def hf_of(scheme: str, **options: Any) -> PreTrainedModel:
    family, changes = SCHEMES[scheme]
    return make(family, **changes, **options)


@pytest.fixture(scope="module", params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(scheme: str) -> HeadModel:
    return load_model(hf_of(scheme), tokenizer=word_tokenizer(), device="cpu")


def asked_alone(name: str, ids: list[int]) -> PromptLayout:
    """A prompt without readouts."""
    tokens = tokens_of(tuple(ids))
    return PromptLayout(name, "joy", name, tokens, (tokens,), (tree_row([ids]),), ((0,),))


def log_odds(logits: torch.Tensor) -> tuple[float, float]:
    """Of the lexicon, and how far it may be off: a log of a sum of exponentials moves no more than its terms."""
    words, control = logits[list(LEXICON)], logits[list(CONTROL)]
    bound = 2 * TOLERANCE * max(1.0, float(logits.abs().max()))
    return float(words.logsumexp(0) - control.logsumexp(0)), bound


def test_neighbours_do_change_what_plain_transformers_computes(scheme: str) -> None:
    """Else the laws below prove nothing: a longer row in the batch, or padding, moves a row's numbers."""
    hf = hf_of(scheme)
    side = "right" if scheme == "longrope" else "left"
    batch = Batch.of_chains([SHORT, LONG[0], LONG[1]], padding=side)  # type: ignore[arg-type]
    with torch.no_grad():
        together = hf(input_ids=batch.ids, attention_mask=batch.attention_mask, position_ids=batch.positions).logits
    moved = [
        float((together[row][batch.attention_mask[row].bool()] - oracles.logits(hf, ids)).abs().max())
        for row, ids in enumerate([SHORT, LONG[0], LONG[1]])
    ]
    assert max(moved) > 0.01
    assert moved[2] < TOLERANCE, "the longest row is as it is alone"


def test_the_limit_is_found_and_the_load_check_tries_rows_beyond_it(model: HeadModel, scheme: str) -> None:
    assert model.row_limits.mixed == LIMIT
    law = next(law for law in model.laws.laws if str(LIMIT) in law.name)
    assert law.passed
    assert model.tree_row_limit == (None if "logarithm" in scheme else LIMIT)  # that family is never packed
    assert model.describe()["mixed_row_limit"] == LIMIT


def test_the_load_check_fails_where_such_rows_are_run_with_others(scheme: str) -> None:
    model = load_model(hf_of(scheme), tokenizer=word_tokenizer(), device="cpu", unchecked=True)
    model.mixed_row_limit = None
    failed = [law.name for law in check_laws(model).laws if law.passed is False]
    assert failed == [f"beside rows of more than {LIMIT} tokens = alone"]


def test_a_length_too_long_to_be_tried_is_named_and_kept() -> None:
    hf = make("phi3", sliding_window=None, rope_parameters=dict(LONGROPE), max_position_embeddings=8192)
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    law = next(law for law in model.laws.laws if "4096" in law.name)
    assert law.passed is None
    assert str(MOST_TRIED) in law.note
    assert model.mixed_row_limit == 4096


@pytest.mark.parametrize("pack", [True, False])
def test_attention_read_of_each_prompt_is_that_of_eager_alone(model: HeadModel, scheme: str, pack: bool) -> None:
    sequences = [SHORT, *LONG, [*SHORT, 9, 10]]
    probes = [Probe(index, (len(ids) - 1,), (1, 2)) for index, ids in enumerate(sequences)]
    found = read_probes(model, sequences, probes, batch_tokens=4000, pack=pack)["attention"]
    eager = hf_of(scheme, attention="eager")
    for values, ids in zip(found, sequences, strict=True):
        expected = oracles.attentions(eager, ids)[:, :, -1, [1, 2]].sum(-1)
        assert np.allclose(values, expected.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("pack", [True, False])
def test_outcomes_of_edits_are_those_of_each_prompt_alone(model: HeadModel, scheme: str, pack: bool) -> None:
    """A prompt whose readouts lie beyond the limit too, while it does not itself."""
    texts = {"short": SHORT, "at": LONG[0][: LIMIT - 2], "long": LONG[1], "other": LONG[2]}
    trees = {"short"} if pack and model.tree_row_limit is not None else set[str]()
    prompts = [asked(name, "joy", name, ids, pack=name in trees) for name, ids in texts.items()]
    arms = [Arm(HEADS, "zero"), Arm(HeadSet.parse("2:0", model.heads_per_layer), "zero")]
    passes = ForcedPasses(
        model, prompts, fixed_text_outcomes(lexicons()), damage_on=frozenset(), states=None, batch_tokens=4000
    )
    found = passes.measure(arms)
    plain = hf_of(scheme)
    models = [plain, *(oracles.without_heads(plain, [(h.layer, h.head) for h in arm.heads], 8) for arm in arms)]
    for values, hf in zip([found.baseline[JOY], *found.edited[JOY]], models, strict=True):
        for p, prompt in enumerate(prompts):
            expected, bounds = zip(
                *(log_odds(oracles.logits(hf, one.ids)[-1]) for one in prompt.sequences), strict=True
            )
            assert abs(float(values[p].item()) - np.mean(expected)) <= np.mean(bounds), prompt.id


@pytest.mark.parametrize("pack", [True, False])
def test_texts_are_those_of_each_prompt_alone(model: HeadModel, scheme: str, pack: bool) -> None:
    texts = [SHORT, LONG[0], LONG[1], [*SHORT, 9], LONG[2]]
    prompts = [asked_alone(f"p{index}", ids) for index, ids in enumerate(texts)]
    sampling = Sampling(max_tokens=6, samples=1, greedy=True, stop_at_eos=False)
    written = TextPasses(
        model, prompts, [None, Arm(HEADS, "zero")], sampling, states=ArmValues(model), batch_tokens=4000, pack=pack
    ).write()
    plain = hf_of(scheme)
    for of_arm, hf in zip(
        written, [plain, oracles.without_heads(plain, [(h.layer, h.head) for h in HEADS], 8)], strict=True
    ):
        for ids, samples in zip(texts, of_arm, strict=True):
            assert list(samples[0]) == oracles.greedy(hf, ids, 6)


def test_a_text_that_would_cross_the_limit_is_refused(model: HeadModel) -> None:
    prompts = [asked_alone("p", LONG[0][:8])]
    for n_tokens in (5, 6):
        sampling = Sampling(max_tokens=n_tokens, samples=1, greedy=True)
        if 8 + n_tokens - 1 <= LIMIT:
            TextPasses(model, prompts, [None], sampling, states=ArmValues(model), batch_tokens=400).write()
        else:
            with pytest.raises(ProfileError, match="cross the length"):
                TextPasses(model, prompts, [None], sampling, states=ArmValues(model), batch_tokens=400).write()


def patches_of(model: HeadModel, *pairs: tuple[list[int], list[int]]) -> tuple[list[PromptLayout], PatchStates]:
    """z of the heads of each source into its target, from the third token on."""
    patches: list[Patch] = []
    for index, ids in enumerate(pairs):
        both = [asked_alone(f"{name}{index}", one) for name, one in zip(("target", "source"), ids, strict=True)]
        target, source = (Placed(each, Slot(2, 3, each.n_prompt)) for each in both)
        patches.append(Patch(target, {"patch": [source], "control_patch": [source]}))
    states = PatchStates(model, patches, Recipe(), layers=range(len(model.anatomy)), batch_tokens=4000)
    return [patch.target.layout for patch in patches], states


def test_a_patch_from_beyond_the_limit_puts_in_what_the_source_does_alone(model: HeadModel, scheme: str) -> None:
    """z of the sources, which a hook on plain transformers catches and another one puts in."""
    near = [*SHORT[:2], 30, *SHORT[3:], 9]
    targets, states = patches_of(model, (SHORT, LONG[1]), (SHORT, near))
    arm = Arm(HeadSet.parse("2:*", model.heads_per_layer), "patch")
    passes = ForcedPasses(
        model, targets, fixed_text_outcomes([lexicons()[0]]), damage_on=frozenset(), states=states, batch_tokens=4000
    )
    found = passes.measure([arm]).edited[JOY][0]
    plain = hf_of(scheme)
    projection = oracles.projection(plain, 2)
    # The slot's token meets the source's, the last two meet its last two.
    for value, source, at in zip(found, (LONG[1], near), ([2, 15, 16], [2, 4, 5]), strict=True):
        caught: list[torch.Tensor] = []
        handle = projection.register_forward_pre_hook(lambda _, args, caught=caught: caught.append(args[0].clone()))
        oracles.logits(plain, source)
        handle.remove()

        def put(
            _: torch.nn.Module, args: tuple[torch.Tensor, ...], z: torch.Tensor = caught[0][:, at]
        ) -> tuple[torch.Tensor, ...]:
            return (torch.cat([args[0][:, :2], z], dim=1), *args[1:])

        handle = projection.register_forward_pre_hook(put)
        expected, bound = log_odds(oracles.logits(plain, SHORT)[-1])
        handle.remove()
        assert abs(value - expected) <= bound


def test_text_patched_from_the_other_side_of_the_limit_is_refused(model: HeadModel) -> None:
    targets, states = patches_of(model, (SHORT, LONG[1]))
    arm, sampling = Arm(HEADS, "patch"), Sampling(max_tokens=2, samples=1, greedy=True)
    with pytest.raises(RequestError, match="side by side"):
        TextPasses(model, targets, [None, arm], sampling, states=states, batch_tokens=400).write()


def test_a_pass_that_would_break_the_rule_is_refused(model: HeadModel) -> None:
    mixed = Batch.of_chains([SHORT, LONG[0]])
    with pytest.raises(RequestError, match="cannot be run together"):
        logits_at(model, mixed, torch.arange(2), mixed.ends())
    _, cache = prefill(model, Batch.of_chains([LONG[0][:LIMIT]], padding="left"))
    with pytest.raises(RequestError, match="cannot go on"):
        step(model, cache, torch.tensor([[5]]), torch.tensor([[LIMIT]]), torch.ones(1, LIMIT + 1, dtype=torch.long))


def test_dynamic_frequencies_never_come_into_play() -> None:
    """They change beyond the context, and longer rows than that are refused."""
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    model = load_model(make("llama", rope_parameters=rope, max_position_embeddings=16), tokenizer=word_tokenizer())
    assert model.mixed_row_limit is None
    batch = Batch.of_chains([LONG[1]])
    with pytest.raises(RequestError, match="longer than the model's context"):
        logits_at(model, batch, torch.zeros(1, dtype=torch.long), batch.ends())
