"""How fast a prompt is read again under an edit: a click on a head, beside one plain forward pass of the same prompt.

    python -m benchmarks.explore [--rounds 30] [--threads 2] [--model NAME ...]

1. On the bundled model and on SmolLM2-135M-Instruct as its GGUF file, where it can be had; a prompt of 30 tokens.
2. In each round every reading has its turn and a plain pass of transformers before it, so that what disturbs the
   machine disturbs both. A click makes the edit anew, merges it, runs, and finds the next words; the unedited
   pass is kept, as it is while somebody plays. Each round edits another head of the layer.
3. Printed: seconds, and the ratio to the plain pass of the same turn, medians of the rounds, as a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch

import headscope as hs
from benchmarks import smollm2
from headscope.models.head_model import HeadModel
from headscope.verbs.inspection import Inspection

N_TOKENS = 30
LIMIT = 1.3
_TEXT = (
    "Thank you so much for everything that you did for my family when we came to this town, and for the kind words "
    "that you wrote to all of us in the winter after that."
)


def prompt_of(model: HeadModel) -> str:
    """The beginning of a text that is ``N_TOKENS`` tokens of this model, its BOS included."""
    words = _TEXT.split(" ")
    for n in range(len(words), 0, -1):
        text = " ".join(words[:n])
        if len(hs.inspect(model, text).ids) <= N_TOKENS:
            return text
    raise AssertionError("one word has more tokens than the prompt is to have")


def plain_pass(model: HeadModel, ids: list[int]) -> Callable[[], object]:
    """What transformers does without headscope: logits of all tokens, no cache."""
    batch = torch.tensor([ids])
    mask = torch.ones_like(batch)

    @torch.inference_mode()
    def run() -> object:
        return model.hf(input_ids=batch, attention_mask=mask, use_cache=False).logits

    return run


def readings(view: Inspection) -> dict[str, Callable[[int], object]]:
    """What somebody does in the view, by the number of the round."""
    n_layers, n_heads = len(view.model.heads_per_layer), view.model.heads_per_layer[0]
    middle = n_layers // 2

    def click(layer: int, kind: str) -> Callable[[int], object]:
        return lambda round_: view.likeliest([view.edit(f"{layer}:{round_ % n_heads}", kind)])

    def odds(layer: int) -> Callable[[int], object]:
        return lambda round_: view.log_odds([view.edit(f"{layer}:{round_ % n_heads}", "mean")])

    def first_token(round_: int) -> object:
        return next(view.write([view.edit(f"0:{round_ % n_heads}", "mean")]))

    return {
        "next words, a head of layer 0 off": click(0, "zero"),
        "next words, a head of layer 0 at its mean": click(0, "mean"),
        f"next words, a head of layer {middle} at its mean": click(middle, "mean"),
        "next words, all heads at their mean": lambda _: view.likeliest([view.edit("*", "mean")]),
        "log-odds, a head of layer 0": odds(0),
        f"log-odds, a head of layer {middle}": odds(middle),
        f"attention of a head of layer {middle}": lambda round_: view.attention(middle, round_ % n_heads),
        "first token of both texts": first_token,
    }


def measure(model: HeadModel, rounds: int) -> list[tuple[str, float, float]]:
    """Reading, seconds, and its ratio to the plain pass beside it; the plain pass first."""
    view = hs.inspect(model, prompt_of(model), profile="baseline")
    plain, jobs = plain_pass(model, view.ids), readings(view)
    for job in jobs.values():  # control states, the unedited passes, texts of tokens
        job(0)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for round_ in range(rounds):
        for name, job in jobs.items():
            times: list[float] = []
            for work in (plain, lambda job=job, round_=round_: job(round_)):
                before = time.perf_counter()
                work()
                times.append(time.perf_counter() - before)
            seconds[name].append((times[0], times[1]))
    every = [beside for pairs in seconds.values() for beside, _ in pairs]
    rows = [(f"plain pass of {len(view.ids)} tokens", statistics.median(every), 1.0)]
    for name, pairs in seconds.items():
        ratio = statistics.median(own / beside for beside, own in pairs)
        rows.append((name, statistics.median(own for _, own in pairs), ratio))
    return rows


def main() -> None:
    """Run all rounds on each model, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explore", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="how often every reading has its turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch")
    parser.add_argument("--model", nargs="*", default=[], help="models in place of the bundled one and SmolLM2")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = list(arguments.model)
    if not models:
        models = ["demo"]
        try:
            models.append(str(smollm2.gguf_file()))
        except smollm2.NotAtHandError as reason:
            print(f"left out: {smollm2.NAME} ({reason})\n")
    print(f"| model | what | seconds | x plain pass (next words: at most {LIMIT}) |\n|---|---|---|---|")
    for name in models:
        model = hs.load_model(name, device="cpu")
        for what, seconds, ratio in measure(model, arguments.rounds):
            print(f"| {name.rpartition('/')[2]} | {what} | {seconds:.4f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
