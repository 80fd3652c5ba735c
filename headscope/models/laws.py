"""The laws every measurement rests on, proved on the model itself when it is loaded.

A few short made-up rows run in a few forms that must agree: alone and padded on either side; cached and not; with
heads edited and with those heads' rows of W_O taken out; with all heads off and with the attention block reduced to
its bias; before, inside and after a ``with`` block. Each law records the largest difference it measured, relative to
the size of what is compared where that exceeds 1. Forms that only save work are no laws: see ``capabilities.py``; nor
is what holds of a chat template: see ``chat_laws.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from headscope.errors import ModelError, RequestError
from headscope.models.anatomy import MODEL_ERRORS, cannot_run, vocabulary_size
from headscope.models.attention import Attention
from headscope.models.batches import Batch
from headscope.models.capabilities import measure_capabilities
from headscope.models.chat_laws import chat_laws
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law, LawReport, unmeasured
from headscope.models.law_rows import (
    N_STEPS,
    Rows,
    all_logits,
    compare,
    difference_of,
    gone_on,
    made_up_edits,
    made_up_sequences,
    rows_alone,
    tolerance_of,
)
from headscope.models.lengths import length_laws
from headscope.models.reading import watching_attention
from headscope.models.running import prefill, run_hidden
from headscope.models.weights import head_weights
from headscope.models.windows import smallest_window
from headscope.rounding import LARGEST_SHARE


@torch.inference_mode()
def check_laws(model: HeadModel) -> LawReport:
    """Measure every law, store the report and the capabilities in ``model``, and return the report.

    Raises:
        ModelError: the model looks at later tokens, so it is no causal language model.
    """
    tolerance = tolerance_of(model)
    try:
        window = smallest_window(model)
        sequences = made_up_sequences(model, window)
        _require_causal(model, sequences[0], tolerance)
    except MODEL_ERRORS as error:
        raise cannot_run(model.hf, error) from error
    alone, condition = rows_alone(model, sequences)
    tolerance = min(condition * tolerance, LARGEST_SHARE)
    rows = Rows(sequences, alone, made_up_edits(model, len(sequences)), tolerance, window)
    laws = [
        *_reading_laws(model, rows),
        *_padding_laws(model, rows),
        *_editing_laws(model, rows),
        _cache_law(model, rows),
        *length_laws(model, tolerance),
    ]
    # Capabilities are taken only where they add no more than padding does: a wrong distance or position can hide under
    # the wide tolerance of half precision. Two differences of the same rounding rarely differ fourfold.
    noise = max(law.difference for law in laws if law.name.startswith("padded"))
    near = max(condition * tolerance_of(model, torch.float32), 4 * torch.finfo(model.dtype).eps, 4 * noise)
    capabilities = measure_capabilities(model, rows, min(tolerance, near))
    model.laws = LawReport((*laws, *capabilities, *chat_laws(model)), checked=True)
    return model.laws


def _require_causal(model: HeadModel, sequence: list[int], tolerance: float) -> None:
    """Two rows that differ only in their later half must agree in the earlier one."""
    half = len(sequence) // 2
    other = sequence[:half] + sequence[half:][::-1]
    if other == sequence:
        other[-1] = (other[-1] + 1) % vocabulary_size(model.hf)
    first, second = all_logits(model, Batch.of_chains([sequence, other], device=model.device))
    difference = difference_of(second[:half], first[:half])
    if difference > tolerance:
        raise ModelError(
            f'"{model.name}" looks at later tokens: it is an encoder, or its attention is not causal',
            expected="a causal language model, in which a token depends on earlier tokens only",
            got=f"changing later tokens moves earlier logits by {difference:.1e}",
            where=f"{type(model.hf).__name__}, attention implementation {model.own_attention}",
        )


# --- laws ---------------------------------------------------------------------------------------------------------


def _reading_laws(model: HeadModel, rows: Rows) -> list[Law]:
    """Rows read against the attention's own output, and heads against the projection's own output, in one pass."""
    batch = Batch.of_chains(rows.sequences, device=model.device)
    real = batch.attention_mask.bool()
    tokens = torch.arange(batch.width, device=model.device).expand(len(batch), -1)
    later = torch.ones(batch.width, batch.width, dtype=torch.bool, device=model.device).triu(1)
    rebuilt, improper, summed = [0.0], [0.0], [0.0]
    has_sink: list[bool] = []
    outputs: dict[int, Tensor] = {}

    def saw(layer: int, attention: Attention, output: Tensor) -> None:
        at = real.to(output.device)
        pattern = attention.rows(tokens)
        value = attention.value.float()
        value = value.repeat_interleave(attention.n_heads // value.shape[1], dim=1)
        outputs[layer] = (pattern @ value).transpose(1, 2)
        rebuilt.append(difference_of(outputs[layer][at], output[at]))
        by_query = pattern.transpose(1, 2)[at]  # [N, H, T]
        unseen = by_query.masked_select(later.to(output.device).expand(len(batch), -1, -1)[at][:, None])
        total = by_query.sum(-1)
        has_sink.append(bool((total < 1 - rows.tolerance).any()))
        excess = (total - 1).max() if has_sink[-1] else (total - 1).abs().max()
        improper.append(max(float(unseen.max()) if unseen.numel() else 0.0, float(-by_query.min()), float(excess)))

    def projected(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            anatomy = model.anatomy.layers[layer]
            weights, bias = head_weights(anatomy)
            z = args[0].float().unflatten(-1, (anatomy.n_heads, anatomy.head_size))
            if anatomy.direct and layer in outputs:
                at, expected = real.to(z.device), outputs.pop(layer)
                rebuilt.append(difference_of(z[at], expected[at]) if z.shape == expected.shape else math.inf)
            heads = torch.einsum("...hd,hdm->...hm", z, weights.to(z))
            summed.append(difference_of(heads.sum(-2) + bias.to(z), output))

        return hook

    with _projection_hooks(model, projected), watching_attention(model, saw, (len(batch), batch.width)):
        run_hidden(model, batch)
    note = "" if model.anatomy.direct else "a gate or norm stands between attention and projection: no written norm"
    if len(has_sink) != len(model.anatomy.layers):
        note = f"{len(has_sink)} of {len(model.anatomy.layers)} layers with heads were seen"
    sink = "a sink takes part of the weight" if any(has_sink) else ""
    complete = len(has_sink) == len(model.anatomy.layers)
    return [
        _law("rows read x values = each head's z", max(rebuilt), rows.tolerance, note, also=complete),
        _law("rows are weights on earlier tokens", max(improper), rows.tolerance, sink, also=complete),
        _law("sum of heads + bias = projection's output", max(summed), rows.tolerance, ""),
    ]


def _law(name: str, difference: float, tolerance: float, note: str, *, also: bool = True) -> Law:
    return Law(name, difference, tolerance, difference <= tolerance and also, note)


@contextmanager
def _projection_hooks(
    model: HeadModel, hook: Callable[[int], Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]]
) -> Generator[None]:
    with model.thread.hooks() as hooks:
        for index, layer in model.anatomy.layers.items():
            hooks.after(layer.projection, hook(index))
        yield


def _padding_laws(model: HeadModel, rows: Rows) -> list[Law]:
    laws = []
    room = max(map(len, rows.sequences)) + 2
    extra = 2 if model.context_length is None or room <= model.context_length else 0
    for side in ("right", "left"):
        batch = Batch.of_chains(rows.sequences, device=model.device, padding=side, extra=extra, pad_id=1)  # type: ignore[arg-type]
        law = compare(f"padded {side} = unpadded", all_logits(model, batch), rows.alone, rows.tolerance)
        if not law.passed and side == "left" and model.anatomy.without_heads and laws[0].passed:
            which = ", ".join(map(str, model.anatomy.without_heads))
            law = replace(law, note=f"padding before a text enters the state of its layers without heads: {which}")
        laws.append(law)
    return laws


def _editing_laws(model: HeadModel, rows: Rows) -> list[Law]:
    batch = Batch.of_chains(rows.sequences, device=model.device)
    hooks, before = _count_hooks(model), all_logits(model, batch)
    with editing(model, rows.edits):
        edited = all_logits(model, batch)
    with _projection_hooks(model, lambda layer: _without_rows(model, layer, rows.edits[layer].gain)):
        reference = all_logits(model, batch)
    moved = max(difference_of(one, other) for one, other in zip(edited, before, strict=True))
    off = {i: LayerEdit(torch.zeros(1, 1, one.n_heads, device=model.device)) for i, one in model.anatomy.layers.items()}
    with editing(model, off):
        all_off = all_logits(model, batch)
    with _projection_hooks(model, lambda layer: _bias_only(model, layer)):
        block_off = all_logits(model, batch)
    with editing(model, rows.edits):
        again = all_logits(model, batch)
    after = all_logits(model, batch)
    left = _count_hooks(model) - hooks
    return [
        compare("edit = zeroed rows of W_O", edited, reference, rows.tolerance, f"it moves logits by {moved:.1e}"),
        compare("all heads off = attention block off", all_off, block_off, rows.tolerance),
        compare("edits are not cumulative", again, edited, 0.0, "bit for bit"),
        _law(
            "after the block as before it",
            max(difference_of(one, other) for one, other in zip(after, before, strict=True)),
            0.0,
            "bit for bit" if left == 0 else f"{left} hooks stay behind",
            also=left == 0,
        ),
    ]


def _without_rows(
    model: HeadModel, layer: int, gain: Tensor
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A hook that computes the projection with the rows of W_O of the switched-off heads set to zero."""
    anatomy = model.anatomy.layers[layer]
    weights, bias = head_weights(anatomy)

    def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        by_row = [
            args[0][row].float() @ (weights * kept[0, :, None, None]).to(args[0].device).flatten(0, 1)
            for row, kept in enumerate(gain)
        ]
        return (torch.stack(by_row) + bias.to(args[0].device)).to(output)

    return hook


