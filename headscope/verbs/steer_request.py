"""What is to be steered how: doses, sets of heads, vectors, checked before any work; and the same push as an edit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from headscope.errors import RequestError, one_of
from headscope.heads import HeadSet
from headscope.models.editing import HeadEdit
from headscope.settings import Steering
from headscope.stats.dosing import NEUTRAL_DOSES
from headscope.study import Study
from headscope.terms import VECTORS
from headscope.verbs.making_edits import head_edit, profile_facts
from headscope.verbs.steer_passes import Dosage
from headscope.verbs.steer_vectors import ConceptVectors, Given

DEFAULT_DOSES: dict[str, tuple[float, ...]] = {"add": (2.0, 4.0, 8.0), "scale": (0.0, 2.0, 4.0)}
HeadsOf = str | HeadSet | Mapping[str, str] | Mapping[str, HeadSet]


@dataclass(frozen=True, kw_only=True)
class SteerRequest(Steering):
    """What is steered how, checked."""

    def __post_init__(self) -> None:
        _ = self.dosage

    @property
    def dosage(self) -> Dosage:
        """Edit, doses, target and scope.

        Raises:
            RequestError: a dose is no finite number, stands twice, or changes nothing.
        """
        return Dosage(self.edit, parse_doses(self.doses, self.edit), self.target, self.steering_scope)


def parse_doses(asked: Sequence[float] | float | str | None, edit: str) -> tuple[float, ...]:
    """The doses asked for, in their order; the defaults of the edit for None.

    Raises:
        RequestError: a dose is no finite number, stands twice, or is the one at which nothing changes.
    """
    if edit not in DEFAULT_DOSES:
        raise RequestError(f'heads cannot be turned up by "{edit}"', expected=" or ".join(DEFAULT_DOSES))
    if asked is None:
        return DEFAULT_DOSES[edit]
    if isinstance(asked, int | float):
        asked = [asked]
    texts = [one.strip() for one in asked.split(",")] if isinstance(asked, str) else [str(float(one)) for one in asked]
    found: list[float] = []
    for text in texts:
        try:
            dose = float(text)
        except ValueError:
            dose = math.nan
        if not math.isfinite(dose):
            raise RequestError("a dose is no finite number", expected="numbers joined by commas: 1,2,4", got=text)
        found.append(dose)
    neutral = NEUTRAL_DOSES[edit]
    if not found or len(set(found)) < len(found) or neutral in found:
        raise RequestError(
            "the doses cannot be compared",
            expected=f"each once, and none of {neutral:g}, at which {edit} changes nothing and which every dose is "
            "compared with",
            got=", ".join(f"{dose:g}" for dose in found) or "none",
        )
    return tuple(found)


def sets_of(study: Study, heads: HeadsOf, request: Steering) -> dict[str, list[HeadSet]]:
    """Concept -> the sets to steer.

    Raises:
        RequestError: heads that the model does not have, or heads of a concept that is not asked for.
    """
    given = heads if isinstance(heads, Mapping) else dict.fromkeys(study.names, heads)
    for name in given:
        one_of("concept", name, study.names)
    by_concept = {name: study.model.head_set(str(given[name])) for name in study.names if name in given}
    if not by_concept:
        raise RequestError("there is nothing to steer", expected=f"heads for one of {', '.join(study.names)}")
    return {
        name: [HeadSet((head,)) for head in chosen] if request.each else [chosen] for name, chosen in by_concept.items()
    }


def vectors_of(study: Study, concept: str, request: Steering, given: Given | None) -> ConceptVectors:
    """The vectors of one concept, as the request has them; none are fitted for ``scale``."""
    if request.edit == "add" and request.vector not in VECTORS:
        raise RequestError(f'the vector "{request.vector}" does not exist', expected=", ".join(VECTORS))
    if request.edit == "add" and request.vector == "given" and given is None:
        raise RequestError("no vector was given", expected="Given(heads, values), or mean_difference, or probe")
    return ConceptVectors(study, concept, kind=request.vector if request.edit == "add" else "", given=given)


def steering_edit(
    study: Study, heads: str | HeadSet, concept: str, dose: float, *, vector: str = "mean_difference",
    given: Given | None = None, **about: Any,
) -> HeadEdit:  # fmt: skip
    """The edit ``add`` of a dose for any text: its vectors are fitted on every template, so it is not tested by them.

    ``about``: facts on how the heads were found, kept with the edit.

    Raises:
        RequestError: the dose is not finite or 0, the vector does not exist, or it has no length in one of the heads.
        ProfileError: too few templates.
    """
    (dose,) = parse_doses([dose], "add")
    request = SteerRequest(vector=vector)
    chosen = study.model.head_set(heads) if isinstance(heads, str) else heads
    vectors = vectors_of(study.only(concept), concept, request, given)
    vectors.check_length(chosen, request.vector)
    by_layer = {layer: vectors.whole(layer) for layer in {head.layer for head in chosen}}
    values = {str(head): torch.from_numpy(dose * by_layer[head.layer][head.head]).float() for head in chosen}
    facts = {"concept": concept, "vector": vector, "dose": dose, "values": "dose × σ × unit vector, of every template"}
    made = head_edit(str(chosen), "add", values=values, about=profile_facts(study) | facts | about)
    made.layer_edits(study.model)
    return made
