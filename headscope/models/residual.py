"""Where what a head writes goes: the residual stream, found by a dry run and proved on the run's own numbers.

A model is *plain* where the stream at its end is a sum, x = embedding + Σ_layers m (N(heads + b_O) + feed-forward),
with one number m for all layers, N nothing or a norm, and logits are k W_U norm(x), soft-capped or not. A norm is a
LayerNorm or RMSNorm, y = w ⊙ s (x - c mean(x)) + b, whose scale s depends on the token alone. With each s frozen the
logits before a soft cap are linear in every part, and parts add up exactly.

1. A block is the module of a module list that holds a layer's attention; its input and output are compared.
2. The feed-forward module is the one whose output, with the attention's, explains what the block adds, up to m. Where
   another module is given just what the output projection gives, that module's output may be the attention's part: N.
   (A norm after the feed-forward layer is found as the feed-forward module itself.)
3. The final norm is the module whose output is the output embedding's input. w, b and c of a norm are found by asking
   it about vectors of known size, and it is plain if they explain what it did to the run's own states.
4. k is the ratio of the model's logits to the output embedding's; a soft cap t tanh(· / t) is found from the largest.

Gates and other functions break one of these, and are refused with the place where it broke.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32, Float64
from scipy import optimize
from torch import Tensor, nn

from headscope.errors import ModelError
from headscope.models.anatomy import probe_ids
from headscope.models.blocks import blocks_of
from headscope.models.editing import watching_z
from headscope.models.head_model import HeadModel
from headscope.models.law_rows import tolerance_of
from headscope.models.weights import head_weights

_LARGE = 1e3  # beside it a norm's epsilon is nothing


@dataclass(frozen=True)
class Norm:
    """y = weight ⊙ s (x - centered mean(x)) + bias; centered is True for a LayerNorm, False for an RMSNorm."""

    module: nn.Module
    weight: Float64[Tensor, " D"]
    bias: Float64[Tensor, " D"]
    centered: bool

    def scale(
        self, x: Float64[Tensor, "*places D"], y: Float64[Tensor, "*places D"]
    ) -> tuple[Float64[Tensor, "*places 1"], float]:
        """s of each token by least squares, and how far y is from the norm's form, relative to y."""
        direction = self.weight * self.center(x)
        size = (direction * direction).sum(-1, keepdim=True)
        scale = ((y - self.bias) * direction).sum(-1, keepdim=True) / size
        return scale, _relative(scale * direction + self.bias, y)

    def center(self, x: Float[Tensor, "*places D"]) -> Float[Tensor, "*places D"]:
        """x - mean(x) for a LayerNorm, x for an RMSNorm."""
        return x - x.mean(-1, keepdim=True) if self.centered else x


@dataclass(frozen=True)
class Residual:
    """The residual stream of a plain model.

    Attributes:
        blocks: the module of each layer, whose input and output are the stream.
        attention_norms: for each layer the norm between the output projection and the stream; None where there is none.
        feed_forward: for each layer the module whose output is the other addend; None where there is none.
        multiplier: m.
        norm: the final norm.
        unembedding: W_U.
        unembedding_bias: its bias, zeros where it has none.
        logit_scale: k.
        soft_cap: t; None where there is none.
    """

    blocks: tuple[nn.Module, ...]
    attention_norms: tuple[Norm | None, ...]
    feed_forward: tuple[nn.Module | None, ...]
    multiplier: float
    norm: Norm
    unembedding: Float32[Tensor, "V D"]
    unembedding_bias: Float32[Tensor, " V"]
    logit_scale: float
    soft_cap: float | None

    def capped(self, logits: Float[Tensor, "*places"]) -> Float[Tensor, "*places"]:
        """The model's logits, of those before the soft cap."""
        return logits if self.soft_cap is None else self.soft_cap * torch.tanh(logits / self.soft_cap)


@dataclass(frozen=True)
class Parts:
    """What was seen of the stream in one pass, handed on as it comes.

    Attributes:
        embedding: called with the first block's input.
        z: called with (layer, z [B, T, H, d]).
        attention_norm: called with (layer, input, output [B, T, D]) of a norm after the output projection.
        feed_forward: called with (layer, output [B, T, D]); final: with the norm's input and output.
    """

    embedding: Callable[[Tensor], None]
    z: Callable[[int, Tensor], None]
    attention_norm: Callable[[int, Tensor, Tensor], None]
    feed_forward: Callable[[int, Tensor], None]
    final: Callable[[Tensor, Tensor], None]