def _bias_only(model: HeadModel, layer: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    _, bias = head_weights(model.anatomy.layers[layer])
    return lambda _, args, output: bias.to(output).expand_as(output)


def _count_hooks(model: HeadModel) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.hf.modules() for kind in kinds)


def _cache_law(model: HeadModel, rows: Rows) -> Law:
    """Different edits in one left-padded cached batch against each row edited alone, without cache."""
    alone = []
    for row, ids in enumerate(rows.sequences):
        own = {layer: LayerEdit(edit.gain[row : row + 1]) for layer, edit in rows.edits.items()}
        with editing(model, own):
            alone.append(all_logits(model, Batch.of_chains([ids], device=model.device))[0][-N_STEPS - 1 :])
    started = [ids[: len(ids) - N_STEPS] for ids in rows.sequences]
    name = "edited, cached and batched = edited, uncached and alone"
    if min(map(len, started)) < 1:
        return unmeasured(name, "the context is too short to measure it")
    batch = Batch.of_chains(started, device=model.device, padding="left", pad_id=1)
    with editing(model, rows.edits):
        try:
            logits, cache = prefill(model, batch)
        except RequestError as error:
            return unmeasured(name, error.problem)
        except MODEL_ERRORS as error:
            return Law(name, math.inf, rows.tolerance, False, f"its own code fails: {type(error).__name__}: {error}")
        return compare(name, gone_on(model, logits, cache, batch, rows.sequences), alone, rows.tolerance)
