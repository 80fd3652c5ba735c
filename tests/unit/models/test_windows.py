"""The window of a layer is what it does: no setting's name makes one, and none hides one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from headscope.models.loading import load_model
from headscope.models.windows import smallest_window
from tests.laws.families import make, widen, word_tokenizer

LONG: dict[str, Any] = {"max_position_embeddings": 96}


def llama4(chunk: int) -> PreTrainedModel:
    """Two layers attend within chunks, one everywhere; the chunk is in the mask alone."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "intermediate_size_mlp": 48, "head_dim": 8}
    hf = transformers.AutoModelForCausalLM.from_config(
        transformers.Llama4TextConfig(
            **sizes,
            **LONG,
            vocab_size=67,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=2,
            attention_chunk_size=chunk,
            no_rope_layers=[1, 1, 0],
        )
    )
    widen(hf)
    return hf.eval()


@torch.inference_mode()
def reach_measured(hf: PreTrainedModel, n_tokens: int = 40) -> int | None:
    """How far the first token of an attention module's input moves its output: the shortest reach of all modules.

    Slow and obvious: one module at a time is given another first token, and its own outputs are compared.
    """
    ids = torch.arange(n_tokens)[None] % 60 + 3
    reaches: list[int] = []
    for name, module in hf.named_modules():
        if not name.endswith(("self_attn", "attn.attention")):
            continue
        outputs: list[torch.Tensor] = []

        def moved(_: Any, args: Any, kwargs: Any) -> Any:
            hidden = (args[0] if args else kwargs["hidden_states"]).clone()
            hidden[:, 0] += 1.0
            return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

        after = module.register_forward_hook(lambda _, args, output, outputs=outputs: outputs.append(output[0]))
        hf(input_ids=ids)
        before = module.register_forward_pre_hook(moved, with_kwargs=True)
        hf(input_ids=ids)
        before.remove()
        after.remove()
        differs = (outputs[0] - outputs[1]).abs().amax(dim=(0, 2)).nonzero()
        reaches.append(int(differs.max()) + 1)
    return min((reach for reach in reaches if reach < n_tokens), default=None)


MODELS: dict[str, tuple[Callable[[], PreTrainedModel], int | None]] = {
    "gemma3 with pattern 6": (
        lambda: make("gemma3", sliding_window=16, sliding_window_pattern=6, layer_types=None, **LONG),
        16,
    ),
    "gemma2": (lambda: make("gemma2", sliding_window=16, **LONG), 16),
    "gpt_oss": (lambda: make("gpt_oss", sliding_window=16), 16),
    "mistral": (lambda: make("mistral", sliding_window=16, **LONG), 16),
    "qwen2 with its window off": (lambda: make("qwen2", max_window_layers=2, sliding_window=7, **LONG), None),
    "qwen2 with its window on": (
        lambda: make("qwen2", max_window_layers=2, sliding_window=7, use_sliding_window=True, **LONG),
        7,
    ),
    "misleading names": (lambda: make("llama", attention_window_hint=3, window_pattern=5, **LONG), None),
    "gpt_neo": (lambda: make("gpt_neo", window_size=12), 12),
    "gpt_neo, all global": (lambda: make("gpt_neo", window_size=12, attention_types=[[["global"], 4]]), None),
    "llama4 in chunks": (lambda: llama4(16), 16),
}


@pytest.mark.parametrize("case", MODELS)
def test_the_window_is_how_far_back_a_layer_sees(case: str) -> None:
    make_one, window = MODELS[case]
    model = load_model(make_one(), tokenizer=word_tokenizer(), device="cpu", unchecked=True)
    assert reach_measured(model.hf) == window
    assert smallest_window(model) == window


def test_every_sixth_layer_is_no_window_of_six_tokens() -> None:
    """Gemma 3: five layers of six see 64 tokens, so prompts are packed in rows of up to 64."""
    hf = make("gemma3", num_hidden_layers=6, sliding_window=64, sliding_window_pattern=6, layer_types=None, **LONG)
    model = load_model(hf, tokenizer=word_tokenizer(), device="cpu")
    assert model.hf.config._sliding_window_pattern == 6  # what was taken for a window
    assert model.tree_row_limit == 64
    assert model.prefills_trees
