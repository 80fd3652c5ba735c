"""TransformerLens 4: the bridge around a transformers model, batched, with only what is needed cached."""

from __future__ import annotations

from functools import partial

from lens import patterns, sweep, written_together
from lens_whole import library
from serving import Way, serve
from transformer_lens.model_bridge import TransformerBridge
from whole import whole


def load(folder: str) -> dict[str, Way]:
    """What this rival can do with the checkpoint."""
    model = TransformerBridge.boot_transformers(folder, device="cpu")
    # It takes leading pad tokens for padding, and its pad token may be the BOS, which every prompt begins with.
    model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(len(model.tokenizer) - 2)
    return {
        "screen/recommended": partial(patterns, model, size=32, only_patterns=True),
        "long/recommended": partial(patterns, model, size=4, only_patterns=True),
        "sweep/recommended": partial(sweep, model),
        "generate/recommended": partial(written_together, model),
        "whole/recommended": partial(whole, library(model)),
    }


serve(["torch", "transformers", "transformer_lens"], load)
