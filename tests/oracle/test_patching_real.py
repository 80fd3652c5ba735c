"""Patching, gradients and direct attribution of a real checkpoint, against TransformerLens on the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headscope.measure.alignment import Patch, Placed, Recipe, Slot
from headscope.measure.direct import measure_direct
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.gradients import GradientPasses
from headscope.measure.layout import PromptLayout
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.measure.patching import PatchStates
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.oracle.lens import CHECKPOINT, answers_of_transformer_lens, with_value_biases
from tests.tolerances import effect_error
from tests.unit.measure.made_up import CONTROL, JOY, LEXICON, READOUTS, asked, lexicons, made_up

pytestmark = pytest.mark.oracle
SETS = ("0:0", "4:10", "0:0,1:7,2:5,3:6,4:10")  # single heads, and a set in which later heads see earlier patches
TEXTS = {  # prompt: its tokens before the slot, in it, and after it
    "thanks": ("Hello there,", " thank you so much", " for your help today"),
    "blame": ("Hello there,", " this is very wrong", " for your help today"),
    "short": ("Well, hello,", " thanks", " for your help today"),
}


@pytest.fixture(scope="module")
def checkpoint(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_value_biases(shared / "models" / CHECKPOINT, tmp_path_factory.mktemp("lens") / "checkpoint")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> HeadModel:
    return load_model(checkpoint, device="cpu")


def placed(model: HeadModel, name: str, n_span: int | None = None) -> Placed:
    """A prompt whose readouts share one row; ``n_span`` cuts the slot to equal length."""
    before, slot, after = (model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS[name])
    slot = slot[:n_span]
    ids = [model.bos_token_id, *before, *slot, *after]
    first = 1 + len(before)
    return Placed(asked(name, "joy", name, ids, pack=True), Slot(first, first + len(slot), len(ids)))


def counterparts(target: Placed, source: Placed) -> list[tuple[int, int]]:
    """(source, target) tokens of prompts whose suffixes have equal length, the slot matched from its last token."""
    shift = source.slot.n_prompt - target.slot.n_prompt
    longest = max(len(one) for one in target.layout.sequences)
    return [(max(at + shift, source.slot.first), at) for at in range(target.slot.first, longest)]


def ids_of(prompt: PromptLayout, readout: int) -> list[int]:
    return list(prompt.sequences[readout].ids)


def log_odds(logits: np.ndarray) -> float:
    wide = logits.astype(np.float64)
    return float(np.logaddexp.reduce(wide[list(LEXICON)]) - np.logaddexp.reduce(wide[list(CONTROL)]))


def test_patches_equal_those_of_transformer_lens(model: HeadModel, checkpoint: Path, tmp_path: Path) -> None:
    """z of a prompt of equal and of different length; values and patterns of one of equal length; alpha 1."""
    target = placed(model, "thanks", 3)
    cases = [("z", "blame", 3), ("z", "short", None), ("v", "blame", 3), ("pattern", "blame", 3)]
    questions, got = [], []
    for what, name, n_span in cases:
        source = placed(model, name, n_span)
        assert (source.slot == target.slot) == (name == "blame")
        states = PatchStates(
            model, [Patch(target, {"patch": [source]})], Recipe(what), layers=range(8), batch_tokens=512
        )
        passes = ForcedPasses(
            model,
            [target.layout],
            fixed_text_outcomes(lexicons()),
            damage_on=frozenset(),
            states=states,
            batch_tokens=512,
        )
        outcomes = passes.measure([Arm(model.head_set(spec), "patch") for spec in SETS])
        assert np.abs(outcomes.change(JOY)).min() > 0.03, "a patch must move what is compared"
        got.append(outcomes.edited[JOY][:, 0])
        questions += [
            {
                "what": what, "heads": [(head.layer, head.head) for head in model.head_set(spec)],
                "source": ids_of(source.layout, r), "target": ids_of(target.layout, r),
                "places": [(s, t) for s, t in counterparts(target, source) if t < len(ids_of(target.layout, r))],
            }
            for spec in SETS
            for r in range(len(READOUTS))
        ]  # fmt: skip
    asking = {"ask": "patches", "folder": str(checkpoint), "asked": questions}
    lens = answers_of_transformer_lens(asking, tmp_path)
    answers = np.array([log_odds(lens[f"patched_{number}"]) for number in range(len(questions))])
    expected = answers.reshape(len(cases), len(SETS), len(READOUTS)).mean(-1)
    assert np.abs(np.stack(got) - expected).max() < effect_error(model)


def test_scores_of_heads_equal_those_of_transformer_lens(model: HeadModel, checkpoint: Path, tmp_path: Path) -> None:
    """Gradients by its hooks and autograd; direct attribution by its own stack of head results."""
    given = made_up(model, pack=True)
    passes = GradientPasses(
        model, given.prompts, given.log_odds, states=given.states, partners=given.partners, batch_tokens=512
    )
    fast = passes.measure(steps=0)
    direct = measure_direct(model, given.prompts, given.log_odds, states=given.states, batch_tokens=512)
    pairs = [
        (ids_of(prompt, r), ids_of(given.partners[prompt.id], r))
        for prompt in given.prompts
        for r in range(len(READOUTS))
    ]
    asking = {"ask": "scores", "folder": str(checkpoint), "asked": pairs, "lexicon": LEXICON, "control": CONTROL}
    lens = answers_of_transformer_lens(asking, tmp_path)
    compared = {"gate": fast.gate_gradient, "matched": fast.attribution_patching_matched, "direct": direct.heads}
    for name, found in compared.items():
        for p in range(1 if name == "matched" else len(given.prompts)):
            expected = np.mean([lens[f"{name}_{p * len(READOUTS) + r}"] for r in range(len(READOUTS))], axis=0)
            assert np.abs(expected).max() > 0.05
            assert np.abs(found[p] - expected).max() < effect_error(model)
