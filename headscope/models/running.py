"""Forward passes: without the language-model head, or with it at the few places where logits are read.

The head runs through a pre-hook on the output embedding that hands it only the wanted hidden states, so a family's own
scales and soft caps still apply. Position ids are always given where the model takes them, because a plain forward
does not build them from the mask. Everything runs in inference mode but ``differentiable_logits_at``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from headscope.errors import RequestError, WorkError
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel


class Stop(Exception):  # noqa: N818 - a signal, not an error
    """Raised by a watcher that has seen enough; ``run_hidden`` ends the pass there."""


def takes_positions(module: nn.Module) -> bool:
    """Whether the forward of ``module`` names ``position_ids``."""
    return "position_ids" in inspect.signature(module.forward).parameters


def forward_arguments(model: HeadModel, batch: Batch) -> dict[str, Any]:
    """Arguments of a plain (uncached) forward pass over ``batch``.

    Raises:
        RequestError: the rows are longer than the context, are trees this model was not found to run faithfully, or
            hold a token without an embedding.
    """
    if model.hf.training:
        raise RequestError(
            f'model "{model.name}" is in training mode, so dropout would be measured',
            fix="call model.hf.eval() after training",
        )
    if model.context_length is not None and batch.width > model.context_length and batch.allowed is None:
        raise RequestError(
            "a row is longer than the model's context",
            expected=f"at most {model.context_length} tokens",
            got=f"{batch.width} tokens",
        )
    if batch.allowed is None:
        _require_alike(model, batch.attention_mask.sum(dim=1), batch.width)
    if model.tokens_beyond:
        _refuse_tokens_beyond(model, batch.ids)
    arguments: dict[str, Any] = {"input_ids": batch.ids, "use_cache": False, "attention_mask": batch.attention_mask}
    if takes_positions(model.hf):
        arguments["position_ids"] = batch.positions
    if batch.allowed is not None:
        if model.tree_row_limit is None or batch.width > model.tree_row_limit:
            raise RequestError(
                f'rows of {batch.width} tokens that hold several prompts cannot be run on "{model.name}"',
                expected="prompts one to a row"
                if model.tree_row_limit is None
                else f"rows of at most {model.tree_row_limit} tokens",
                fix="run the prompts unpacked; the load check says what this model takes",
            )
        arguments["attention_mask"] = tree_mask(model, batch.allowed)
    return arguments


def _require_alike(model: HeadModel, lengths: Int[Tensor, " B"], width: int) -> None:
    """Raise RequestError where rows beyond ``mixed_row_limit`` share a pass with others, or are padded."""
    if model.mixed_row_limit is not None and width > model.mixed_row_limit and bool((lengths != width).any()):
        raise RequestError(
            f'rows of different lengths cannot be run together on "{model.name}": positions depend on the longest',
            expected=f"at most {model.mixed_row_limit} tokens, or rows that are all of one length",
            got=f"{int(lengths.min())} to {width} tokens",
            fix="run the longer rows by themselves",
        )


def _refuse_tokens_beyond(model: HeadModel, ids: Int[Tensor, "B T"]) -> None:
    found = sorted(set(ids.unique().tolist()) & set(model.tokens_beyond))
    if found:
        raise RequestError(
            "a text holds a token for which the model has no embedding",
            got=", ".join(f"{model.tokens_beyond[index]} = {index}" for index in found),
            fix="take it out of the text, or resize the model's embeddings",
        )


def tree_mask(model: HeadModel, allowed: Bool[Tensor, "B T T"]) -> Shaped[Tensor, "B 1 T T"]:
    """Mask in the form the model's own attention takes: bool, or additive where it is eager.

    Every token sees itself, padding too: a row of the mask without any key gives NaN that spreads through values.
    """
    allowed = allowed | torch.eye(allowed.shape[-1], dtype=torch.bool, device=allowed.device)
    if model.own_attention != "eager":
        return allowed[:, None]
    zero = torch.zeros((), dtype=model.dtype, device=allowed.device)
    return torch.where(allowed[:, None], zero, torch.finfo(model.dtype).min)


@torch.inference_mode()
def run_hidden(model: HeadModel, batch: Batch) -> None:
    """Run the layers without the language-model head; what is wanted is watched on the way."""
    try:
        model.hf.base_model(**forward_arguments(model, batch))
    except Stop:
        return


@torch.inference_mode()
def logits_at(
    model: HeadModel, batch: Batch, rows: Int[Tensor, " N"], tokens: Int[Tensor, " N"]
) -> Float[Tensor, "N V"]:
    """Next-token logits at chosen places, the language-model head run only there.

    Returns:
        float32 (float64 where the model is) on the model's device.

    Raises:
        WorkError: a logit is NaN or infinite.
    """
    return _logits_at(model, batch, rows, tokens)


def differentiable_logits_at(
    model: HeadModel, batch: Batch, rows: Int[Tensor, " N"], tokens: Int[Tensor, " N"]
) -> Float[Tensor, "N V"]:
    """``logits_at`` with a graph back to the gains and values of edits that require gradients, and to nothing else.

    The weights are frozen during the pass, so no activation is kept for their sake.

    Raises:
        RequestError: no graph leads from the edits to the logits: gradients do not pass through this model.
        WorkError: a logit is NaN or infinite.
    """
    with torch.inference_mode(False), torch.enable_grad(), _frozen(model):
        logits = _logits_at(model, batch, rows, tokens)
    if not logits.requires_grad:
        raise no_gradients(model, "no graph leads from the heads to the logits")
    return logits


def no_gradients(model: HeadModel, why: str) -> RequestError:
    """What to say of a model through which gradients do not pass."""
    return RequestError(
        f'gradients do not pass through model "{model.name}"',
        expected="a model whose logits depend on its heads by operations that have a derivative",
        got=why,
        fix="load it unquantized (--dtype float32 or bfloat16), or measure exactly: headscope sweep needs no gradients",
    )


@contextmanager
def _frozen(model: HeadModel) -> Generator[None]:
    weights = [weight for weight in model.hf.parameters() if weight.requires_grad]
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _logits_at(
    model: HeadModel, batch: Batch, rows: Int[Tensor, " N"], tokens: Int[Tensor, " N"]
) -> Float[Tensor, "N V"]:
    with output_at(model, at_places(rows, tokens)):
        logits = model.hf(**forward_arguments(model, batch)).logits[0]
    return finite_logits(model, logits)


def at_places(rows: Int[Tensor, " N"], tokens: Int[Tensor, " N"]) -> Callable[[Tensor], Tensor]:
    """What ``output_at`` takes for chosen places: hidden states [B, T, D] to [1, N, D]."""
    return lambda hidden: hidden[rows.to(hidden.device), tokens.to(hidden.device)][None]


@contextmanager
def output_at(model: HeadModel, wanted: Callable[[Tensor], Tensor]) -> Generator[None]:
    """Inside the block the language-model head sees ``wanted(hidden [B, T, D])`` in place of all hidden states."""
    head: Any = model.hf.get_output_embeddings()
    with model.thread.hooks() as hooks:
        hooks.before(head, lambda _, args: (wanted(args[0]), *args[1:]))
        yield


@contextmanager
def of_tokens(model: HeadModel, ids: Int[Tensor, " kept"]) -> Generator[None]:
    """Inside the block the language-model head gives the logits of these tokens alone, in their order.

    What a model does to each logit after it (scales, soft caps) still applies.

    Raises:
        RequestError: the head is no plain matrix, or something else stands in the place of its pass.
    """
    head: Any = model.hf.get_output_embeddings()
    if type(head) is not nn.Linear or "forward" in vars(head) or head.weight.is_meta:
        raise RequestError(f'the language-model head of "{model.name}" cannot be taken apart', got=type(head).__name__)
    at = ids.to(head.weight.device)
    bias: Any = head.bias
    rows = head.weight[at], None if bias is None else bias[at]
    try:
        setattr(head, "forward", partial(_linear, *rows))  # noqa: B010 - a method of one module, for a while
        yield
    finally:
        del head.forward


def _linear(weight: Tensor, bias: Tensor | None, hidden: Tensor) -> Tensor:
    return nn.functional.linear(hidden, weight, bias)


def finite_logits(model: HeadModel, logits: Float[Tensor, "*places V"]) -> Float[Tensor, "*places V"]:
    """``logits`` as float32, or float64 as they are; WorkError where one is NaN or infinite."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    # The sum is NaN or infinite if any term is, and takes no second tensor of this size.
    if not bool(torch.isfinite(logits.sum(dtype=torch.float32))) and not bool(torch.isfinite(logits).all()):
        dtype = str(model.dtype).removeprefix("torch.")
        raise WorkError(
            f'model "{model.name}" gives logits that are NaN or infinite in {dtype}',
            expected="finite logits",
            got=f"{int((~torch.isfinite(logits)).sum())} of {logits.numel()} not finite",
            fix="half precision overflows on some models: load it with --dtype float32 (or bfloat16)"
            if model.dtype in (torch.float16, torch.bfloat16)
            else "check the checkpoint: its weights may hold NaN",
        )
    return logits


