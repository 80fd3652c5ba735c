"""The vectors of one concept: fitted on its prompts and their controls, drawn at random, or given; by name of an arm.

What heads put out on the prompts, at the places of ``compared``, is kept once (``measure.head_outputs``), of every
layer, because any head may be compared with.

A name stands for what one dose adds, by fold of the template that is left out:

- ``mean_difference``, ``probe``: fitted to every head; ``given``: a vector of one's own, for the heads it is given for.
- ``given of HEADS in OTHERS``: the vectors given for some heads, in their order, in others, whose own σ then counts.
- ``random N of NAME``: the N-th random vector with the norms of ``NAME``.
- ``residual_stream of HEADS``: the mean difference of the residual stream behind each layer of the set, as long as what
  the set's heads write there at one dose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from headscope.errors import ProfileError, RequestError
from headscope.heads import Head, HeadSet
from headscope.measure.edits import Arm
from headscope.measure.head_outputs import head_outputs
from headscope.measure.protocols import Progress
from headscope.measure.steering import SteeredText, Vectors
from headscope.models.editing import Values, add
from headscope.models.head_model import HeadModel
from headscope.models.weights import head_weights
from headscope.random_streams import generator
from headscope.stats.steering_vectors import (
    N_PROBE_FOLDS,
    cross_fitted,
    doses,
    folds_of,
    holds_elsewhere,
    mean_difference,
    probe_directions,
    random_like,
    template_differences,
)
from headscope.study import Study
from headscope.terms import RESIDUAL
from headscope.verbs.compared import compared_rows, first_marked, first_places

FloatArray = npt.NDArray[np.float64]
_RANDOM = re.compile(r"random (\d+) of (.+)")
_ELSEWHERE = re.compile(r"given of (.+) in (.+)")


@dataclass(frozen=True)
class Given:
    """Vectors of one's own, one [d] for each head of the set, in its order; their length does not matter."""

    heads: HeadSet
    values: tuple[FloatArray, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of heads and values."""
        content = hashlib.sha256(str(self.heads).encode())
        for value in self.values:
            content.update(np.ascontiguousarray(value, dtype=np.float64).tobytes())
        return content.hexdigest()


class ConceptVectors:
    """The vectors of one concept of a study."""

    def __init__(
        self, study: Study, concept: str, *, kind: str, given: Given | None = None, progress: Progress | None = None
    ) -> None:
        """Find the prompts; what heads put out on them is measured when it is first needed, and ``progress`` told.

        Raises:
            ProfileError: one of the classes has fewer than two templates.
        """
        self.study, self.concept, self.kind, self._given = study, concept, kind, given
        self._progress = progress
        rows, compared = study.rows_of(concept), compared_rows(study, concept)
        self.concept_rows, self.control_rows = rows, compared[len(rows) :]
        self.layouts = [study.layouts[i] for i in compared]
        self._is_concept = np.arange(len(self.layouts)) < len(rows)
        for name, of_class in ((concept, rows), (study.profile.control, self.control_rows)):
            if (n := len(set(study.labels_of(of_class)))) < 2:
                raise ProfileError(
                    f"a steering vector of {concept} cannot be fitted on other templates than it is used on",
                    expected=f"at least two templates of {name}",
                    got=str(n),
                    fix="add prompts of other templates",
                )
        self.templates = [layout.template for layout in self.layouts]
        self._by_layer: dict[tuple[str, int], FloatArray] = {}

    @cached_property
    def folds(self) -> dict[str, int]:
        """Template -> its fold, of every template of the study, so that any of its prompts can be steered."""
        every = sorted({layout.template for layout in self.study.layouts})
        return folds_of(every, N_PROBE_FOLDS if self.kind == "probe" else None)

    @cached_property
    def texts(self) -> dict[str, SteeredText]:
        """Prompt id -> where steering holds in it, for every prompt of the study."""
        layouts = self.study.layouts
        marked = first_marked(self.study, layouts)
        return {
            one.id: SteeredText(self.folds[one.template], one.tokens.n_bos if first is None else first)
            for one, first in zip(layouts, marked, strict=True)
        }

    @cached_property
    def fitted_from(self) -> list[int]:
        """[n_prompts] position of the first token that counts of each prompt that vectors are fitted to."""
        return first_places(self.study, self.layouts)[0]

    @cached_property
    def _z(self) -> tuple[dict[int, FloatArray], dict[int, list[npt.NDArray[np.float32]]]]:
        """Layer -> means [n_prompts, H, d]; layer -> of each control prompt [n_places, H, d]."""
        study = self.study
        outputs = head_outputs(
            study.model, self.layouts, self.fitted_from,
            layers=list(study.model.anatomy.layers), batch_tokens=study.batch_tokens, progress=self._progress,
        )  # fmt: skip
        study.n_halved += outputs.n_halved
        controls = {layer: one[len(self.concept_rows) :] for layer, one in outputs.tokens.items()}
        return outputs.means, controls

    # --- by name -----------------------------------------------------------------------------------------------------

    def vectors(self, arms: Sequence[Arm]) -> dict[str, Vectors]:
        """What one dose adds under each arm's vector, in the layers of its heads.

        Raises:
            RequestError: a vector has no length in a head that is to be steered.
        """
        layers: dict[str, set[int]] = {}
        for arm in arms:
            layers.setdefault(arm.vector, set()).update(head.layer for head in arm.heads)
        return {name: self._named(name, sorted(wanted)) for name, wanted in layers.items() if name}

    def check_length(self, heads: HeadSet, name: str) -> None:
        """Raise RequestError where the vector has no length in one of the heads."""
        for head in heads:
            if not self._of_layer(name, head.layer)[:, head.head].any(axis=-1).all():
                raise RequestError(
                    f"the vector {name} of {self.concept} has no length in head {head}",
                    expected="an output that differs between the concept's prompts and their controls, and varies",
                    got="a vector of zeros in one of the folds",
                    fix="steer other heads, or give a vector (--vector FILE)",
                )

    def p_holds(self, heads: HeadSet) -> float | None:
        """See ``steering_vectors.holds_elsewhere``; None where no vector is fitted."""
        if self.kind in ("", "given"):
            return None
        layers = {layer: self._z[0][layer] for layer in {head.layer for head in heads}}
        values = [
            template_differences(layers[head.layer][:, head.head], self._is_concept, self.templates) for head in heads
        ]
        rng = generator(self.study.seed, "swapped_labels", self.concept, str(heads))
        padded = [np.pad(one, ((0, 0), (0, max(v.shape[1] for v in values) - one.shape[1]))) for one in values]
        return holds_elsewhere(np.stack(padded, axis=1), rng)

    def _named(self, name: str, layers: Sequence[int]) -> Vectors:
        if name.startswith(RESIDUAL):
            heads = self.study.model.head_set(name.partition(" of ")[2])
            return self._residual(heads, layers)
        return {layer: self._of_layer(name, layer) for layer in layers}

    def _of_layer(self, name: str, layer: int) -> FloatArray:
        """[n_folds, H, d] what one dose adds to z in each head."""
        if (name, layer) not in self._by_layer:
            drawn = _RANDOM.fullmatch(name)
            if drawn is not None:
                like = self._of_layer(drawn[2], layer)
                rng = generator(self.study.seed, "random_vector", self.concept, int(drawn[1]), layer)
                return random_like(like, rng)  # not kept: there are many
            self._by_layer[name, layer] = self._dose(self._directions(name, layer), layer)
        return self._by_layer[name, layer]

    def _directions(self, name: str, layer: int) -> FloatArray:
        means, n_folds = self._z[0][layer], max(self.folds.values()) + 1
        if name.startswith("given") and self._given is not None:
            directions = np.zeros((n_folds, *means.shape[1:]))
            for head, value in self._placed(name, self._given):
                if head.layer == layer and len(value) != means.shape[2]:
                    raise RequestError(
                        f"a given vector cannot be tried in head {head}, which is of another size",
                        expected=f"{means.shape[2]} numbers", got=str(len(value)),
                        fix="steer along mean_difference, which every head has of its own",
                    )  # fmt: skip
                if head.layer == layer:
                    directions[:, head.head] = value
            return directions
        return cross_fitted(self._fit, means, self._is_concept, self.templates, self.folds)

    def whole(self, layer: int) -> FloatArray:
        """[H, d] what one dose adds to z, fitted on every template: for text that is none of the profile's."""
        if self.kind == "given":
            directions = self._directions(self.kind, layer)[0]
        else:
            directions = self._fit(self._z[0][layer], self._is_concept, self.templates)
        tokens, templates = self._z[1][layer], self.templates[len(self.concept_rows) :]
        return doses(directions[None], tokens, templates, None)[0]

    def _fit(self, means: FloatArray, is_concept: npt.NDArray[np.bool_], templates: Sequence[str]) -> FloatArray:
        if self.kind == "probe":
            return probe_directions(means, is_concept, templates, seed=self.study.seed)
        return mean_difference(means, is_concept, templates)

    def _placed(self, name: str, given: Given) -> list[tuple[Head, FloatArray]]:
        """Each head that a given vector is put into, and the vector."""
        own = dict(zip(given.heads, given.values, strict=True))
        elsewhere = _ELSEWHERE.fullmatch(name)
        if elsewhere is None:
            return list(own.items())
        tested, others = (self.study.model.head_set(spec) for spec in elsewhere.groups())
        return [(other, own[head]) for head, other in zip(tested, others, strict=True)]

    def _dose(self, directions: FloatArray, layer: int) -> FloatArray:
        return doses(directions, self._z[1][layer], self.templates[len(self.concept_rows) :], self.folds)

    def _residual(self, heads: HeadSet, layers: Sequence[int]) -> Vectors:
        streams = self._streams
        pushed: dict[int, FloatArray] = {}
        for layer in layers:
            direction = cross_fitted(mean_difference, streams[layer], self._is_concept, self.templates, self.folds)
            length = np.linalg.norm(direction, axis=-1, keepdims=True)
            units = np.divide(direction, length, out=np.zeros_like(direction), where=length > 0.0)
            pushed[layer] = self._written_norm(heads, layer)[:, None] * units
        return pushed

    def _written_norm(self, heads: HeadSet, layer: int) -> FloatArray:
        """[n_folds] norm of what the set's heads of a layer write into the residual stream at one dose."""
        weights = head_weights(self.study.model.anatomy.layers[layer])[0].double().cpu().numpy()
        mine = [head.head for head in heads if head.layer == layer]
        pushed = self._of_layer(self.kind, layer)[:, mine]
        return np.linalg.norm(np.einsum("fhd,hdD->fD", pushed, weights[mine]), axis=-1)

    @cached_property
    def _streams(self) -> dict[int, FloatArray]:
        """Layer -> [n_prompts, D] mean over each prompt's places of the residual stream behind it."""
        study = self.study
        outputs = head_outputs(
            study.model, self.layouts, self.fitted_from, what="stream",
            layers=list(study.model.anatomy.layers), batch_tokens=study.batch_tokens,
        )  # fmt: skip
        study.n_halved += outputs.n_halved
        return outputs.means

    def in_place_of(self, tested: HeadSet, others: HeadSet) -> str:
        """The name of the vector of heads that are steered in the place of tested ones."""
        return f"given of {tested} in {others}" if self.kind == "given" else self.kind


def random_vector(i: int, name: str) -> str:
    """The name of the i-th random vector as long as another."""
    return f"random {i} of {name}"


def residual_of(heads: HeadSet) -> str:
    """The name of the vector in the residual stream that a set is compared with."""
    return f"{RESIDUAL} of {heads}"


def given_vectors(heads: HeadSet, values: Values, model: HeadModel) -> Given:
    """Vectors of one's own: [heads in the set, d] in the set's order, or a mapping from head to [d].

    Raises:
        RequestError: not one for each head, of another size, not finite, or without length.
    """
    by_head = add(str(heads), values).values_on(model)
    return Given(heads, tuple(by_head[head].double().cpu().numpy() for head in heads))
