"""Run by TransformerLens' own Python, never imported: its logits and patterns for a GPT-2 checkpoint, as an .npz.

Usage: python transformer_lens_side.py FOLDER OUT.npz '[[ids], ...]' 'LAYER:HEAD,...'
"""

import json
import sys

import numpy as np
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import AutoModelForCausalLM


def main() -> None:
    folder, out, ids_text, heads_text = sys.argv[1:]
    hf = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    config = HookedTransformerConfig(
        n_layers=hf.config.n_layer,
        d_model=hf.config.n_embd,
        n_ctx=hf.config.n_positions,
        d_head=hf.config.n_embd // hf.config.n_head,
        n_heads=hf.config.n_head,
        d_mlp=hf.config.n_inner,
        d_vocab=hf.config.vocab_size,
        act_fn="gelu_new",
        normalization_type="LN",
        eps=hf.config.layer_norm_epsilon,
    )
    lens = HookedTransformer(config)
    lens.load_and_process_state_dict(
        convert_gpt2_weights(hf, config),
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=True,
    )
    lens.eval()
    heads = [tuple(map(int, head.split(":"))) for head in heads_text.split(",")]

    def zero_values(layer):
        def hook(value, hook):
            for at, head in heads:
                if at == layer:
                    value[:, :, head] = 0.0
            return value

        return f"blocks.{layer}.attn.hook_v", hook

    results = {}
    with torch.no_grad():
        for row, ids in enumerate(json.loads(ids_text)):
            tokens = torch.tensor([ids])
            plain, cache = lens.run_with_cache(tokens)
            results[f"plain_{row}"] = plain[0].numpy()
            results[f"pattern_{row}"] = torch.stack(
                [cache["pattern", layer][0] for layer in range(config.n_layers)]
            ).numpy()
            edited = lens.run_with_hooks(tokens, fwd_hooks=[zero_values(layer) for layer in {at for at, _ in heads}])
            results[f"edited_{row}"] = edited[0].numpy()
    np.savez(out, **results)


main()
