"""Run by TransformerLens' own Python, never imported: what it says of a GPT-2 checkpoint, as an .npz.

Usage: python transformer_lens_side.py REQUEST.json ANSWERS.npz

The request names the checkpoint's ``folder``, and what is asked for: ``edits`` (logits, patterns, zeroed values),
``patches`` (logits under a patch) or ``scores`` (gradients and direct attribution of each head).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import AutoModelForCausalLM


def loaded(folder, **processing):
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
    plain = {"fold_ln": False, "center_writing_weights": False, "center_unembed": False}
    lens.load_and_process_state_dict(convert_gpt2_weights(hf, config), **{**plain, **processing})
    return lens.eval()


def edits(folder, rows, heads):
    """``plain_N``, ``edited_N`` [T, V] logits of row N, the heads' values zeroed; ``pattern_N`` [L, H, T, T]."""
    lens = loaded(folder, fold_value_biases=True)

    def zero_values(layer):
        def hook(value, hook):
            for at, head in heads:
                if at == layer:
                    value[:, :, head] = 0.0
            return value

        return f"blocks.{layer}.attn.hook_v", hook

    results = {}
    for row, ids in enumerate(rows):
        tokens = torch.tensor([ids])
        plain, cache = lens.run_with_cache(tokens)
        results[f"plain_{row}"] = plain[0]
        results[f"pattern_{row}"] = torch.stack([cache["pattern", layer][0] for layer in range(lens.cfg.n_layers)])
        edited = lens.run_with_hooks(tokens, fwd_hooks=[zero_values(layer) for layer in {at for at, _ in heads}])
        results[f"edited_{row}"] = edited[0]
    return results


def patches(folder, asked):
    """``patched_N`` [V] logits at the last token of patch N's target; its ``places`` are (source, target) tokens."""
    lens = loaded(folder, fold_value_biases=True)
    results = {}
    for number, one in enumerate(asked):
        _, cache = lens.run_with_cache(torch.tensor([one["source"]]))

        def put(value, hook, one=one, cache=cache):
            for layer, head in one["heads"]:
                for source, target in one["places"] if layer == hook.layer() else []:
                    if one["what"] == "pattern":
                        value[0, head, target] = cache[hook.name][0, head, source]
                    else:
                        value[0, target, head] = cache[hook.name][0, source, head]
            return value

        hooks = [(f"blocks.{layer}.attn.hook_{one['what']}", put) for layer in {layer for layer, _ in one["heads"]}]
        results[f"patched_{number}"] = lens.run_with_hooks(torch.tensor([one["target"]]), fwd_hooks=hooks)[0, -1]
    return results


def scores(folder, asked, lexicon, control):
    """Of pair N of sequences: slopes of the log-odds along z, and what heads add to the difference of mean logits.

    ``gate_N`` [L, H]: - sum z . gradient. ``matched_N``: sum (z of the control - z) . gradient. ``direct_N``: [L, H].
    Value biases are not folded, so that they count as the heads' own.
    """
    lens, folded = (loaded(folder, fold_value_biases=False, fold_ln=fold) for fold in (False, True))
    direction = folded.W_U[:, lexicon].mean(-1) - folded.W_U[:, control].mean(-1)
    layers = range(lens.cfg.n_layers)
    results = {}
    for number, (ids, control_ids) in enumerate(asked):
        _, other = lens.run_with_cache(torch.tensor([control_ids]))
        kept = {}

        def keep(z, hook, kept=kept):
            kept[hook.layer()] = z.requires_grad_()
            z.retain_grad()
            return z

        with torch.enable_grad():
            logits = lens.run_with_hooks(torch.tensor([ids]), fwd_hooks=[(lambda name: name.endswith("hook_z"), keep)])
            log_odds = logits[0, -1, lexicon].logsumexp(-1) - logits[0, -1, control].logsumexp(-1)
            gradients = torch.autograd.grad(log_odds, [kept[layer] for layer in layers])
        moves = {"gate": [-kept[layer] for layer in layers]}
        if len(ids) == len(control_ids):  # else there is no token to match
            moves["matched"] = [other["z", layer] - kept[layer] for layer in layers]
        for name, move in moves.items():
            along = [(step * gradient).sum(dim=(0, 1, 3)) for step, gradient in zip(move, gradients, strict=True)]
            results[f"{name}_{number}"] = torch.stack(along)
        _, cache = folded.run_with_cache(torch.tensor([ids]))
        stack = cache.stack_head_results(layer=-1, pos_slice=-1, apply_ln=True)[:, 0]
        results[f"direct_{number}"] = (stack @ direction).reshape(len(layers), -1)
    return results


def main() -> None:
    request_file, out = sys.argv[1:]
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    work = {"edits": edits, "patches": patches, "scores": scores}[request.pop("ask")]
    with torch.no_grad():
        results = work(**request)
    np.savez(out, **{name: value.detach().numpy() for name, value in results.items()})


main()
