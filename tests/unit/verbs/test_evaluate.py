"""The edits of ``headscope eval``: a mean is over all control prompts, token by token, and a factor is a factor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import headscope as hs
from headscope.heads import HeadSet
from headscope.models.editing import watching_z
from headscope.models.head_model import HeadModel
from headscope.study import Study
from headscope.verbs.making_edits import edit as edit_of
from tests.small_world import small_model, small_profile
from tests.tolerances import close

HEADS = "1:2,2:0"


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return small_model()


def output_of(model: HeadModel, ids: list[int], layer: int) -> torch.Tensor:
    """[T, H, d] z of one text alone."""
    seen: list[torch.Tensor] = []
    with torch.no_grad(), watching_z(model, lambda _, z: seen.append(z[0].clone()), [layer]):
        model.hf(torch.tensor([ids]))
    return seen[0]


def test_a_mean_is_over_every_token_of_every_control_prompt_with_each_readout(model: HeadModel) -> None:
    study = Study(model, small_profile())
    chosen = model.head_set(HEADS)
    edit = edit_of(study, chosen, kind="mean")
    for head in chosen:
        outputs = [
            output_of(model, list(sequence.ids), head.layer)[:, head.head]
            for control in study.controls
            for sequence in control.sequences
        ]
        assert close(edit.values[str(head)], np.concatenate(outputs).mean(axis=0), model)


def test_scaling_by_0_is_zero_and_by_1_is_nothing_to_the_bit(model: HeadModel) -> None:
    study, ids = Study(model, small_profile()), torch.tensor([[1, 5, 9, 12]])

    def logits(*edits: object) -> torch.Tensor:
        with torch.no_grad(), model.edit(*edits):  # type: ignore[arg-type]
            return model.hf(ids).logits

    def scaled(factor: float, heads: HeadSet) -> torch.Tensor:
        return logits(edit_of(study, heads, kind="scale", factor=factor))

    heads = model.head_set(HEADS)
    assert torch.equal(scaled(1.0, heads), logits())
    assert torch.equal(scaled(0.0, heads), logits(hs.zero(HEADS)))
    assert not torch.equal(scaled(2.0, heads), logits())
