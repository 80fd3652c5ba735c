"""The first way in: attention seen where a model calls transformers' attention interface.

Models that route through the interface call one function with query, key, value and mask. Ours is registered once,
under one constant name. While a watch is on, the model is switched to it; it calls the model's own function (SDPA,
flash, ...) for the output, so outputs stay what they were, and shows query, key, value and mask to the watcher. Masks
are built by the model's own mask function. State lives in a context variable, never in what is registered; leaving the
watch, also by an exception, restores every configuration that was switched.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, causal_mask_function, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging as transformers_logging

from headscope.errors import ModelError, WorkError
from headscope.models.attention import Attention, ScoredAttention

INTERFACE_NAME = "headscope_watch"

# Keyword arguments of the interface that leave the attention weights as they are.
_HARMLESS = (
    *("dropout", "scaling", "softcap", "s_aux", "position_bias", "sliding_window", "is_causal", "position_ids"),
    *("position_embeddings", "cache_position", "use_cache", "past_key_values", "output_attentions"),
    *("output_hidden_states", "output_router_logits", "return_dict", "logits_to_keep", "token_type_ids"),
    "num_items_in_batch",
)


@dataclass
class _InterfaceWatch:
    """What the registered functions need to know while a watch is on.

    Attributes:
        saw: called with the attention module, its attention, and its output [B, T, H, d_v].
        own: name of each configuration's own implementation, by ``id(config)``.
        default: the name for a configuration that is not listed.
        stand_in: compute the output by a plain stand-in instead of the model's own function; for the dry run, where
            only shapes matter and the model's own function may not be reachable (eager).
        reaches: for the dry run that asks how far masks reach: every mask that was built, with its reach in tokens.
    """

    saw: Callable[[nn.Module, Attention, Tensor], None]
    own: Mapping[int, str]
    default: str
    stand_in: bool
    reaches: list[tuple[Tensor | None, int | None]] | None = None

    def own_name(self, config: object) -> str:
        return self.own.get(id(config), self.default)


_WATCH: ContextVar[_InterfaceWatch] = ContextVar("headscope_interface_watch")


def _active() -> _InterfaceWatch:
    try:
        return _WATCH.get()
    except LookupError:
        raise WorkError(
            "a model was left switched to headscope's attention function outside a reading",
            fix='switch it back with model.set_attn_implementation("sdpa"), and do not run readings in several threads',
        ) from None


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The registered attention function: the model's own output, shown to the watcher on the way."""
    watch = _active()
    unknown = sorted(name for name, given in kwargs.items() if given is not None and name not in _HARMLESS)
    if unknown:
        raise ModelError(
            "the model's attention takes an argument headscope does not know, so its rows cannot be trusted",
            expected=f"nothing but {', '.join(sorted(_HARMLESS))}",
            got=", ".join(unknown),
            where=type(module).__name__,
            fix="load the model with attn_implementation='eager'",
        )
    scaling = kwargs.get("scaling")
    causal = kwargs.get("is_causal")
    attention = ScoredAttention(
        query,
        key,
        value,
        attention_mask,
        scaling=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
        softcap=kwargs.get("softcap"),
        sinks=kwargs.get("s_aux"),
        position_bias=kwargs.get("position_bias"),
        window=kwargs.get("sliding_window"),
        causal=bool(getattr(module, "is_causal", True) if causal is None else causal),
    )
    if watch.stand_in:
        output, weights = _stand_in(attention), None
    else:
        # The attention function the model would use; its own file may override the library's.
        functions = getattr(
            sys.modules.get(type(module).__module__), "ALL_ATTENTION_FUNCTIONS", ALL_ATTENTION_FUNCTIONS
        )
        own = functions[watch.own_name(getattr(module, "config", None))]
        output, weights = own(module, query, key, value, attention_mask, **kwargs)
    watch.saw(module, attention, output)
    return output, weights


