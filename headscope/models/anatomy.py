"""Where a model's heads are, found by watching it run once; no list of model names decides.

1. Run a few tokens with the model switched to our attention function, which returns recognizable noise. Every module
   that calls it is an attention module; the shapes it hands over give heads, key/value heads and head size.
2. Where nothing was called, the model does not route through the interface: run again, watching the operations. A
   module that multiplies [T, T] weights by values, or calls ``scaled_dot_product_attention``, is an attention module.
3. The output projection is the module whose input *equals* the attention's output with its heads side by side,
   [B, T, H * d_v]. Where a gate or a norm stands between the two, it is the last module with a weight matrix inside
   the attention module whose input has that width; such a layer is marked not ``direct``.

A layer's number is its block's in the list of blocks that holds the attention modules, so that of a hybrid (a state
space, linear attention or convolution here, heads there) too, whose other layers have no heads. Where there is no such
list, layers are counted in the order in which they run. ``name`` says which module each is. What is found here is a
claim until ``laws.py`` proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from headscope.errors import ModelError
from headscope.models.attention import Attention
from headscope.models.interface import interface_watch
from headscope.models.one_thread import Hooks, thread_of
from headscope.models.operations import OperationWatch

_PROBE = (2, 5)  # rows and tokens of the dry run
# What a model's own code raises where it does not take what it is given.
MODEL_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError)


@dataclass(frozen=True)
class LayerAnatomy:
    """One attention layer.

    Attributes:
        name: path of the attention module in the model, e.g. ``transformer.h.0.attn``.
        attention: the module that computes attention.
        projection: the module whose input is z, [B, T, H * d_v].
        n_heads: H.
        n_kv_heads: key/value heads; in a model that does not route, those left after its own repetition.
        head_size: d_v, width of one head's z.
        routed: whether attention goes through transformers' attention interface.
        direct: whether z is the attention's output as it is; False where a gate or norm stands between.
    """

    name: str
    attention: nn.Module
    projection: nn.Module
    n_heads: int
    n_kv_heads: int
    head_size: int
    routed: bool
    direct: bool


@dataclass(frozen=True)
class Anatomy:
    """A model's layers and their heads.

    Attributes:
        layers: by its number each layer that has heads, in the order in which they run.
        n_layers: how many layers there are, with heads or without.
    """

    layers: Mapping[int, LayerAnatomy]
    n_layers: int

    def __len__(self) -> int:
        return self.n_layers

    @property
    def heads_per_layer(self) -> tuple[int, ...]:
        """H of each layer; 0 where a layer has no attention."""
        return tuple(self.layers[n].n_heads if n in self.layers else 0 for n in range(self.n_layers))

    @property
    def without_heads(self) -> tuple[int, ...]:
        """The layers that have no attention."""
        return tuple(n for n in range(self.n_layers) if n not in self.layers)

    @property
    def routed(self) -> bool:
        """Whether every layer's attention goes through the attention interface."""
        return all(layer.routed for layer in self.layers.values())

    @property
    def direct(self) -> bool:
        """Whether z is the attention's output in every layer, so that value-weighted attention is defined."""
        return all(layer.direct for layer in self.layers.values())


@dataclass
class _Seen:
    """One attention as the dry run saw it, and the modules with a weight matrix that ran after it."""

    module: nn.Module
    attention: Attention
    output: Float[Tensor, "B T z"]  # z = H * d_v
    later: list[tuple[nn.Module, Tensor]]