@contextmanager
def watching_parts(model: HeadModel, residual: Residual, parts: Parts) -> Generator[None]:
    """Show the stream's addends in every pass inside the block; nothing is stored here."""
    shape: list[torch.Size] = []

    def wrote(layer: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda _, args, output: parts.feed_forward(layer, _first(output).reshape(shape[-1]))

    def normed(layer: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda _, args, output: parts.attention_norm(layer, args[0], output)

    def began(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        stream = _given(args, kwargs)
        shape[:] = [stream.shape]
        parts.embedding(stream)

    with watching_z(model, parts.z), model.thread.hooks() as hooks:
        hooks.before(residual.blocks[0], began, with_kwargs=True)
        hooks.after(residual.norm.module, lambda _, args, output: parts.final(args[0], output))
        for layer, module in enumerate(residual.feed_forward):
            if module is not None:
                hooks.after(module, wrote(layer))
        for layer, norm in enumerate(residual.attention_norms):
            if norm is not None:
                hooks.after(norm.module, normed(layer))
        yield


@torch.no_grad()
def find_residual(model: HeadModel) -> Residual:
    """Find the residual stream of a plain model.

    Raises:
        ModelError: the model is not plain; the message says where.
    """
    if model.anatomy.without_heads:
        which = ", ".join(map(str, model.anatomy.without_heads))
        raise not_plain(model, f"layers without attention heads ({which}) write to the stream, too")
    seen, blocks = _Seen(model), blocks_of(model)
    tolerance = tolerance_of(model)
    for layer, block in enumerate(blocks):
        if block not in seen.given:
            raise not_plain(model, f"the input of layer {layer} is not one tensor")
        after = seen.given.get(blocks[layer + 1]) if layer + 1 < len(blocks) else seen.final_given
        if after is None or _relative(seen.output[block], after) > tolerance:
            raise not_plain(model, f"what layer {layer} gives is not what comes next: something stands between")
    addends = [_Addends(model, seen, layer, block) for layer, block in enumerate(blocks)]
    # One multiplier for all layers, from the layer that adds most: a layer that adds nothing here says nothing of it.
    multiplier = max(addends, key=lambda addend: addend.size).multiplier()
    modules = [addend.modules(multiplier, tolerance) for addend in addends]
    norms = tuple(None if after is None else _norm(model, seen, after, tolerance) for after, _ in modules)
    writers = tuple(feed_forward for _, feed_forward in modules)
    final = _norm(model, seen, seen.norm, tolerance)
    weight, bias, scale, cap = _unembedding(model, seen, tolerance)
    return Residual(tuple(blocks), norms, writers, multiplier, final, weight, bias, scale, cap)


def not_plain(model: HeadModel, why: str) -> ModelError:
    """What to say of a model whose logits are no sum over its parts."""
    return ModelError(
        f'direct logit attribution is not defined for model "{model.name}"',
        expected="a residual stream that is a plain sum, LayerNorms or RMSNorms after its parts and at its end",
        got=why,
        fix="the gradient scores, ablation and sweep do not need this",
    )


class _Seen:
    """Inputs and outputs of every module of a short pass, float64 [B, T, D] where they are such."""

    def __init__(self, model: HeadModel) -> None:
        self.given: dict[nn.Module, Tensor] = {}
        self.output: dict[nn.Module, Tensor] = {}
        self.order: list[nn.Module] = []
        self.head_given = self.head_output = self.logits = torch.empty(0)
        head: Any = model.hf.get_output_embeddings()
        if head is None:
            raise not_plain(model, "it has no output embedding")
        inner = [module for module in model.hf.base_model.modules() if module is not head]
        ids = probe_ids(model.hf)
        with model.thread.hooks() as hooks:
            for module in inner:
                hooks.after(module, self._ran, with_kwargs=True)
            hooks.after(head, self._answered)
            output: Any = model.hf(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        self.logits = output.logits.double()
        norm = next((m for m in self.order if _relative(self.output[m], self.head_given) == 0.0), None)
        if norm is None or norm not in self.given:
            raise not_plain(model, "no module's output is what the output embedding is given")
        self.norm = norm
        self.final_given = self.given[self.norm]

    def _ran(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given, gave = _given(args, kwargs), _first(output)
        if isinstance(given, Tensor) and given.is_floating_point():
            self.given[module] = given.detach().double()
        if isinstance(gave, Tensor) and gave.is_floating_point():
            self.output[module] = gave.detach().double().clone()
            self.order.append(module)

    def _answered(self, _: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.head_given, self.head_output = args[0].detach().double(), output.detach().double()


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("hidden_states")


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and output else output


def _relative(got: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest value; infinite where shapes differ."""
    if got.shape != expected.shape:
        return float("inf")
    return float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


class _Addends:
    """What one block adds to the stream, and the modules whose output may be the part that is not the heads'."""

    def __init__(self, model: HeadModel, seen: _Seen, layer: int, block: nn.Module) -> None:
        self._model, self._layer = model, layer
        self._stream = seen.output[block]
        self._added = self._stream - seen.given[block]
        attention = model.anatomy.layers[layer]
        projected = seen.output[attention.projection].reshape(self._added.shape)
        inside = set(attention.attention.modules())
        holders = {module for module in block.modules() if attention.attention in set(module.modules())}
        others = [module for module in block.modules() if module not in inside | holders and module in seen.output]
        # Some families flatten rows and tokens into one axis.
        shaped = {
            module: seen.output[module].reshape(self._added.shape)
            for module in others
            if seen.output[module].numel() == self._added.numel()
        }
        parts: list[tuple[nn.Module | None, Tensor]] = [(None, projected)]
        parts += [
            (module, output)
            for module, output in shaped.items()
            if module in seen.given and _relative(seen.given[module], projected) == 0.0
        ]
        self._totals: list[tuple[nn.Module | None, nn.Module | None, Tensor]] = []
        for after, part in parts:  # nothing between comes first: where both explain as well, there is nothing between
            self._totals += [(after, module, part + output) for module, output in shaped.items() if module is not after]
            self._totals.append((after, None, part))
        self.size = float(self._added.abs().max())

    def multiplier(self) -> float:
        """m of the candidate that explains best what is added, by least squares; 1 where nothing is added."""
        if self.size == 0.0:
            return 1.0
        totals = [total for *_, total in self._totals]
        fits = [float((self._added * total).sum() / (total * total).sum()) for total in totals]
        errors = [self._error(total, fit) for total, fit in zip(totals, fits, strict=True)]
        return round(fits[errors.index(min(errors))], 6)

    def modules(self, multiplier: float, tolerance: float) -> tuple[nn.Module | None, nn.Module | None]:
        """The norm N and the feed-forward module with added = m (N(heads and bias) + its output).

        Each None where there is none; ModelError where no two explain what is added.
        """
        errors = [self._error(total, multiplier) for *_, total in self._totals]
        # Against the stream's own size: what a block adds is known only as a difference of two states.
        if min(errors) > tolerance * float(self._stream.abs().max()):
            raise not_plain(self._model, f"layer {self._layer} adds something else than its heads and one module")
        after, feed_forward, _ = self._totals[errors.index(min(errors))]
        return after, feed_forward

    def _error(self, total: Tensor, multiplier: float) -> float:
        return float((self._added - multiplier * total).abs().max())


def _norm(model: HeadModel, seen: _Seen, module: nn.Module, tolerance: float) -> Norm:
    D = seen.final_given.shape[-1]
    like: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
    # Alternating signs, no two alike in size, mean 0: both kinds of norm divide it by its root mean square.
    probe = torch.linspace(1.0, 2.0, D, dtype=torch.float64) * (1.0 - 2.0 * (torch.arange(D) % 2))
    probe = _LARGE * (probe - probe.mean())
    bias = module(torch.zeros(1, 1, D, **like))[0, 0].double().cpu()
    probe = probe.to(model.dtype).double()
    answer = module(probe.to(**like)[None, None])[0, 0].double().cpu()
    weight = (answer - bias) * probe.square().mean().sqrt() / probe
    x, y = seen.given[module].cpu(), seen.output[module].cpu()
    for centered in (True, False):
        norm = Norm(module, weight, bias, centered)
        if norm.scale(x, y)[1] <= tolerance:
            return norm
    where = "the module before the output embedding" if module is seen.norm else "a module after an output projection"
    raise not_plain(model, f"{where}, {type(module).__name__}, is no such norm")


def _unembedding(model: HeadModel, seen: _Seen, tolerance: float) -> tuple[Tensor, Tensor, float, float | None]:
    head: Any = model.hf.get_output_embeddings()
    raw, final = seen.head_output, seen.logits
    scale, cap = float((raw * final).sum() / (raw * raw).sum()), None
    if _relative(scale * raw, final) > tolerance:
        scale, cap = 1.0, _soft_cap(raw, final)
        if cap is None or _relative(cap * torch.tanh(raw / cap), final) > tolerance:
            raise not_plain(model, "a function that is no soft cap stands between the output embedding and the logits")
    weight = getattr(head, "weight", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.shape[0] != raw.shape[-1]:
        raise not_plain(model, "its output embedding has no plain matrix (quantized)")
    bias = getattr(head, "bias", None)
    matrix = weight.detach().float()
    offset = torch.zeros_like(matrix[:, 0]) if bias is None else bias.detach().float()
    if _relative(seen.head_given @ matrix.double().T + offset.double(), raw) > tolerance:
        raise not_plain(model, "its output embedding does more than multiply by its matrix")
    return matrix, offset, round(scale, 6), cap


def _soft_cap(raw: Tensor, final: Tensor) -> float | None:
    """t with t tanh(raw / t) = final at the largest logit; None where it is not brought down."""
    at = int(raw.abs().argmax())
    before, after = float(raw.flatten()[at].abs()), float(final.flatten()[at].abs())
    if not 0.0 < after < before:
        return None
    # t tanh(before / t) rises in t from below ``after`` at t = after / 2 to ``before``.
    low, high = after / 2, 2 * after
    while high * math.tanh(before / high) < after:
        high *= 2
    return float(optimize.brentq(lambda t: t * math.tanh(before / t) - after, low, high, xtol=1e-12))


def attention_writes(model: HeadModel, layer: int) -> tuple[Float64[Tensor, "H d D"], Float64[Tensor, " D"]]:
    """W_O by head and b_O of a layer."""
    weights, bias = head_weights(model.anatomy.layers[layer])
    return weights.double(), bias.double()
