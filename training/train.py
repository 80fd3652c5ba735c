"""Train the bundled model: a small GPT-2 on the corpus of ``grammar.py``.

1. Make the corpus and the tokenizer from the seed.
2. One document a row, ``<|endoftext|>`` before and after it, rows of similar length together; padding carries no loss.
3. AdamW with a warm-up and a cosine over *steps*, so the result does not depend on the machine's speed; a cap on wall
   time ends a run that is too slow with an error instead of a half-trained model.
4. Store the weights in float16 with tokenizer, configuration and the record of the run.

Run from the project's root: ``python -m training.train --seed 0 --out build/demo-0``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from training.grammar import documents
from training.tokenizer import END_OF_TEXT, VOCABULARY_SIZE, train_tokenizer

_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Recipe:
    """Everything the result depends on, beside the code."""

    seed: int = 0
    document_count: int = 60_000
    validation_count: int = 1_000
    vocabulary_size: int = VOCABULARY_SIZE
    context_length: int = 192
    layers: int = 4
    heads: int = 4
    width: int = 128
    steps: int = 1800
    batch_documents: int = 32
    learning_rate: float = 3e-3
    beta2: float = 0.98
    weight_decay: float = 0.05
    warmup_steps: int = 100
    gradient_norm: float = 1.0


class OutOfTimeError(RuntimeError):
    """The cap on wall time was reached before the last step."""


def corpus_digest(texts: list[str]) -> str:
    """SHA-256 of the documents, joined by line ends."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def end_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Id of the token that begins and ends every document."""
    return tokenizer.get_vocab()[END_OF_TEXT]


def encode(texts: list[str], tokenizer: PreTrainedTokenizerFast, context_length: int) -> list[list[int]]:
    """Token ids of each document, with ``<|endoftext|>`` at both ends, cut at the context length."""
    end = end_id(tokenizer)
    rows: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [[end, *row, end][:context_length] for row in rows]


def batches(rows: list[list[int]], size: int, rng: random.Random) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (ids, labels) [B, T] for ever, all rows once an epoch; labels of padding are -100.

    Rows are shuffled, sorted by length within pools of sixteen batches, and the batches of a pool shuffled.
    """
    order = list(range(len(rows)))
    while True:
        rng.shuffle(order)
        for start in range(0, len(order) - size + 1, 16 * size):
            pool = sorted(order[start : start + 16 * size], key=lambda index: len(rows[index]))
            groups = [pool[first : first + size] for first in range(0, len(pool) - size + 1, size)]
            rng.shuffle(groups)
            for group in groups:
                yield pad([rows[index] for index in group])


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad rows to one length: ids [B, T] padded with 0, labels [B, T] padded with -100."""
    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (length - len(row)) for row in rows])
    return ids, labels


def learning_rate_share(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then a cosine down to a hundredth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def new_model(recipe: Recipe, end_id: int) -> GPT2LMHeadModel:
    """An untrained GPT-2 of the recipe's shape, seeded."""
    torch.manual_seed(recipe.seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=recipe.vocabulary_size,
            n_positions=recipe.context_length,
            n_embd=recipe.width,
            n_layer=recipe.layers,
            n_head=recipe.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=end_id,
            eos_token_id=end_id,
        )
    )


def optimizer_of(model: GPT2LMHeadModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only."""
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2))


def mean_loss_nats(model: GPT2LMHeadModel, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean loss in nats per predicted token of a padded batch: a scalar."""
    logits = model(input_ids=ids, attention_mask=(labels >= 0).long()).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def train(model: GPT2LMHeadModel, rows: list[list[int]], recipe: Recipe, limit_s: float) -> float:
    """Train in place; return the seconds it took.

    Raises:
        OutOfTimeError: ``limit_s`` seconds passed before the last step.
    """
    optimizer = optimizer_of(model, recipe)
    stream = batches(rows, recipe.batch_documents, random.Random(f"batches {recipe.seed}"))  # noqa: S311
    model.train()
    start = time.monotonic()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * learning_rate_share(step, recipe)
        ids, labels = next(stream)
        loss = mean_loss_nats(model, ids, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        elapsed = time.monotonic() - start
        if step % 100 == 0 or step == recipe.steps - 1:
            print(f"step {step:4d}  loss {loss.item():.4f} nats/token  {elapsed:.0f} s", flush=True)
        if elapsed > limit_s:
            raise OutOfTimeError(
                f"{step + 1} of {recipe.steps} steps in {elapsed:.0f} s, the limit is {limit_s:.0f} s; nothing was "
                "stored. Train on an idle machine (another busy process slows two threads tenfold) or give a larger "
                "--time-limit-s."
            )
    return time.monotonic() - start


@torch.inference_mode()
def validation_loss_nats(model: GPT2LMHeadModel, rows: list[list[int]]) -> float:
    """Mean loss in nats per predicted token over held-out documents."""
    model.eval()
    total, count = 0.0, 0
    ordered = sorted(rows, key=len)
    for start in range(0, len(ordered), 64):
        ids, labels = pad(ordered[start : start + 64])
        tokens = int((labels[:, 1:] >= 0).sum())
        total += mean_loss_nats(model, ids, labels).item() * tokens
        count += tokens
    return total / count


def store(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, record: dict[str, object], out: Path) -> None:
    """Write the checkpoint in float16, the tokenizer and ``training_record.json``, readable by all."""
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "training_record.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for path in (*(out / name for name in _FILES), out / "training_record.json"):
        path.chmod(0o644)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train headscope's bundled model.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--time-limit-s", type=float, default=600.0, help="wall time after which training fails")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    recipe = Recipe(seed=options.seed, steps=options.steps)
    texts = [text for _, text in documents(recipe.document_count, seed=recipe.seed)]
    held_out = [text for _, text in documents(recipe.validation_count, seed=recipe.seed, stream="validation")]
    tokenizer = train_tokenizer(texts, vocabulary_size=recipe.vocabulary_size)
    rows = encode(texts, tokenizer, recipe.context_length)
    print(f"{len(rows)} documents, {sum(map(len, rows))} tokens, longest {max(map(len, rows))}", flush=True)
    model = new_model(recipe, end_id(tokenizer))
    seconds = train(model, rows, recipe, options.time_limit_s)
    loss = validation_loss_nats(model, encode(held_out, tokenizer, recipe.context_length))
    print(f"validation loss {loss:.4f} nats/token", flush=True)
    record: dict[str, object] = {
        "recipe": asdict(recipe),
        "corpus_sha256": corpus_digest(texts),
        "token_count": sum(map(len, rows)),
        "parameter_count": sum(weight.numel() for weight in model.parameters()),
        "validation_loss_nats": round(loss, 4),
    }
    store(model, tokenizer, record, options.out)
    print(f"stored in {options.out} after {seconds:.0f} s of training")


if __name__ == "__main__":
    main()
