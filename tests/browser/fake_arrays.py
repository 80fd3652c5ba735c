"""Arrays that fit ``fake_tables``: values of single prompts around the tables' means, and attention rows to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from headscope.plots.selecting import lone_effects, screen_rows
from tests.unit.report.fake_tables import CONCEPTS

N_PROMPTS = 6
TOKENS = ("", "I", " am", " grateful", " today", ".", " so")


def fake_arrays(tables: Mapping[str, pd.DataFrame], concepts: Sequence[str] = CONCEPTS) -> dict[str, xr.Dataset]:
    """``screen`` and ``sweep`` of a run whose tables are ``tables``; prompts lie evenly around each head's mean."""
    screen, effects = screen_rows(tables["screen"]), lone_effects(tables["effects"])
    n_layers, n_heads = int(screen["layer"].max()) + 1, int(screen["head"].max()) + 1
    spread = np.linspace(-0.1, 0.1, N_PROMPTS)
    prompts = [f"{concept}-{number:03d}" for concept in concepts for number in range(1, N_PROMPTS + 1)]
    of_prompt = [concept for concept in concepts for _ in range(N_PROMPTS)]
    attention = np.zeros((len(prompts), n_layers, n_heads))
    edited = np.zeros((n_layers * n_heads, len(prompts), len(concepts)))
    for at, concept in enumerate(concepts):
        rows = slice(at * N_PROMPTS, (at + 1) * N_PROMPTS)
        looks = screen[screen["concept"] == concept].set_index(["layer", "head"])["estimate"]
        acts = effects[effects["concept"] == concept].set_index(["layer", "head"])["estimate"]
        for layer, head in np.ndindex(n_layers, n_heads):
            attention[rows, layer, head] = looks[(layer, head)] + spread
            edited[layer * n_heads + head, rows, at] = acts[(layer, head)] + spread
    return {
        "screen": _screen(prompts, of_prompt, attention, concepts),
        "sweep": _sweep(prompts, of_prompt, edited, n_heads),
    }


def _screen(prompts: list[str], of_prompt: list[str], attention: np.ndarray, concepts: Sequence[str]) -> xr.Dataset:
    _, n_layers, n_heads = attention.shape
    rows = np.zeros((len(concepts), n_layers, n_heads, len(TOKENS)), dtype=np.float32)
    heads = np.arange(n_layers * n_heads).reshape(n_layers, n_heads)
    np.put_along_axis(rows, np.broadcast_to(heads % len(TOKENS), rows.shape[:3])[..., None], 1.0, axis=-1)
    return xr.Dataset(
        {
            "attention": (("prompt", "layer", "head"), attention),
            "attention_control": (("prompt", "layer", "head"), np.zeros_like(attention)),
            "example_attention": (("example", "layer", "head", "token"), rows),
        },
        coords={
            "prompt": prompts,
            "concept": ("prompt", of_prompt),
            "example": [f"{concept}-001" for concept in concepts],
            "example_concept": ("example", list(concepts)),
            "example_query": ("example", [len(TOKENS) - 1] * len(concepts)),
            "token_text": (("example", "token"), [list(TOKENS)] * len(concepts)),
            "token_in_span": (("example", "token"), [[word == " grateful" for word in TOKENS]] * len(concepts)),
        },
    )


def _sweep(prompts: list[str], of_prompt: list[str], edited: np.ndarray, n_heads: int) -> xr.Dataset:
    specs = [f"{index // n_heads}:{index % n_heads}" for index in range(len(edited))]
    concepts = list(dict.fromkeys(of_prompt))
    return xr.Dataset(
        {
            "baseline": (("prompt", "lexicon"), np.zeros(edited.shape[1:])),
            "edited": (("edit", "prompt", "lexicon"), edited),
        },
        coords={
            "prompt": prompts,
            "concept": ("prompt", of_prompt),
            "lexicon": concepts,
            "edit": [f"mean({spec})" for spec in specs],
            "heads": ("edit", specs),
            "kind": ("edit", ["mean"] * len(specs)),
        },
    )