@torch.inference_mode()
def find_anatomy(hf: PreTrainedModel) -> Anatomy:
    """Find every attention layer and its output projection.

    Raises:
        ModelError: there is no attention, a module runs twice in one pass, or a layer has no output projection.
    """
    routed = True
    seen = _dry_run_interface(hf)
    if not seen:
        routed = False
        seen = _dry_run_operations(hf)
    if not seen:
        raise ModelError(
            f"{type(hf).__name__} computes no attention headscope can see, so it has no heads to measure",
            expected="a causal language model with softmax attention",
            got=f"model type {hf.config.model_type}",
            fix="choose a transformer language model; recurrent and state-space models have no attention heads",
        )
    names: dict[nn.Module, str] = {module: name for name, module in hf.named_modules()}
    modules = [attended.module for attended in seen]
    for module, following in zip(modules, [*modules[1:], None], strict=True):
        if module is following:
            raise ModelError(
                "a layer's heads are made of several attentions (a difference, as in DiffLlama): a head has no rows of "
                "weights that sum to 1, and what it writes is not such rows times values",
                expected="one attention a layer",
                where=names[module],
                fix="choose a model with ordinary attention",
            )
        if modules.count(module) > 1:
            raise ModelError(
                "a module computes attention more than once in one pass, so its heads cannot be told apart by layer",
                where=names[module],
                fix="attention shared between layers is not supported",
            )
    layers = [_layer(attended, names, routed=routed) for attended in seen]
    blocks = block_list(hf, [layer.name for layer in layers])
    if blocks is None:
        return Anatomy(dict(enumerate(layers)), len(layers))
    return Anatomy(dict(zip(blocks[1], layers, strict=True)), len(blocks[0]))


def block_list(hf: PreTrainedModel, names: Sequence[str]) -> tuple[list[nn.Module], list[int]] | None:
    """The list of a model's blocks, and for each attention module of ``names`` the number of the block it lies in.

    None where they do not lie in one list, one in a block, in the order in which they run.
    """
    modules = dict(hf.named_modules())
    homes: list[tuple[str, int]] = []
    for name in names:
        parts = name.split(".")
        for depth in range(1, len(parts)):
            home = ".".join(parts[:depth])
            if isinstance(modules[home], nn.ModuleList):
                homes.append((home, int(parts[depth])))
                break
    indices = [index for _, index in homes]
    if len(homes) != len(names) or len({home for home, _ in homes}) != 1 or indices != sorted(set(indices)):
        return None
    return list(modules[homes[0][0]].children()), indices


def _layer(seen: _Seen, names: dict[nn.Module, str], *, routed: bool) -> LayerAnatomy:
    head_size = seen.attention.value.shape[-1]
    n_heads = seen.attention.n_heads
    direct = True
    projection = next((module for module, given in seen.later if _same(given, seen.output)), None)
    if projection is None:
        direct = False
        inside = set(seen.module.modules())
        wide = [m for m, given in seen.later if m in inside and given.shape[-1] == n_heads * head_size]
        projection = wide[-1] if wide else None
    if projection is None:
        raise ModelError(
            "an attention layer has no output projection headscope can find",
            expected=f"a module with a weight matrix that takes [.., {n_heads * head_size}] after the attention",
            where=names[seen.module],
            fix="a projection computed without calling its module (tensor-parallel slices) cannot be edited",
        )
    return LayerAnatomy(
        name=names[seen.module],
        attention=seen.module,
        projection=projection,
        n_heads=n_heads,
        n_kv_heads=seen.attention.n_kv_heads,
        head_size=head_size,
        routed=routed,
        direct=direct,
    )


def _same(given: Tensor, output: Tensor) -> bool:
    return (
        given.numel() == output.numel()
        and given.shape[-1] == output.shape[-1]
        and torch.equal(given.reshape(output.shape), output.to(given))
    )


def has_weight_matrix(module: nn.Module) -> bool:
    """Whether the module maps vectors by a matrix of its own: a Linear, a Conv1D, or what a quantizer puts there."""
    weight = getattr(module, "weight", None)
    matrix = isinstance(weight, Tensor) and weight.dim() == 2
    wrapped = hasattr(module, "base_layer") or hasattr(module, "in_features")
    return not isinstance(module, nn.Embedding) and (matrix or wrapped or isinstance(module, nn.Linear | Conv1D))