@torch.inference_mode()
def prefill(model: HeadModel, batch: Batch) -> tuple[Float[Tensor, "B V"], Any]:
    """Start cached generation on chain rows padded on the *left*.

    Returns:
        Logits, float32, after the last token of each row, and the cache for ``step``.
    """
    if bool((batch.attention_mask[:, -1] == 0).any()):
        raise RequestError(
            "rows for generation must be padded on the left", expected="a real token at the end of each row"
        )
    arguments = forward_arguments(model, batch) | {"use_cache": True}
    with output_at(model, lambda hidden: hidden[:, -1:]):
        output = model.hf(**arguments)
    cache = getattr(output, "past_key_values", None)
    if cache is None:
        raise RequestError(f'model "{model.name}" keeps no key/value cache, so headscope cannot generate with it')
    return finite_logits(model, output.logits[:, -1]), cache


@torch.inference_mode()
def step(
    model: HeadModel,
    cache: Any,
    ids: Int[Tensor, "B 1"],
    positions: Int[Tensor, "B 1"],
    attention_mask: Int[Tensor, "B T"],
) -> tuple[Float[Tensor, "B V"], Any]:
    """One more token for each row of a cached generation; ``attention_mask`` is of all tokens so far and the new one.

    Returns:
        Logits, float32, after the new tokens, and the cache.

    Raises:
        RequestError: the rows grow beyond ``mixed_row_limit``, where what the cache holds does not hold any more, or
            are beyond it and of different lengths.
    """
    _require_alike(model, positions[:, 0] + 1, attention_mask.shape[1])
    if model.mixed_row_limit is not None and attention_mask.shape[1] == model.mixed_row_limit + 1:
        raise RequestError(
            f'text cannot go on beyond {model.mixed_row_limit} tokens on "{model.name}", whose positions change there',
            fix="begin with more tokens, or end before",
        )
    arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": attention_mask, "past_key_values": cache}
    if takes_positions(model.hf):
        arguments["position_ids"] = positions
    output = model.hf(**arguments, use_cache=True)
    return finite_logits(model, output.logits[:, -1]), output.past_key_values


def keep_rows(cache: Any, rows: Int[Tensor, " kept"]) -> None:
    """Drop all rows of a cached generation but those of the indices ``rows``.

    By what beam search uses: a cache's ``batch_select_indices`` leaves a hybrid's recurrent states out.
    """
    cache.reorder_cache(rows)
