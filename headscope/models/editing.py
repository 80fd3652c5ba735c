"""Head edits at the one place where a head's output stands alone: the input of the attention's output projection.

z, [B, T, H, d], becomes ``gain * z + value``. Gains and values have a row axis, so one batch runs many different edits
beside each other, and a token axis, so an edit may hold at some places only. Edits live in a ``with`` block and nest:
an inner one sees what an outer one left. A block belongs to the thread that entered it (``one_thread.py``). Leaving
the block, also by an exception, removes every hook. z is replaced, never written over, so nothing that holds the
model's own tensor sees the edit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscope.errors import RequestError, one_of
from headscope.heads import Head
from headscope.models.anatomy import LayerAnatomy
from headscope.models.edit_format import EditRecord
from headscope.models.head_model import HeadModel
from headscope.models.value_biases import value_bias as value_bias


@dataclass(frozen=True)
class LayerEdit:
    """What happens to the heads of one layer: z' = gain * z + value.

    Attributes:
        gain: [B or 1, T or 1, H].
        value: [B or 1, T or 1, H, d], or a function that gives it when the layer is reached; None adds nothing.

    An axis of 1 holds for every row or token; any other length must be that of each pass inside the block.
    """

    gain: Tensor
    value: Tensor | Callable[[], Tensor] | None = None


@contextmanager
def editing(model: HeadModel, edits: Mapping[int, LayerEdit]) -> Generator[HeadModel]:
    """Edit heads, by layer, in every forward pass inside the block, plain, cached or in ``generate``.

    Raises:
        RequestError: a layer does not exist, or a gain or value does not fit it or the rows that come.
    """
    hooks: dict[int, Callable[..., Any]] = {}
    for layer, edit in edits.items():
        anatomy = _layer(model, layer)
        _check_shapes(anatomy, layer, edit)
        hooks[layer] = _edit_hook(anatomy, layer, edit)
    with _hooked(model, hooks):
        yield model


@contextmanager
def watching_z(
    model: HeadModel, callback: Callable[[int, Tensor], None], layers: Sequence[int] | None = None
) -> Generator[HeadModel]:
    """Call ``callback(layer, z [B, T, H, d])`` as each layer of each pass inside the block computes its z.

    Edits entered before this block are in z, edits entered inside it are not. z is the model's own tensor: copy what
    is to be kept. Nothing is stored here. ``layers``: only these; None for all.
    """

    def hook(layer: int, anatomy: LayerAnatomy) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, args: callback(layer, _by_head(args[0], anatomy))

    watched = model.anatomy.layers if layers is None else layers
    with _hooked(model, {layer: hook(layer, _layer(model, layer)) for layer in watched}):
        yield model


@contextmanager
def _hooked(model: HeadModel, hooks: Mapping[int, Callable[..., Any]]) -> Generator[None]:
    """A hook on the output projection of each of these layers, in passes of this thread."""
    with model.thread.hooks() as added:
        for layer, hook in hooks.items():
            added.before(_layer(model, layer).projection, hook)
        yield


def _layer(model: HeadModel, layer: int) -> LayerAnatomy:
    if not 0 <= layer < len(model.anatomy):
        raise RequestError(f"layer {layer} does not exist", expected=f"0 to {len(model.anatomy) - 1}", got=str(layer))
    if layer not in model.anatomy.layers:
        raise RequestError(
            f"layer {layer} has no attention heads",
            expected=f"one of layers {', '.join(map(str, model.anatomy.layers))}",
            got=str(layer),
        )
    return model.anatomy.layers[layer]


def _by_head(z: Float[Tensor, "B T _"], anatomy: LayerAnatomy) -> Float[Tensor, "B T H d"]:
    return z.unflatten(-1, (anatomy.n_heads, anatomy.head_size))


def _check_shapes(anatomy: LayerAnatomy, layer: int, edit: LayerEdit) -> None:
    H, d = anatomy.n_heads, anatomy.head_size
    if edit.gain.dim() != 3 or edit.gain.shape[2] != H:
        raise RequestError(
            f"the gain of layer {layer} has the wrong shape",
            expected=f"[rows or 1, tokens or 1, {H}]",
            got=str(tuple(edit.gain.shape)),
        )
    if isinstance(edit.value, Tensor) and (edit.value.dim() != 4 or tuple(edit.value.shape[2:]) != (H, d)):
        raise RequestError(
            f"the value of layer {layer} has the wrong shape",
            expected=f"[rows or 1, tokens or 1, {H}, {d}]",
            got=str(tuple(edit.value.shape)),
        )


def _edit_hook(
    anatomy: LayerAnatomy, layer: int, edit: LayerEdit
) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    gain = edit.gain[..., None]

    def hook(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal gain
        z = _by_head(args[0], anatomy)
        gain = gain.to(z)
        _check_rows(gain, z, "gain", layer)
        edited = z * gain
        if edit.value is not None:
            value = (edit.value if isinstance(edit.value, Tensor) else edit.value()).to(z)
            _check_rows(value, z, "value", layer)
            edited = edited + value
        return (edited.flatten(-2), *args[1:])

    return hook


def _check_rows(given: Tensor, z: Tensor, what: str, layer: int) -> None:
    fits = all(have in (1, need) for have, need in zip(given.shape[:2], z.shape[:2], strict=True))
    if not fits:
        raise RequestError(
            f"the {what} of layer {layer} does not fit the pass it is applied to",
            expected=f"{z.shape[0]} rows (or 1) and {z.shape[1]} tokens (or 1)",
            got=f"{given.shape[0]} rows and {given.shape[1]} tokens",
            fix="in cached generation each step has one token: give the edit one token, which then holds for all",
        )


# --- what a user writes -------------------------------------------------------------------------------------------

Values = Tensor | Sequence[Any] | Mapping[Any, Any]
HEAD_EDITS = ("zero", "scale", "mean", "replace", "add")
_WITH_VALUES = ("mean", "replace", "add")


@dataclass(frozen=True)
class HeadEdit:
    """An edit of a set of heads that holds for every row, position and step.

    Attributes:
        heads: the spec, e.g. ``"1:10,3:2"``.
        kind: ``zero``; ``scale``: z times ``factor``; ``mean`` and ``replace``: given values in place of z; ``add``: z
            plus a given vector.
        values: [heads in the set, d] in the set's sorted order and in z's own units, or a mapping from head
            (``"1:10"``, ``(1, 10)``, Head) to [d]; None for ``zero`` and ``scale``.
        value_bias: for ``zero``: ``"zero"`` sets z to 0, ``"keep"`` to b_V (TransformerLens' convention).
        factor: of ``scale``; 1 for every other kind.
        about: where it came from, as JSON can hold it; kept with it in a file.
        only_for: fingerprint of the model that it belongs to; None for any.

    Raises:
        RequestError: the kind does not exist, the factor is not finite, or a kind has what it has no use for.
    """

    heads: str
    kind: Literal["zero", "scale", "mean", "replace", "add"]
    values: Values | None = None
    value_bias: Literal["zero", "keep"] = "zero"
    factor: float = 1.0
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
    only_for: str | None = None

    def __post_init__(self) -> None:
        one_of("edit", self.kind, HEAD_EDITS)
        one_of("value_bias", self.value_bias, ("zero", "keep"))
        if not math.isfinite(self.factor):
            raise RequestError("the factor is not a finite number", expected="e.g. 2.0", got=str(self.factor))
        if (self.values is not None) != (self.kind in _WITH_VALUES):
            wanted = "[heads in the set, d], or a mapping from head to [d]" if self.values is None else "none"
            raise RequestError(f'the edit "{self.kind}" has other values than it needs', expected=wanted)

    def on(self, model: HeadModel) -> AbstractContextManager[HeadModel]:
        """The model edited inside the block, as ``model.edit`` enters it."""
        return editing(model, self.layer_edits(model))

    def layer_edits(self, model: HeadModel) -> dict[int, LayerEdit]:
        """The edit of each layer of ``model``.

        Raises:
            RequestError: the edit belongs to another model, a head does not exist, or a value does not fit.
        """
        values = self.values_on(model)
        gain = {"zero": 0.0, "mean": 0.0, "replace": 0.0, "add": 1.0, "scale": self.factor}[self.kind]
        edits: dict[int, LayerEdit] = {}
        device = model.device
        for head in model.head_set(self.heads):
            anatomy = model.anatomy.layers[head.layer]
            H, d = anatomy.n_heads, anatomy.head_size
            if head.layer not in edits:
                value = torch.zeros(1, 1, H, d, device=device) if values else None
                edits[head.layer] = LayerEdit(torch.ones(1, 1, H, device=device), value)
            edit = edits[head.layer]
            edit.gain[..., head.head] = gain
            if isinstance(edit.value, Tensor):
                edit.value[:, :, head.head] = values[head].to(edit.value)
        return edits

    def values_on(self, model: HeadModel) -> dict[Head, Tensor]:
        """[d] of each head that is put in z's place or added to it; empty where the edit is a factor alone."""
        if self.only_for not in (None, model.fingerprint):
            raise RequestError(
                "the edit was made on another model",
                expected=f"fingerprint {str(self.only_for)[:12]}",
                got=f"{model.fingerprint[:12]} ({model.name})",
                fix="use it on its own model, or read it with load_edit(path, any_model=True)",
            )
        heads = tuple(model.head_set(self.heads))
        if self.kind == "zero" and self.value_bias == "keep":
            return {head: value_bias(model, head.layer)[head.head] for head in heads}
        values = {} if self.values is None else _values_by_head(self.values, heads)
        for head, value in values.items():
            _check_value(head, value, model.anatomy.layers[head.layer].head_size, adds=self.kind == "add")
        return values

    def record(self, model: HeadModel) -> EditRecord:
        """What ``model.save_edit`` writes; RequestError where the edit does not fit the model."""
        values = {} if self.values is None else self.values_on(model)
        return EditRecord(
            heads=tuple(map(str, model.head_set(self.heads))),
            kind=self.kind,
            factor=self.factor,
            value_bias=self.value_bias,
            model={"name": model.name, "family": model.hf.config.model_type, "fingerprint": model.fingerprint},
            about=self.about,
            values={str(head): value.detach().cpu() for head, value in values.items()},
        )


def zero(heads: str, *, value_bias: Literal["zero", "keep"] = "zero") -> HeadEdit:
    """Heads switched off: z = 0, or z = b_V with ``value_bias="keep"`` (what TransformerLens leaves)."""
    return HeadEdit(heads, "zero", value_bias=value_bias)


def scale(heads: str, factor: float) -> HeadEdit:
    """Heads whose z is multiplied by ``factor``: 0 is ``zero``, 1 changes nothing, 2 doubles what they write."""
    return HeadEdit(heads, "scale", factor=float(factor))


def replace(heads: str, values: Values) -> HeadEdit:
    """Heads whose z is ``values`` ([heads in the set, d], or a mapping from head to [d]) everywhere."""
    return HeadEdit(heads, "replace", values)


def mean(heads: str, values: Values) -> HeadEdit:
    """Heads whose z is its mean over some reference text, given as in ``replace``."""
    return HeadEdit(heads, "mean", values)


def add(heads: str, values: Values) -> HeadEdit:
    """Heads to whose z ``values`` are added everywhere, in z's own units, given as in ``replace``."""
    return HeadEdit(heads, "add", values)


def _check_value(head: Head, value: Tensor, d: int, *, adds: bool) -> None:
    """RequestError where a value is no vector of its head, is not finite, or adds nothing."""
    if tuple(value.shape) != (d,):
        raise RequestError(
            f"the value for head {head} has the wrong shape", expected=f"({d},)", got=str(tuple(value.shape))
        )
    if not bool(torch.isfinite(value).all()):
        raise RequestError(f"the value for head {head} is not finite", expected="finite numbers")
    if adds and not bool(value.any()):
        raise RequestError(
            f"the vector for head {head} has zero length, so adding it changes nothing",
            expected="a vector that is not 0 everywhere",
            fix="leave the head out",
        )


def _values_by_head(values: Values, heads: tuple[Head, ...]) -> dict[Head, Tensor]:
    if isinstance(values, Mapping):
        named = {_head_name(key): torch.as_tensor(value) for key, value in values.items()}
        missing = [str(head) for head in heads if str(head) not in named]
        extra = sorted(set(named) - set(map(str, heads)))
        if missing or extra:
            raise RequestError(
                "the values do not name the heads of the set",
                expected=", ".join(map(str, heads)),
                got=", ".join(sorted(named)),
            )
        return {head: named[str(head)] for head in heads}
    stacked = torch.as_tensor(values)
    if stacked.dim() != 2 or len(stacked) != len(heads):
        raise RequestError(
            "the values do not fit the set of heads",
            expected=f"[{len(heads)}, d], one row for each of {', '.join(map(str, heads))}",
            got=str(tuple(stacked.shape)),
        )
    return dict(zip(heads, stacked, strict=True))


def _head_name(key: object) -> str:
    if isinstance(key, tuple):
        layer, head = key
        return f"{layer}:{head}"
    text = str(key)
    return text if ":" in text else ":".join(text.upper().removeprefix("L").split("H"))
