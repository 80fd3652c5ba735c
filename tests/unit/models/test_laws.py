"""The load check catches what it is there for: each deliberate fault is named with its measured difference."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest
import torch
from torch import nn

import headscope.models.laws as laws_module
from headscope.errors import LawError, ModelError
from headscope.models.anatomy import Anatomy
from headscope.models.attention import ScoredAttention
from headscope.models.batches import Batch
from headscope.models.editing import LayerEdit
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law, LawReport
from headscope.models.law_rows import tolerance_of
from headscope.models.laws import check_laws
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer


@pytest.fixture
def model() -> HeadModel:
    return load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu", unchecked=True)


def failed(report: LawReport) -> set[str]:
    return {law.name for law in report.laws if law.passed is False}


def test_a_sound_model_passes_every_law(model: HeadModel) -> None:
    report = check_laws(model)
    assert report.passed
    assert report is model.laws
    assert not failed(report)
    report.require("it")


def test_heads_counted_wrong_are_noticed(model: HeadModel) -> None:
    """Eight heads of four in place of four of eight: the same width, so nothing crashes."""
    layers = {n: dataclasses.replace(layer, n_heads=8, head_size=4) for n, layer in model.anatomy.layers.items()}
    model.anatomy = Anatomy(layers, len(layers))
    assert failed(check_laws(model)) == {"rows read x values = each head's z"}


def test_a_projection_that_is_another_module_is_noticed(model: HeadModel) -> None:
    layers = dict(model.anatomy.layers)
    layers[1] = dataclasses.replace(layers[1], projection=layers[0].projection)
    model.anatomy = Anatomy(layers, len(layers))
    assert not check_laws(model).passed


def test_rows_computed_with_the_wrong_key_heads_are_noticed(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ScoredAttention.rows

    def wrong(self: ScoredAttention, tokens: torch.Tensor) -> torch.Tensor:
        return right(dataclasses.replace(self, key=self.key.flip(1)), tokens)

    monkeypatch.setattr(ScoredAttention, "rows", wrong)
    assert failed(check_laws(model)) == {"rows read x values = each head's z"}


def test_rows_computed_with_the_wrong_scale_are_noticed(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ScoredAttention.rows
    monkeypatch.setattr(
        ScoredAttention,
        "rows",
        lambda self, tokens: right(dataclasses.replace(self, scaling=self.scaling * 1.01), tokens),
    )
    assert failed(check_laws(model)) == {"rows read x values = each head's z"}


def test_rows_that_see_the_future_are_noticed(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ScoredAttention.rows
    monkeypatch.setattr(
        ScoredAttention,
        "rows",
        lambda self, tokens: right(dataclasses.replace(self, mask=None, causal=False), tokens),
    )
    assert "rows are weights on earlier tokens" in failed(check_laws(model))


def test_padding_that_changes_results_is_noticed(model: HeadModel) -> None:
    """Positions that count the padding, as a plain forward would."""
    forward = model.hf.forward

    def without_positions(*args: object, position_ids: object = None, **kwargs: object) -> object:
        return forward(*args, **(kwargs | {"attention_mask": torch.ones_like(kwargs["input_ids"])}))  # type: ignore

    model.hf.forward = without_positions  # type: ignore[method-assign]
    assert {"padded left = unpadded"} <= failed(check_laws(model))


def test_an_edit_that_takes_another_head_is_noticed(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = laws_module.editing
    monkeypatch.setattr(
        laws_module,
        "editing",
        lambda model, edits: right(model, {i: LayerEdit(edit.gain.roll(1, -1)) for i, edit in edits.items()}),
    )
    assert "edit = zeroed rows of W_O" in failed(check_laws(model))


def test_an_edit_that_stays_is_noticed(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study's fault: hooks of earlier heads are still there when the next is measured."""

    class Staying:
        def __init__(self, model: HeadModel, edits: dict[int, LayerEdit]) -> None:
            self._block = right(model, edits)
            self._of_every_row = len(edits[0].gain) == 1

        def __enter__(self) -> None:
            self._block.__enter__()

        def __exit__(self, *_: object) -> None:
            if self._of_every_row:
                kept.append(self._block)
            else:
                self._block.__exit__(None, None, None)

    right, kept = laws_module.editing, []
    monkeypatch.setattr(laws_module, "editing", Staying)
    report = check_laws(model)
    assert {"edits are not cumulative", "after the block as before it"} <= failed(report)
    assert "hooks stay behind" in str(report)
    for block in reversed(kept):
        block.__exit__(None, None, None)