def _stand_in(attention: ScoredAttention) -> Tensor:
    """[B, T, H, d_v] noise of the right shape, distinct at every place, so that it is recognized where it arrives."""
    B, H, T, _ = attention.query.shape
    shape = (B, T, H, attention.value.shape[-1])
    count = math.prod(shape)
    noise = torch.linspace(-1.0, 1.0, count, device=attention.value.device, dtype=torch.float32)
    return noise.reshape(shape).to(attention.value.dtype)


def _build_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """The registered mask function: the mask that the model's own implementation would get."""
    watch = _active()
    name = watch.own_name(kwargs.get("config"))
    if watch.reaches is not None:
        mask = sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})
        reach = kwargs.get("local_size")
        if reach is not None or kwargs.get("mask_function") is causal_mask_function:  # a mask made otherwise: unknown
            watch.reaches.append((mask, reach))
        return mask
    return ALL_MASK_ATTENTION_FUNCTIONS[name](*args, **kwargs) if name in ALL_MASK_ATTENTION_FUNCTIONS else None


AttentionInterface.register(INTERFACE_NAME, _attend)
AttentionMaskInterface.register(INTERFACE_NAME, _build_mask)


@contextlib.contextmanager
def interface_watch(
    hf: PreTrainedModel,
    saw: Callable[[nn.Module, Attention, Tensor], None],
    *,
    stand_in: bool = False,
    reaches: list[tuple[Tensor | None, int | None]] | None = None,
) -> Generator[bool]:
    """Show every attention that goes through the interface to ``saw(module, attention, output)``.

    Yields whether the model could be switched at all; False says nothing will be seen.
    """
    configs = _configs(hf)
    own: dict[int, str] = {id(config): config._attn_implementation for config in configs}
    token = _WATCH.set(_InterfaceWatch(saw, own, own_implementation(hf), stand_in, reaches))
    try:
        with quiet_transformers():  # what cannot be switched says so in the log; the dry run finds out by itself
            hf.set_attn_implementation(INTERFACE_NAME)
        yield own_implementation(hf) == INTERFACE_NAME
    finally:
        # Written back directly: set_attn_implementation would check (and for kernels look up) the name once more.
        # A configuration's setter passes its value down to its parts, so the parts come last.
        for config in configs:
            config._attn_implementation = own[id(config)]
        _WATCH.reset(token)


@contextlib.contextmanager
def interface_reaches(hf: PreTrainedModel) -> Generator[dict[nn.Module, int | None]]:
    """Filled in the pass inside the block: attention module -> tokens its mask and it reach back over, None for all.

    A module whose mask was not built by transformers' mask functions is not among them. Outputs are a stand-in's.
    """
    found: dict[nn.Module, int | None] = {}
    masks: list[tuple[Tensor | None, int | None]] = []

    def saw(module: nn.Module, attention: Attention, _: Tensor) -> None:
        given = attention.mask if isinstance(attention, ScoredAttention) else None
        known = [reach for mask, reach in masks if given is not None and mask is given]
        if known:
            own = attention.window if isinstance(attention, ScoredAttention) else None
            found[module] = min((size for size in (known[0], own) if size is not None), default=None)

    with interface_watch(hf, saw, stand_in=True, reaches=masks):
        yield found


def own_implementation(hf: PreTrainedModel) -> str:
    """Name of the attention implementation the model is set to, e.g. ``sdpa``."""
    config: Any = hf.config
    return str(config._attn_implementation)


def _configs(hf: PreTrainedModel) -> list[Any]:
    """Every distinct configuration in the model, an outer one before its parts."""
    found: dict[int, Any] = {}
    waiting = [module.config for module in hf.modules() if isinstance(module, PreTrainedModel)]
    while waiting:
        config = waiting.pop(0)
        if id(config) not in found:
            found[id(config)] = config
            parts = (getattr(config, name, None) for name in getattr(config, "sub_configs", {}))
            waiting.extend(part for part in parts if part is not None)
    return list(found.values())


@contextlib.contextmanager
def quiet_transformers() -> Generator[None]:
    """Hold back transformers' log below errors, and its progress bars, inside the block."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
