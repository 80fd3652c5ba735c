"""Edits of heads for one prompt, with what the profile gives them: means of control prompts, steering vectors.

A prompt of the profile gets what a measurement of it would put in: the mean over control prompts of other templates
than its own, a vector fitted on the other templates. For a typed text nothing has to be left out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import RequestError, one_of
from headscope.heads import HeadSet
from headscope.measure.edits import Arm, ControlStates, bos_outputs
from headscope.measure.layout import PromptLayout
from headscope.models.editing import HeadEdit
from headscope.study import Study
from headscope.verbs.making_edits import profile_facts
from headscope.verbs.steer_vectors import ConceptVectors

KINDS = ("zero", "mean", "bos", "scale", "add")
_VECTOR = "mean_difference"


class EditMaker:
    """Makes edits; control states, BOS outputs and vectors are measured where they are first needed, and kept."""

    def __init__(self, study: Study, *, has_profile: bool) -> None:
        self._study, self._model, self._has_profile = study, study.model, has_profile
        self._states: ControlStates | None = None
        self._vectors: dict[str, ConceptVectors] = {}
        self._bos: dict[int, Any] = {}

    def make(
        self, prompt: PromptLayout, heads: str, kind: str, *, factor: float | None, dose: float | None, concept: str,
        is_typed: bool,
    ) -> HeadEdit:  # fmt: skip
        """An edit of ``heads`` for a prompt; see ``Inspection.edit``."""
        _check(kind, factor=factor, dose=dose)
        chosen = self._model.head_set(heads)
        about: dict[str, Any] = {"inspected": kind}
        if kind == "zero":
            return HeadEdit(str(chosen), "zero", about=about)
        if factor is not None:
            return HeadEdit(str(chosen), "scale", factor=float(factor), about=about)
        if kind == "bos":
            return HeadEdit(str(chosen), "replace", self._bos_values(chosen), about=about | _OF_BOS)
        if not self._has_profile:
            raise RequestError(
                f'the edit "{kind}" takes its values from the prompts of a profile', expected="a profile", got="none",
                fix="give one, e.g. the bundled baseline, or use zero, bos or scale",
            )  # fmt: skip
        about |= profile_facts(self._study) | {"left_out": "nothing" if is_typed else f"template {prompt.template}"}
        if kind == "mean":
            return HeadEdit(str(chosen), "mean", self._means(prompt, chosen), about=about)
        if dose is None:
            raise AssertionError("checked above")
        about |= {"concept": concept, "dose": dose, "vector": _VECTOR}
        values = self._doses(prompt, chosen, concept, dose, is_typed=is_typed)
        return HeadEdit(str(chosen), "add", values, about=about)

    def _bos_values(self, heads: HeadSet) -> dict[str, Tensor]:
        if not self._bos:
            self._bos = bos_outputs(self._model)
        return {str(head): _vector(self._bos[head.layer][0, head.head]) for head in heads}

    def _means(self, prompt: PromptLayout, heads: HeadSet) -> dict[str, Tensor]:
        if self._states is None:
            self._states = self._study.states(("mean",))
        if self._states is None:
            raise AssertionError("the mean needs control prompts")
        return {str(head): _vector(self._states.mean(prompt, head.layer)[0, head.head]) for head in heads}

    def _doses(
        self, prompt: PromptLayout, heads: HeadSet, concept: str, dose: float, *, is_typed: bool
    ) -> dict[str, Tensor]:
        """Head -> dose x the vector fitted on other templates than the prompt's; on all where it has none of these."""
        self._study.profile.chosen(concept)
        if concept not in self._vectors:
            own = self._study.only(concept)
            self._vectors[concept] = ConceptVectors(own, concept, kind=_VECTOR, progress=self._study.progress)
        vectors = self._vectors[concept]
        vectors.check_length(heads, _VECTOR)
        layers = {head.layer for head in heads}
        fold = None if is_typed else vectors.folds.get(prompt.template)  # the vector may be another concept's
        if fold is None:
            of_layer = {layer: vectors.whole(layer) for layer in layers}
        else:
            of_layer = {
                layer: one[fold] for layer, one in vectors.vectors([Arm(heads, "add", dose, _VECTOR)])[_VECTOR].items()
            }
        return {str(head): _vector(dose * of_layer[head.layer][head.head]) for head in heads}


_OF_BOS = {"values": "z of a BOS that stands alone"}


def _vector(values: Any) -> Tensor:
    with np.errstate(over="ignore"):  # what overflows is refused, as not finite
        return torch.from_numpy(np.asarray(values, dtype=np.float32).copy())


def _check(kind: str, *, factor: float | None, dose: float | None) -> None:
    """Refuse an edit that has what it does not need, or lacks what it needs."""
    one_of("edit", kind, KINDS)
    for name, value, needed in (("factor", factor, kind == "scale"), ("dose", dose, kind == "add")):
        if (value is not None) != needed:
            raise RequestError(
                f'the edit "{kind}" {"needs" if needed else "has no use for"} a {name}',
                expected=f"scale with a factor, add with a dose, {', '.join(KINDS[:3])} with neither",
                got=f"{kind} {'without one' if value is None else f'with {value:g}'}",
            )  # fmt: skip
        if value is not None and not math.isfinite(value):
            raise RequestError(f"the {name} is no finite number", expected="e.g. 2", got=str(value))
    if dose == 0.0:
        raise RequestError("a dose of 0 changes nothing", expected="a number that is not 0", got="0")
