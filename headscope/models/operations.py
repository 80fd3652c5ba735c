"""The second way in: attention seen by the operations it is made of.

Models that do not route through the interface, and models whose own attention is eager, multiply a matrix of attention
weights by the values, or call ``scaled_dot_product_attention``. A torch function mode sees these operations while an
attention module runs; the last one before the output projection is the layer's attention. The model computes exactly
what it would compute unwatched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from headscope.errors import WorkError
from headscope.models.attention import Attention, ScoredAttention, WeighedAttention
from headscope.models.one_thread import Hooks, OneThread

_PRODUCTS = frozenset(
    {torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__, Tensor.__rmatmul__, torch.Tensor.matmul}
)


@dataclass
class OperationWatch(TorchFunctionMode):
    """Remembers, for each module that it looks inside, the last operation that can be its attention.

    Attributes:
        batch: (B, T) of the pass.
        last: the attention and its output [B, H, T, d_v] by module, the newest only.
    """

    batch: tuple[int, int]
    last: dict[nn.Module, tuple[Attention, Tensor]] = field(default_factory=dict)
    _running: list[nn.Module] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def look_inside(self, module: nn.Module, hooks: Hooks) -> None:
        """Operations while ``module`` runs, and no such module inside it, are the module's."""
        hooks.before(module, lambda entered, _: self._running.append(entered))
        hooks.after(module, self._left, always_call=True)

    def _left(self, *_: object) -> None:
        del self._running[-1:]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func`` as it is, and look at it if it can be attention."""
        result = func(*args, **(kwargs or {}))
        if self._running and (func in _PRODUCTS or func is nn.functional.scaled_dot_product_attention):
            attention = _from_sdpa(args, kwargs or {}) if func not in _PRODUCTS else self._from_product(args)
            if attention is not None:
                self.last[self._running[-1]] = (attention, self._by_head(result))
        return result

    def _by_head(self, tensor: Tensor) -> Tensor:
        """[B, H, ...] from [B, H, ...] or [B * H, ...]."""
        return tensor if tensor.dim() == 4 else tensor.reshape(self.batch[0], -1, *tensor.shape[1:])

    def _from_product(self, args: tuple[Any, ...]) -> WeighedAttention | None:
        B, T = self.batch
        if len(args) < 2 or not all(isinstance(arg, Tensor) for arg in args[:2]):
            return None
        weights, value = args[:2]
        shaped = weights.dim() in (3, 4) and weights.shape[-2:] == (T, T) and weights.shape[0] % B == 0
        if not shaped or value.dim() != weights.dim() or value.shape[-2] != T:
            return None
        return WeighedAttention(self._by_head(weights), self._by_head(value))


def _from_sdpa(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ScoredAttention | None:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    query, mask = given["query"], given.get("attn_mask")
    if query.dim() != 4 or query.shape[2] != given["key"].shape[2]:
        return None
    if mask is not None and mask.dim() < 4:
        mask = mask.reshape((1,) * (4 - mask.dim()) + tuple(mask.shape))
    scale = given.get("scale")
    return ScoredAttention(
        query,
        given["key"],
        given["value"],
        mask,
        scaling=query.shape[-1] ** -0.5 if scale is None else float(scale),
        causal=bool(given.get("is_causal", False)),
    )


@contextlib.contextmanager
def operations_watch(
    modules: Mapping[nn.Module, nn.Module],
    batch: tuple[int, int],
    saw: Callable[[nn.Module, Attention, Tensor], None],
    thread: OneThread,
) -> Generator[None]:
    """Show the attention of each module to ``saw(module, attention, output [B, T, H, d_v])``.

    ``modules`` leads from an attention module to its output projection, at which ``saw`` is called.
    """
    watch = OperationWatch(batch)

    def reached(attention_module: nn.Module) -> None:
        if attention_module not in watch.last:
            raise WorkError(
                "an attention layer ran without the product of weights and values that the dry run saw",
                where=type(attention_module).__name__,
            )
        attention, output = watch.last.pop(attention_module)
        saw(attention_module, attention, output.transpose(1, 2))

    with thread.hooks() as hooks:
        for module, projection in modules.items():
            watch.look_inside(module, hooks)
            hooks.before(projection, lambda *_, owner=module: reached(owner))
        with watch:
            yield
