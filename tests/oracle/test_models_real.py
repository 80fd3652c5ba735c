"""Real checkpoints: two families, real tokenizers, the load check, eager attentions, and TransformerLens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from headscope.models.batches import Batch
from headscope.models.editing import value_bias, zero
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.reading import RowQueries, read_attention
from headscope.models.running import logits_at
from headscope.tokens import tree_row
from tests.laws import oracles
from tests.oracle.lens import CHECKPOINT, answers_of_transformer_lens, with_value_biases
from tests.tolerances import close

pytestmark = pytest.mark.oracle
TEXTS = (
    "Once upon a time there was a little girl named Lily.",
    "Once upon a time there was a dog",
    "Thank you so much for all of your help today, I am",
)
SHAPES = {"stories260K": (5, 8, 4, 8), "chat-gpt2-3M": (8, 16, 16, 8)}  # layers, heads, key/value heads, head size


@pytest.fixture(scope="module", params=list(SHAPES))
def real(request: pytest.FixtureRequest, shared: Path) -> tuple[HeadModel, Path]:
    folder = shared / "models" / request.param
    return load_model(folder, device="cpu"), folder


def encoded(model: HeadModel) -> list[list[int]]:
    return [[model.bos_token_id, *model.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in TEXTS]


def every_place(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    places = batch.attention_mask.bool().nonzero()
    return places[:, 0], places[:, 1]


def test_the_anatomy_is_the_published_one_and_every_law_passes(real: tuple[HeadModel, Path]) -> None:
    model, folder = real
    n_layers, n_heads, n_kv_heads, head_size = SHAPES[folder.name]
    assert model.heads_per_layer == (n_heads,) * n_layers
    assert {(layer.n_kv_heads, layer.head_size) for layer in model.anatomy.layers.values()} == {(n_kv_heads, head_size)}
    assert all(law.passed for law in model.laws.laws), str(model.laws)
    assert model.bos == "always"


@pytest.mark.parametrize("padding", ["left", "right"])
def test_rows_equal_eager_attentions_of_each_prompt_alone(real: tuple[HeadModel, Path], padding: str) -> None:
    model, folder = real
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    rows = encoded(model)
    batch = Batch.of_chains(rows, padding=padding, extra=3)  # type: ignore[arg-type]
    B, T = batch.ids.shape
    keys = torch.eye(T, dtype=torch.bool).expand(B, T, T, T)
    mass = read_attention(
        model, batch, RowQueries(torch.arange(T).expand(B, T), batch.attention_mask.bool(), keys)
    ).mass
    for row, ids in enumerate(rows):
        at = batch.attention_mask[row].bool()
        expected = oracles.attentions(eager, ids)
        assert close(mass[:, row][:, at][..., at].transpose(1, 2), expected, model)


@pytest.mark.parametrize("spec", ["0:1", "3:2", "1:0,2:7,4:5"])
def test_zero_edits_equal_zeroed_rows_of_the_projection(real: tuple[HeadModel, Path], spec: str) -> None:
    model, folder = real
    twin = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    heads = [(head.layer, head.head) for head in model.head_set(spec)]
    changed = oracles.without_heads(twin, heads, SHAPES[folder.name][3])
    rows = encoded(model)
    batch = Batch.of_chains(rows)
    with model.edit(zero(spec)):
        got = logits_at(model, batch, torch.arange(len(rows)), batch.ends())
    for row, ids in enumerate(rows):
        expected = oracles.logits(changed, ids)[-1]
        assert close(got[row], expected, model)


def test_prompts_packed_as_a_tree_equal_each_alone(real: tuple[HeadModel, Path]) -> None:
    model, _ = real
    rows = encoded(model)
    packed = tree_row(rows)
    assert len(packed) < sum(map(len, rows))
    batch = Batch(
        torch.tensor(packed.ids)[None],
        torch.tensor(packed.positions)[None],
        torch.ones(1, len(packed), dtype=torch.long),
        torch.tensor(packed.ancestry())[None],
    )
    tokens = torch.arange(len(packed))
    logits = logits_at(model, batch, torch.zeros_like(tokens), tokens)
    for path, ids in zip(packed.paths, rows, strict=True):
        alone = logits_at(model, Batch.of_chains([ids]), *every_place(Batch.of_chains([ids])))
        assert close(logits[torch.tensor(path)], alone, model)


def test_edits_and_patterns_equal_those_of_transformer_lens(shared: Path, tmp_path: Path) -> None:
    """The same edit on the same weights; it folds the value bias away, so its zeroed head leaves b_V."""
    spec = "0:3,2:11,5:7"
    folder = with_value_biases(shared / "models" / CHECKPOINT, tmp_path / "checkpoint")
    model = load_model(folder, device="cpu")
    rows = encoded(model)
    heads = [(head.layer, head.head) for head in model.head_set(spec)]
    lens = answers_of_transformer_lens({"ask": "edits", "folder": str(folder), "rows": rows, "heads": heads}, tmp_path)
    assert all(float(value_bias(model, layer).abs().max()) > 0.1 for layer in (0, 2, 5))
    for row, ids in enumerate(rows):
        batch = Batch.of_chains([ids])
        places = every_place(batch)
        plain = logits_at(model, batch, *places)
        with model.edit(zero(spec, value_bias="keep")):
            kept = logits_at(model, batch, *places)
        with model.edit(zero(spec)):
            dropped = logits_at(model, batch, *places)
        assert close(plain, lens[f"plain_{row}"], model)
        assert close(kept, lens[f"edited_{row}"], model)
        assert not torch.allclose(dropped, kept, atol=1e-2)
        T = len(ids)
        keys = torch.eye(T, dtype=torch.bool).expand(1, T, T, T)
        everything = RowQueries(torch.arange(T)[None], torch.ones(1, T, dtype=torch.bool), keys)
        mass = read_attention(model, batch, everything).mass[:, 0].transpose(1, 2)
        assert close(mass, lens[f"pattern_{row}"], model)