def test_an_attention_that_is_not_causal_is_refused(model: HeadModel) -> None:
    for layer in model.anatomy.layers.values():
        layer.attention.is_causal = False
    with pytest.raises(ModelError, match="looks at later tokens"):
        check_laws(model)


def test_a_failing_model_is_not_loaded_and_the_law_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ScoredAttention.rows
    monkeypatch.setattr(ScoredAttention, "rows", lambda self, tokens: 0.9 * right(self, tokens))
    with pytest.raises(LawError, match="rows read x values") as caught:
        load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu")
    assert re.search(r"at most 1\.\de-05", str(caught.value)), "that of a tiny model"
    assert caught.value.exit_code == 1
    load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu", unchecked=True)


class Gated(nn.Module):
    """A projection whose input is gated first: z is no longer the attention's output."""

    def __init__(self, projection: nn.Linear) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.rand(projection.in_features))
        self.inner = projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x * self.gate)


def test_a_gate_before_the_projection_is_seen_and_leaves_no_written_norm() -> None:
    hf = make("llama")
    for layer in hf.model.layers:
        layer.self_attn.o_proj = Gated(layer.self_attn.o_proj)
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    assert not model.anatomy.direct
    assert model.laws.passed
    assert "no written norm" in str(model.laws)
    assert not model.describe()["value_weighted"]


def test_half_precision_has_its_own_tolerance() -> None:
    model = load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu", dtype="bfloat16")
    assert model.laws.passed
    full = load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu")
    assert max(law.difference for law in model.laws.laws) > tolerance_of(full), "float32's would refuse it"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("factor", "named"), [(0.25, False), (2.0, True)])
def test_the_smallest_error_that_is_caught_is_the_tolerance(
    monkeypatch: pytest.MonkeyPatch, dtype: str, factor: float, named: bool
) -> None:
    """Padded logits that are off by so many tolerances of the largest, wherever they are computed."""
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu", dtype=dtype, unchecked=True)
    right = laws_module.all_logits

    def off(model: HeadModel, batch: Batch) -> list[torch.Tensor]:
        found = right(model, batch)
        if batch.width == batch.attention_mask.sum(dim=1).max():  # not padded by two more
            return found
        largest = max(1.0, *(float(one.abs().max()) for one in found))
        return [one + factor * tolerance_of(model) * largest for one in found]

    monkeypatch.setattr(laws_module, "all_logits", off)
    expected = {"padded right = unpadded", "padded left = unpadded"} if named else set()
    assert failed(check_laws(model)) == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_still_tells_an_encoder_a_wrong_head_and_a_wrong_position(
    monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    encoder, shifted, swapped = (
        load_model(make(family), tokenizer=word_tokenizer(), device="cpu", dtype=dtype, unchecked=True)
        for family in ("llama", "gpt2", "llama")
    )
    for layer in encoder.anatomy.layers.values():
        layer.attention.is_causal = False
    with pytest.raises(ModelError, match="looks at later tokens"):
        check_laws(encoder)
    forward = shifted.hf.forward
    shifted.hf.forward = lambda *args, position_ids=None, **kwargs: forward(*args, **kwargs)  # type: ignore
    assert not check_laws(shifted).passed
    right = laws_module.editing
    monkeypatch.setattr(
        laws_module,
        "editing",
        lambda model, edits: right(model, {i: LayerEdit(edit.gain.roll(1, -1)) for i, edit in edits.items()}),
    )
    assert "edit = zeroed rows of W_O" in failed(check_laws(swapped))


def test_a_context_too_short_for_a_law_leaves_it_unmeasured() -> None:
    model = load_model(make("gpt2", n_positions=3), tokenizer=word_tokenizer(), device="cpu")
    assert model.laws.passed
    cached = next(law for law in model.laws.laws if "cached" in law.name)
    assert cached.passed is None
    assert math.isnan(cached.difference)


def test_the_report_prints_as_a_table_and_as_json() -> None:
    report = LawReport(
        (
            Law("first", 0.0, 1e-5, True),
            Law("second", 3e-2, 1e-5, False, "why"),
            Law("third", math.nan, math.nan, None),
        ),
        checked=True,
    )
    lines = str(report).splitlines()
    assert lines[0].split() == ["law", "difference", "tolerance", "result", "note"]
    assert lines[2].split() == ["second", "3.0e-02", "1.0e-05", "FAILED", "why"]
    assert lines[3].split() == ["third", "-", "-", "-"]
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["laws"][2]["difference"] is None
    assert not report.passed
