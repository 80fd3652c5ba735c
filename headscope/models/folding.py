"""An edit of heads folded into a model's weights, where that is exact.

What a layer's projection puts out is sum_h z_h W_O,h + b, so at every position

- z times a factor (``scale``; 0 for ``zero``) is W_O,h times the factor;
- a value v in z's place (``mean``, ``replace``, ``zero`` with b_V) is W_O,h = 0, and b + v W_O,h;
- z plus a vector v (``add``) is b + v W_O,h.

This holds whatever stands before z, a gate or a norm too, because an edit acts on the projection's input. Sums are
float32 and rounded once to the weight's type. Where the projection has no bias, it gets one if a truth value of the
configuration that speaks of a bias gives the architecture room: the model that this makes, built without weights, must
have the old weights in their old shapes, and as new ones nothing but biases, of which all others are set to 0.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from headscope.errors import ModelError, RequestError
from headscope.models.anatomy import MODEL_ERRORS, LayerAnatomy
from headscope.models.editing import HeadEdit
from headscope.models.head_model import Edit, HeadModel
from headscope.models.weights import head_weights

OTHER_WAY = "save the edit as a file (headscope edits save) and use `with model.edit(hs.load_edit(path))`"


@dataclass(frozen=True)
class Folded:
    """What an edit makes of a model's weights.

    Attributes:
        changed: name in the state dict -> the weight as folded, float32; the old one's shape, or a new bias.
        settings: what the configuration must say for the new biases; empty where there are none.
    """

    changed: Mapping[str, Tensor]
    settings: Mapping[str, bool]


@torch.no_grad()
def fold(model: HeadModel, edit: Edit) -> Folded:
    """Fold the edit; the model itself stays as it is.

    Raises:
        RequestError: the edit does not fit the model.
        ModelError: it cannot be folded exactly; the message says why, and which way works.
    """
    if not isinstance(edit, HeadEdit):
        raise RequestError(
            "only an edit that holds everywhere can be folded into weights",
            expected="hs.zero, hs.scale, hs.mean, hs.replace or hs.add", got=type(edit).__name__, fix=OTHER_WAY,
        )  # fmt: skip
    edits = edit.layer_edits(model)
    names = {module: name for name, module in model.hf.named_modules()}
    changed: dict[str, Tensor] = {}
    without_bias: list[str] = []
    for layer, layer_edit in edits.items():
        anatomy = model.anatomy.layers[layer]
        name = names[anatomy.projection]
        _refuse_special(model.hf, anatomy, name)
        matrix, bias = head_weights(anatomy)
        gain = layer_edit.gain[0, 0].to(matrix)
        if not bool((gain == 1).all()):
            changed[f"{name}.weight"] = _as_stored(anatomy.projection, matrix * gain[:, None, None])
        if isinstance(layer_edit.value, Tensor):
            written = torch.einsum("hd,hdm->m", layer_edit.value[0, 0].to(matrix), matrix)
            changed[f"{name}.bias"] = bias + written
            if getattr(anatomy.projection, "bias", None) is None:
                without_bias.append(f"{name}.bias")
    if not without_bias:
        return Folded(changed, {})
    setting, new = room_for_bias(model.hf, without_bias)
    if setting is None:
        raise ModelError(
            f"{type(model.hf).__name__} has no bias in its output projection and no setting that adds one, so "
            f'"{edit.kind}" cannot be folded into its weights',
            expected="zero or scale, or a family whose projection may have a bias (docs/handing_over.md)",
            got=f"edit {edit.kind}", where=without_bias[0].removesuffix(".bias"), fix=OTHER_WAY,
        )  # fmt: skip
    zeros = {name: torch.zeros(shape) for name, shape in new.items()}
    return Folded({**zeros, **changed}, {setting: True})


def _as_stored(projection: nn.Module, matrix: Float32[Tensor, "H d D"]) -> Float32[Tensor, "_ _"]:
    flat = matrix.flatten(0, 1)
    return flat if isinstance(projection, Conv1D) else flat.T


def _refuse_special(hf: PreTrainedModel, layer: LayerAnatomy, name: str) -> None:
    """ModelError where the projection's weight is no plain matrix of its own."""
    projection: Any = layer.projection
    weight: Any = getattr(projection, "weight", None)
    plain = isinstance(projection, nn.Linear | Conv1D) and isinstance(weight, nn.Parameter)
    why = None
    if getattr(hf, "is_quantized", False) or not plain or weight.dim() != 2 or not weight.is_floating_point():
        why = "its output projection is no plain matrix (quantized, or an adapter beside it)"
    elif weight.is_meta or len({str(other.device) for other in hf.parameters()}) > 1:
        why = "its weights are spread over devices, or not in memory"
    elif sum(other is weight for _, other in hf.named_parameters(remove_duplicate=False)) > 1:
        why = "its output projection shares its matrix with another part of the model"
    if why is not None:
        raise ModelError(
            f"the edit cannot be folded into the weights of {type(hf).__name__}: {why}",
            expected="a model on one device whose output projections are plain matrices (an adapter: merged)",
            got=type(projection).__name__, where=name, fix=OTHER_WAY,
        )  # fmt: skip


def room_for_bias(hf: PreTrainedModel, wanted: list[str]) -> tuple[str | None, dict[str, tuple[int, ...]]]:
    """The setting that gives these projections a bias, and the shape of each weight that comes with it; None without.

    Of several settings the one that adds the fewest weights.
    """
    config = hf.config
    here = {name: tuple(weight.shape) for name, weight in hf.state_dict().items()}
    found: list[tuple[int, str, dict[str, tuple[int, ...]]]] = []
    for setting in sorted(name for name, value in vars(config).items() if value is False and "bias" in name):
        there = _shapes(hf, setting)
        if there is None or any(there.get(name) != shape for name, shape in here.items()):
            continue
        new = {name: shape for name, shape in there.items() if name not in here}
        if set(wanted) <= set(new) and all(name.endswith(".bias") for name in new):
            found.append((len(new), setting, new))
    return min(found, key=lambda one: one[:2])[1:] if found else (None, {})


def _shapes(hf: PreTrainedModel, setting: str) -> dict[str, tuple[int, ...]] | None:
    """The weights of the architecture with one more setting on; None where it cannot be."""
    try:
        return {name: tuple(weight.shape) for name, weight in shell_of(hf, {setting: True}).state_dict().items()}
    except MODEL_ERRORS:
        return None


def shell_of(hf: PreTrainedModel, settings: Mapping[str, bool]) -> PreTrainedModel:
    """A model of the same architecture and configuration, but for these settings, without weights."""
    config = copy.deepcopy(hf.config)
    for name, value in settings.items():
        setattr(config, name, value)
    with torch.device("meta"):
        return type(hf)(config)
