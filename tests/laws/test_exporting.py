"""The law of an exported checkpoint, on every family: plain transformers reads from it the model under the edit.

Zero has an oracle of its own as well: a copy whose rows of W_O were set to zero by the family's own names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from headscope.errors import ModelError
from headscope.models.editing import HeadEdit, add, mean, replace, scale, zero
from headscope.models.exporting import export
from tests.laws import oracles
from tests.laws.families import FAMILIES, loaded, make, sequences
from tests.laws.folding_table import NO_ROOM, in_page, room, table
from tests.tolerances import TINY, close

N_TOKENS = 3
FOLDED_ALWAYS = ("zero", "scale")
# One for each way to hold the projection and its bias, and one of each kind of hybrid.
QUICK = ("gpt2", "llama", "falcon", "mpt", "seed_oss", "gemma4_text", "qwen3_next", "jamba")


def heads_of(family: str) -> list[tuple[int, int]]:
    """Two heads of the first layer that has any and one of the last."""
    layers = list(loaded(family).anatomy.layers)
    return [(layers[0], 0), (layers[0], 3), (layers[-1], 2)]


def edit_of(family: str, kind: str) -> HeadEdit:
    draws = torch.Generator().manual_seed(7)
    heads = heads_of(family)
    spec = ",".join(f"{layer}:{head}" for layer, head in heads)
    sizes = {layer: anatomy.head_size for layer, anatomy in loaded(family).anatomy.layers.items()}
    values = {head: torch.randn(sizes[head[0]], generator=draws) for head in heads}
    made = {
        "zero": zero(spec),
        "keep": zero(spec, value_bias="keep"),
        "scale": scale(spec, 1.7),
        "mean": mean(spec, values),
        "replace": replace(spec, values),
        "add": add(spec, values),
    }
    return made[kind]


def exported(family: str, edit: HeadEdit, folder: Path) -> PreTrainedModel:
    """The checkpoint, as five lines of plain transformers load it."""
    return AutoModelForCausalLM.from_pretrained(export(loaded(family), edit, folder).path).eval()


def cases() -> Iterator[Any]:
    """Every family with every edit; what says the same of most families twice is slow."""
    for family in FAMILIES:
        for kind in ("zero", "scale", "mean", "add"):
            slow = kind in ("scale", "add") and family not in QUICK
            yield pytest.param(family, kind, marks=[pytest.mark.slow] if slow else [], id=f"{family}-{kind}")


@pytest.mark.parametrize(("family", "kind"), list(cases()))
def test_a_plain_load_of_the_exported_model_is_the_model_under_the_edit(family: str, kind: str, tmp_path: Path) -> None:
    model, edit = loaded(family), edit_of(family, kind)
    if kind not in FOLDED_ALWAYS and room(family) == NO_ROOM:
        with pytest.raises(ModelError, match="no setting that adds one"):
            export(model, edit, tmp_path / "out")
        assert not list(tmp_path.iterdir())
        return
    before = {name: weight.clone() for name, weight in model.hf.state_dict().items()}
    plain = exported(family, edit, tmp_path / "out")
    moved = 0.0
    for ids in sequences():
        unedited = oracles.logits(model.hf, ids)
        with model.edit(edit) as hf:
            edited, text = oracles.logits(hf, ids), oracles.greedy(hf, ids, N_TOKENS)
        assert close(oracles.logits(plain, ids), edited, TINY)
        assert oracles.greedy(plain, ids, N_TOKENS) == text
        moved = max(moved, float((edited - unedited).abs().max()))
    assert moved > 0.05, "the edit under test must matter, else it proves nothing"
    assert all(torch.equal(weight, before[name]) for name, weight in model.hf.state_dict().items())
    if kind == "zero":
        assert_same_weights(plain, family)


def assert_same_weights(plain: PreTrainedModel, family: str) -> None:
    """Bit for bit those of a copy whose rows of W_O were set to zero by the family's own names."""
    sizes = {layer: anatomy.head_size for layer, anatomy in loaded(family).anatomy.layers.items()}
    expected = oracles.without_heads(make(family), heads_of(family), sizes).state_dict()
    got = plain.state_dict()
    assert list(got) == list(expected)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


@pytest.mark.parametrize("family", ["gpt2", "bloom", "starcoder2"])
def test_a_value_bias_that_is_kept_is_folded_as_a_bias(family: str, tmp_path: Path) -> None:
    model, edit = loaded(family), edit_of(family, "keep")
    plain = exported(family, edit, tmp_path / "out")
    for ids in sequences():
        with model.edit(edit) as hf:
            assert close(oracles.logits(plain, ids), oracles.logits(hf, ids), TINY)
        with model.edit(edit_of(family, "zero")) as hf:
            assert not close(oracles.logits(plain, ids), oracles.logits(hf, ids), TINY)


def test_the_page_says_which_families_can_fold_a_bias() -> None:
    assert in_page() == table(), "run `python -m tests.laws.folding_table`"