def embedding_weight(hf: PreTrainedModel) -> Shaped[Tensor, "V D"]:
    """The input embedding's table, [V, D]."""
    embedding: Any = hf.get_input_embeddings()
    return embedding.weight


def vocabulary_size(hf: PreTrainedModel) -> int:
    """V: ids from 0 to V - 1 can be embedded."""
    return embedding_weight(hf).shape[0]


def matrix_shapes(hf: PreTrainedModel) -> list[tuple[int, ...]]:
    """[(n, m), ...] of every matrix but those as long as the vocabulary; of stacked ones (experts) a single one's."""
    vocabulary = vocabulary_size(hf)
    shapes = [tuple(weight.shape[-2:]) for weight in hf.parameters() if weight.dim() >= 2]
    return [shape for shape in shapes if vocabulary not in shape]


def context_length(hf: PreTrainedModel) -> int | None:
    """Most tokens the model takes; None where positions are relative without a table (ALiBi), so there is no limit."""
    for name in ("max_position_embeddings", "max_seq_len", "n_positions"):
        value = getattr(hf.config.get_text_config(), name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def probe_ids(hf: PreTrainedModel, shape: tuple[int, int] = _PROBE) -> Int[Tensor, "B T"]:
    """Ids of ``shape`` for a dry run: the first tokens of the vocabulary, different in each row."""
    shape = shape[0], min(shape[1], context_length(hf) or shape[1])
    ids = torch.arange(shape[0] * shape[1]).reshape(shape) % vocabulary_size(hf)
    return ids.to(embedding_weight(hf).device)


def _run(hf: PreTrainedModel, ids: Int[Tensor, "B T"]) -> None:
    try:
        hf.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    except MODEL_ERRORS as error:
        raise cannot_run(hf, error) from error


def cannot_run(hf: PreTrainedModel, error: Exception) -> ModelError:
    """What to say where the model's own code fails on plain text."""
    return ModelError(
        f"{type(hf).__name__} cannot run a few tokens of plain text",
        expected="a model that runs on input_ids and attention_mask alone",
        got=f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0][:200]}",
        where=f"model type {hf.config.model_type}",
    )


@contextmanager
def _weight_modules(hf: PreTrainedModel, ran: Callable[[nn.Module, Tensor], None]) -> Generator[Hooks]:
    """Call ``ran(module, input)`` whenever a module with a weight matrix runs; further hooks may be added."""

    def hook(module: nn.Module, args: tuple[object, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            ran(module, args[0])

    with thread_of(hf).hooks() as hooks:
        for module in filter(has_weight_matrix, hf.modules()):
            hooks.before(module, hook)
        yield hooks


def _dry_run_interface(hf: PreTrainedModel) -> list[_Seen]:
    seen: list[_Seen] = []

    def saw(module: nn.Module, attention: Attention, output: Tensor) -> None:
        seen.append(_Seen(module, attention, output.reshape(*output.shape[:2], -1), []))

    def ran(module: nn.Module, given: Tensor) -> None:
        if seen:
            seen[-1].later.append((module, given))

    with interface_watch(hf, saw, stand_in=True) as switched, _weight_modules(hf, ran):
        if switched:
            _run(hf, probe_ids(hf))
    return seen


def _dry_run_operations(hf: PreTrainedModel) -> list[_Seen]:
    seen: list[_Seen] = []
    ids = probe_ids(hf)
    watch = OperationWatch((ids.shape[0], ids.shape[1]))

    def ran(module: nn.Module, given: Tensor) -> None:
        for owner in list(watch.last):  # the first weight matrix after an operation closes it
            attention, output = watch.last.pop(owner)
            merged = output.transpose(1, 2)
            seen.append(_Seen(owner, attention, merged.reshape(*merged.shape[:2], -1), []))
        if seen:
            seen[-1].later.append((module, given))

    with _weight_modules(hf, ran) as hooks:
        for module in hf.modules():
            if not has_weight_matrix(module):
                watch.look_inside(module, hooks)
        with watch:
            _run(hf, ids)
    return seen
