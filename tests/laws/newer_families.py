"""Tiny models of newer families, among them hybrids: attention heads in some layers, a recurrent state in others.

What is not said is as in ``families``: four heads on two key/value heads, three layers, a context of 64 tokens.
"""

from __future__ import annotations

from typing import Any

_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
_LINEAR: dict[str, Any] = {
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "head_dim": 16,
    "linear_conv_kernel_dim": 3,
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 6,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_MAMBA2: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_state": 8, "mamba_d_conv": 3, "mamba_chunk_size": 4}

# family -> (configuration class, what differs from the usual arguments, what it stands for)
NEWER: dict[str, tuple[str, dict[str, Any], str]] = {
    "glm4": (
        "Glm4Config",
        {"head_dim": 12, "attention_bias": True},
        "norms before and after the block, partial rotary",
    ),
    "glm4_moe": (
        "Glm4MoeConfig",
        _EXPERTS | {"head_dim": 12, "n_routed_experts": 4, "use_qk_norm": True},
        "query and key norms, shared and routed experts",
    ),
    "olmo3": ("Olmo3Config", {"sliding_window": 5, "layer_types": _SLIDING}, "norms after the block, window 5"),
    "smollm3": ("SmolLM3Config", {"no_rope_layers": [1, 0, 1]}, "a layer without positions"),
    "ministral": (
        "MinistralConfig",
        {"head_dim": 12, "sliding_window": 5, "layer_types": _SLIDING},
        "window 5 in some layers",
    ),
    "exaone4": (
        "Exaone4Config",
        {"sliding_window": 5, "layer_types": _SLIDING},
        "window 5; full layers without positions",
    ),
    "seed_oss": ("SeedOssConfig", {"head_dim": 12, "attention_bias": True}, "explicit head size, biases"),
    "cohere2": (
        "Cohere2Config",
        {"sliding_window": 5, "layer_types": _SLIDING, "logit_scale": 0.5},
        "parallel residual, window 5; full layers without positions",
    ),
    "llama4_text": (
        "Llama4TextConfig",
        {
            "intermediate_size_mlp": 48,
            "head_dim": 8,
            "num_local_experts": 4,
            "moe_layers": [1],
            "no_rope_layers": [1, 0, 1],
            "attention_chunk_size": 5,
            "floor_scale": 20,
            "attn_scale": 0.5,
        },
        "chunks of 5; layers without positions, scaled by position",
    ),
    "gemma3n_text": (
        "Gemma3nTextConfig",
        {
            "num_hidden_layers": 4,
            "head_dim": 12,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "num_kv_shared_layers": 2,
            "vocab_size_per_layer_input": 67,
            "hidden_size_per_layer_input": 8,
            "laurel_rank": 4,
            "altup_num_inputs": 2,
            "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
        },
        "several streams; upper layers use lower ones' keys and values, window 5",
    ),
    "gemma4_text": (
        "Gemma4TextConfig",
        {
            "num_hidden_layers": 4,
            "head_dim": 12,
            "global_head_dim": 16,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "num_kv_shared_layers": 2,
            "vocab_size_per_layer_input": 67,
            "hidden_size_per_layer_input": 8,
        },
        "head sizes by layer; upper layers use lower ones' keys and values, window 5",
    ),
    "inkling_text": (
        "InklingTextConfig",
        {
            "head_dim": 8,
            "swa_num_attention_heads": 4,
            "swa_num_key_value_heads": 2,
            "swa_head_dim": 8,
            "sliding_window_size": 5,
            "local_layer_ids": [0, 2],
            "d_rel": 4,
            "rel_extent": 16,
            "log_scaling_n_floor": 20,
            "log_scaling_alpha": 0.5,
            "dense_mlp_idx": 3,
            "logits_mup_width_multiplier": 1.0,
        },
        "convolved keys and values, position biases, scaled by position, window 5",
    ),
    "qwen3_5_text": ("Qwen3_5TextConfig", _LINEAR, "gated heads; layers 0 and 2 of linear attention"),
    "qwen3_next": (
        "Qwen3NextConfig",
        _LINEAR | _EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 16},
        "gated heads, experts; layers 0 and 2 of linear attention",
    ),
    "lfm2": (
        "Lfm2Config",
        {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2, "block_multiple_of": 8},
        "layers 0 and 2 of convolutions",
    ),
    "jamba": (
        "JambaConfig",
        {
            "num_hidden_layers": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "mamba_d_state": 4,
            "mamba_d_conv": 3,
            "mamba_dt_rank": 4,
        },
        "no positions, experts; layers 0 and 2 of Mamba",
    ),
    "falcon_h1": (
        "FalconH1Config",
        _MAMBA2 | {"mamba_d_ssm": 32, "key_multiplier": 0.7, "attention_out_multiplier": 0.8},
        "heads and Mamba 2 side by side in each layer",
    ),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        _MAMBA2
        | {
            "num_hidden_layers": 4,
            "layer_types": ["linear_attention", "full_attention"] * 2,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 16,
            "attention_multiplier": 0.3,
            "residual_multiplier": 0.7,
        },
        "its own scales, experts; layers 0 and 2 of Mamba 2",
    ),
    "nemotron_h": (
        "NemotronHConfig",
        {
            "layers_block_type": ["linear_attention", "full_attention", "mlp", "full_attention"],
            "head_dim": 8,
            "ssm_state_size": 8,
            "mamba_num_heads": 4,
            "mamba_head_dim": 8,
            "n_groups": 2,
            "conv_kernel": 3,
            "chunk_size": 4,
        },
        "one part a layer: 0 is Mamba 2, 2 feed-forward",
    ),
}
