"""Laws of the training script: rows, batches and the learning rate are what the recipe says; too slow is an error."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from tests.tolerances import TINY
from training.grammar import documents
from training.train import (
    OutOfTimeError,
    Recipe,
    batches,
    encode,
    learning_rate_share,
    mean_loss_nats,
    new_model,
    pad,
    store,
    train,
)

SMALL = Recipe(steps=4, batch_documents=4, width=16, layers=1, heads=2, warmup_steps=2)


@pytest.fixture(scope="module")
def rows(demo_tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    return encode([text for _, text in documents(40, seed=0)], demo_tokenizer, SMALL.context_length)


def test_documents_begin_and_end_with_the_special_token(
    rows: list[list[int]], demo_tokenizer: PreTrainedTokenizerFast
) -> None:
    end = demo_tokenizer.eos_token_id
    assert all(row[0] == end == row[-1] and end not in row[1:-1] for row in rows)


def test_an_epoch_shows_every_row_once(rows: list[list[int]]) -> None:
    seen = [
        tuple(token for token, label in zip(ids.tolist(), labels.tolist(), strict=True) if label >= 0)
        for batch in islice(batches(rows, 4, random.Random(0)), len(rows) // 4)
        for ids, labels in zip(*batch, strict=True)
    ]
    assert sorted(seen) == sorted(map(tuple, rows))


def test_padding_carries_no_loss(rows: list[list[int]]) -> None:
    model = new_model(SMALL, 0).eval()
    short, long = min(rows, key=len), max(rows, key=len)
    with torch.inference_mode():
        alone = [mean_loss_nats(model, *pad([row])).item() * (len(row) - 1) for row in (short, long)]
        together = mean_loss_nats(model, *pad([short, long])).item() * (len(short) + len(long) - 2)
    assert together == pytest.approx(sum(alone), rel=TINY)


def test_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    recipe = Recipe()
    shares = [learning_rate_share(step, recipe) for step in range(recipe.steps)]
    assert max(shares) == pytest.approx(1.0)
    assert shares[: recipe.warmup_steps] == sorted(shares[: recipe.warmup_steps])
    assert shares[recipe.warmup_steps :] == sorted(shares[recipe.warmup_steps :], reverse=True)
    assert shares[-1] == pytest.approx(0.01, abs=1e-3)  # one step short of the end


def test_same_seed_same_weights_and_the_stored_folder_loads(
    rows: list[list[int]], demo_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    weights: list[torch.Tensor] = []
    for _ in range(2):
        model = new_model(SMALL, demo_tokenizer.eos_token_id)
        train(model, rows, SMALL, limit_s=60)
        weights.append(model.transformer.wte.weight.detach().clone())
    assert torch.equal(*weights)
    store(model, demo_tokenizer, {"recipe": 1}, tmp_path / "out")
    assert json.loads((tmp_path / "out/training_record.json").read_text()) == {"recipe": 1}
    assert (tmp_path / "out/model.safetensors").stat().st_mode & 0o777 == 0o644
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert torch.allclose(
        loaded.transformer.wte.weight, weights[0], atol=1e-3
    )  # stored in float16: weights up to 2 round by 2^-11
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("so")["input_ids"] == demo_tokenizer("so")["input_ids"]


def test_too_slow_a_machine_is_an_error(rows: list[list[int]]) -> None:
    with pytest.raises(OutOfTimeError, match="nothing was stored"):
        train(new_model(SMALL, 0), rows, SMALL, limit_s=0)
