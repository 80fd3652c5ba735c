"""Small tasks in words that tiny models have as tokens, and what plain transformers say of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from headscope.profiles.assembling import Draft, assemble
from headscope.profiles.formats import RawPrompt
from headscope.profiles.schema import PromptRow
from headscope.profiles.types import Lexicon, Profile, Prompt

Logits = Callable[[list[int]], torch.Tensor]
"""ids -> [T, V] of one sequence alone."""


def task_profile(rows: Sequence[dict[str, Any]], tasks: Sequence[str] = ("task",)) -> Profile:
    """The profile of rows with answers, all of them of the first task where they name none."""
    prompts = [(row.get("concept", tasks[0]), RawPrompt(PromptRow(**row), f"row {i}")) for i, row in enumerate(rows)]
    draft = Draft(
        "made-up", "made in memory", dict.fromkeys(tasks, Lexicon({})), prompts, tasks=dict.fromkeys(tasks, ""),
        control="corrupted",
    )  # fmt: skip
    return assemble(draft, None, strict=False)


def word_tasks() -> Profile:
    """Answers of one token, of several, of several beginnings; prompts of two lengths; one without foils."""
    rows: list[dict[str, Any]] = []
    for t in range(4):
        start, middle = f"w{3 + t} w{20 + t}", f"w{30 + t} w9 w{40 + t}" + (" w8 w7" if t % 2 else "")
        kinds = (
            ([f" w{50 + t}"], [f" w{55 + t}"]),
            ([f" w{50 + t} w60 w61", " w63"], [f" w{50 + t} w62", f" w{50 + t} w60 w64", " w65 w66"]),
            ([" w52 w53"], None),
        )
        for k, (answers, foils) in enumerate(kinds):
            text = f"{start} w{10 + k} {middle}"
            span = [len(start) + 1, len(f"{start} w{10 + k}")]
            rows.append(
                {
                    "text": text, "template": f"t{t}", "answers": answers, "foils": foils, "spans": {"place": span},
                    "corrupted": {"text": f"{start} w{15 + k} {middle}", "spans": {"place": span}},
                }
            )  # fmt: skip
    return task_profile(rows)


def log_odds_alone(logits: Logits, tokenizer: Any, prompt: Prompt, bos: int | None) -> float:
    """log sum P(answers) - log sum P(foils), a continuation at a time, each token from a sequence of its own."""
    start = [] if bos is None else [bos]
    before = start + tokenizer(prompt.text, add_special_tokens=False)["input_ids"]

    def of(continuation: str) -> float:
        whole = start + tokenizer(prompt.text + continuation, add_special_tokens=False)["input_ids"]
        assert whole[: len(before)] == before
        steps = range(len(before), len(whole))
        return sum(float(logits(whole[:at])[-1].double().log_softmax(-1)[whole[at]]) for at in steps)

    right, wrong = (np.logaddexp.reduce([of(one) for one in side]) for side in (prompt.answers, prompt.foils or ("",)))
    return float(right - wrong)
