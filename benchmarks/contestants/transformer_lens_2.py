"""TransformerLens 2.x: batched ``run_with_cache`` of patterns only, and the way of the Phase 6 study, one by one."""

from __future__ import annotations

from functools import partial

import torch
from lens import patterns, studied, sweep, written_one_by_one, written_together
from serving import Way, serve
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder: str) -> dict[str, Way]:
    """What this rival can do with the checkpoint."""
    hf = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    config = HookedTransformerConfig(
        n_layers=hf.config.n_layer,
        d_model=hf.config.n_embd,
        n_ctx=hf.config.n_positions,
        d_head=hf.config.n_embd // hf.config.n_head,
        n_heads=hf.config.n_head,
        d_mlp=4 * hf.config.n_embd,
        d_vocab=hf.config.vocab_size,
        act_fn="gelu_new",
        normalization_type="LN",
        eps=hf.config.layer_norm_epsilon,
    )
    model = HookedTransformer(config, tokenizer=AutoTokenizer.from_pretrained(folder))
    weights = convert_gpt2_weights(hf, config)
    model.load_and_process_state_dict(weights, fold_ln=False, center_writing_weights=False, center_unembed=False)
    model.eval()
    return {
        "screen/recommended": partial(patterns, model, size=32, only_patterns=True),
        "screen/study": partial(patterns, model, size=1, only_patterns=False),
        "long/recommended": partial(patterns, model, size=4, only_patterns=True),
        "sweep/recommended": partial(sweep, model),
        "generate/recommended": partial(written_together, model),
        "generate/study": partial(written_one_by_one, model),
        "phase6/study": partial(studied, model),
    }


serve(["torch", "transformers", "transformer_lens"], load)
