"""Passes that begin above the lowest blocks, because an edit changes nothing below its layer.

A model's own loop runs its blocks (attention, feed-forward, residual) one after the other. An unedited pass keeps what
leaves the block below an edit; in the edited pass every block up to there gives that back and computes nothing, so the
model's own loop, its masks and its position embeddings drive the rest as always. Blocks are the elements of the list of
modules that holds the attention layers, and give them their numbers; no model name decides. Whether such a pass equals
a whole one is measured by the load check, for each model; where it is not found equal, every block runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from headscope.errors import ModelError
from headscope.models.anatomy import block_list
from headscope.models.head_model import HeadModel


def blocks_of(model: HeadModel) -> list[nn.Module]:
    """The model's blocks, one for each layer, with heads or without.

    Raises:
        ModelError: the attention layers do not lie in one list of blocks, one in each.
    """
    found = block_list(model.hf, [layer.name for layer in model.anatomy.layers.values()])
    if found is None:
        raise ModelError("the attention layers do not lie in one list of blocks, one in each", where=model.name)
    return found[0]


@contextmanager
def keeping_inputs(model: HeadModel, layers: Collection[int]) -> Generator[dict[int, Any]]:
    """Keep what enters the block of each of ``layers``, all above the first, in the pass inside the block.

    Yields:
        Filled while the pass runs: layer -> what the block below it gave, [B, T, D] or a tuple that begins with it.
    """
    kept: dict[int, Any] = {}

    def keep(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            kept[layer] = _stream(output)

        return hook

    blocks = blocks_of(model) if layers else []
    with model.thread.hooks() as hooks:
        for layer in layers:
            hooks.after(blocks[layer - 1], keep(layer))
        yield kept


@contextmanager
def starting_at(model: HeadModel, layer: int, entering: Any) -> Generator[None]:
    """In passes inside the block, the blocks below ``layer``'s compute nothing and give ``entering``.

    ``entering`` is what ``keeping_inputs`` kept of this layer, above the first, for the same rows (``repeated_rows``).
    """
    skipped = blocks_of(model)[:layer]
    before = [vars(block).get("forward") for block in skipped]  # a forward that e.g. accelerate has put on the object
    give: Callable[..., Any] = model.thread.own(lambda *_, **__: entering)
    with model.thread.held():
        try:
            for block in skipped:
                block.forward = give
            yield
        finally:
            for block, forward in zip(skipped, before, strict=True):
                if forward is None:
                    del block.forward
                else:
                    block.forward = forward


@contextmanager
def watching_stream(
    model: HeadModel, callback: Callable[[int, Tensor], None], layers: Collection[int]
) -> Generator[None]:
    """Call ``callback(layer, stream [B, T, D])`` as each of these blocks gives the residual stream behind it."""

    def watch(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _args, output: callback(layer, _first(_stream(output)))

    with _behind(model, {layer: watch(layer) for layer in layers}):
        yield


@contextmanager
def adding_to_stream(model: HeadModel, added: Mapping[int, Tensor]) -> Generator[None]:
    """In passes inside the block, add [B or 1, T or 1, D] to the residual stream behind each of these layers."""

    def add(values: Tensor) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_: nn.Module, args: Any, output: Any) -> Any:
            stream = _first(_stream(output))
            pushed = stream + values.to(stream)
            return (pushed, *output[1:]) if isinstance(output, tuple) else pushed

        return hook

    with _behind(model, {layer: add(values) for layer, values in added.items()}):
        yield


@contextmanager
def _behind(model: HeadModel, hooks: Mapping[int, Callable[..., Any]]) -> Generator[None]:
    blocks = blocks_of(model) if hooks else []
    with model.thread.hooks() as added:
        for layer, hook in hooks.items():
            added.after(blocks[layer], hook)
        yield


def _first(stream: Any) -> Tensor:
    return stream[0] if isinstance(stream, tuple) else stream


def repeated_rows(entering: Any, times: int) -> Any:
    """What ``keeping_inputs`` kept, for the batch's rows ``times`` over."""
    if isinstance(entering, tuple):
        return (repeated_rows(entering[0], times), *entering[1:])
    return entering.repeat(times, *(1,) * (entering.dim() - 1))


def _stream(output: Any) -> Any:
    """A block's output without what only watchers ask for (attention weights, [B, H, T, T]); the stream comes first."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple) and isinstance(output[0], Tensor):
        return (output[0], *(None for _ in output[1:]))
    raise ModelError(
        "a block gives its result in an unknown form",
        expected="[B, T, D], or a tuple that begins with it",
        got=type(output).__name__,
    )
