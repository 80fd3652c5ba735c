"""One concept under steering: what its sets of heads do at every dose, and what random vectors and other heads do.

1. Every set at every dose, on the prompts to be steered; for ``add`` beside the residual stream pushed as far. Where
   they are the control prompts and edited everywhere, damage is read in the same passes; else control text is run once
   more, edited at every token.
2. Random vectors, then random other heads, at the same doses, ``_AT_ONCE`` draws at a time, until enough of them reach
   the set's slope (``stats.nulls``) or all have run. What they cost is read of the first of them only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headscope.heads import HeadSet
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.measure.steering import SteerStates
from headscope.random_streams import generator
from headscope.stages import Stage
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.dosing import NEUTRAL_DOSES, NullDraws, NullSlopes, mean_slope
from headscope.stats.nulls import draw_disjoint_sets, n_to_try
from headscope.study import Study
from headscope.terms import PERPLEXITY_RATIO, RANDOM_HEADS, RANDOM_VECTOR, RESIDUAL
from headscope.verbs.steer_vectors import ConceptVectors, random_vector, residual_of

FloatArray = npt.NDArray[np.float64]
_AT_ONCE = 20
"""Draws of a null that run beside each other before it is asked whether more are needed; of the first their damage."""


@dataclass(frozen=True)
class Dosage:
    """What is done to a set of heads.

    Attributes:
        edit: ``add`` or ``scale``.
        doses: of it.
        target: ``control`` or ``concept``: whose prompts are steered.
        scope: at which tokens.
    """

    edit: str
    doses: tuple[float, ...]
    target: str
    scope: str


class SteeredConcept:
    """One concept's prompts under steering."""

    def __init__(self, study: Study, vectors: ConceptVectors, dosage: Dosage) -> None:
        self.study, self.vectors, self.dosage = study, vectors, dosage
        self.concept = vectors.concept
        self.rows = vectors.control_rows if dosage.target == "control" else vectors.concept_rows
        self.templates = study.labels_of(self.rows)
        self.control_templates = study.labels_of(vectors.control_rows)
        self.outcome = study.log_odds[self.concept].name

    @property
    def target(self) -> str:
        """The class of prompts that is steered."""
        return self.study.profile.control if self.dosage.target == "control" else self.concept

    @property
    def at_once(self) -> bool:
        """Whether the passes that are steered say what it costs, too."""
        return self.dosage.target == "control" and self.dosage.scope == "all"

    def arms(self, heads: HeadSet, vector: str) -> list[Arm]:
        """A set of heads at every dose."""
        return [Arm(heads, self.dosage.edit, dose, vector) for dose in self.dosage.doses]

    def residual_arms(self, heads: HeadSet) -> list[Arm]:
        """The residual stream behind the set's layers, pushed as far, at every dose."""
        return [Arm(heads, RESIDUAL, dose, residual_of(heads)) for dose in self.dosage.doses]

    def own_vector(self) -> str:
        """The name of the vector that sets are steered along; empty where they are scaled."""
        return self.vectors.kind if self.dosage.edit == "add" else ""

    def stage(self, name: str, arms: Sequence[Arm], *, damage: bool = False, bound: bool = False) -> Stage:
        """The arms on the steered prompts, or on control text edited at every token; without states, to be counted."""
        rows = self.vectors.control_rows if damage else self.rows
        return Stage(
            name, self.study, tuple(self.study.layouts[i] for i in rows), tuple(arms), is_bound=bound,
            damage_on="controls" if damage or self.at_once else "none",
            about={"concept": self.concept, "target": self.target, "scope": "all" if damage else self.dosage.scope},
        )  # fmt: skip

    def states(self, arms: Sequence[Arm], *, damage: bool = False) -> SteerStates:
        """What the arms put in the place of z."""
        scope = "all" if damage else self.dosage.scope
        return SteerStates(self.study.model, self.vectors.vectors(arms), self.vectors.texts, scope=scope)

    def measure(self, name: str, arms: Sequence[Arm]) -> ForcedOutcomes:
        """Run the arms on the prompts that are steered."""
        return _served(self.stage(name, arms), self.states(arms)).run()

    def measure_damage(self, arms: Sequence[Arm], steered: ForcedOutcomes) -> ForcedOutcomes:
        """What the arms do to control text: in ``steered`` already, or run now."""
        if self.at_once:
            return steered
        return _served(self.stage("steered control text", arms, damage=True), self.states(arms, damage=True)).run()

    # --- nulls -------------------------------------------------------------------------------------------------------

    def nulls(self, heads: HeadSet, slope: float, n_random: int) -> dict[str, tuple[NullSlopes, NullDraws]]:
        """Random vectors in the same heads (of ``add``), and the same doses in random other heads."""
        found: dict[str, tuple[NullSlopes, NullDraws]] = {}
        own = self.own_vector()
        if own:
            names = [random_vector(i, own) for i in range(n_random)]
            one = self._tried(RANDOM_VECTOR, heads, slope, names, lambda name: self.arms(heads, name))
            found[RANDOM_VECTOR] = NullSlopes(one[0], n_random, stopped=one[1]), one[2]
        sets = draw_disjoint_sets(
            self.study.model.heads_per_layer, heads, n_sets=n_random, seed=self.study.seed, name=self.concept
        )
        order = generator(self.study.seed, "order_of_random_sets", str(heads), self.concept).permutation(len(sets.sets))
        drawn = {str(sets.sets[int(i)]): sets.sets[int(i)] for i in order}
        one = self._tried(
            RANDOM_HEADS, heads, slope, list(drawn),
            lambda spec: self.arms(drawn[spec], own and self.vectors.in_place_of(heads, drawn[spec])),
        )  # fmt: skip
        slopes = NullSlopes(one[0], len(drawn), stopped=one[1], layer_matched=sets.layer_matched, note=sets.note)
        found[RANDOM_HEADS] = slopes, one[2]
        return found

    def _tried(
        self, null: str, heads: HeadSet, slope: float, names: Sequence[str], arms_of: Callable[[str], list[Arm]]
    ) -> tuple[list[float], bool, NullDraws]:
        """Slopes of the draws up to the one at which enough reach ``slope``, whether they did, and what each did."""
        slopes, effects, ratios = list[float](), list[FloatArray](), list[FloatArray]()
        n_doses, stopped = len(self.dosage.doses), False
        progress, stage_name = self.study.progress, null.replace("_", " ")
        quiet = SteeredConcept(self.study.silent(), self.vectors, self.dosage)
        for start in range(0, len(names), _AT_ONCE):
            arms = [arm for name in names[start : start + _AT_ONCE] for arm in arms_of(name)]
            outcomes = quiet.measure("steering nulls", arms)
            deltas = outcomes.change(self.outcome).reshape(-1, n_doses, len(self.rows))
            neutral = NEUTRAL_DOSES[self.dosage.edit]
            slopes += [mean_slope(one.T, self.dosage.doses, self.templates, neutral=neutral) for one in deltas]
            effects += [_means(one, self.templates) for one in deltas]
            ratios += self._ratios(quiet.measure_damage(arms, outcomes), n_doses) if not start else []
            enough = n_to_try(slope, slopes)
            if progress is not None:
                progress(stage_name, len(names) if enough is not None else len(slopes), len(names))
            if enough is not None:
                slopes, stopped = slopes[:enough], True
                break
        self.study.n_halved += quiet.study.n_halved
        tried = len(slopes)
        costs = np.full((tried, n_doses), np.nan)
        costs[: len(ratios)] = np.array(ratios[:tried]).reshape(-1, n_doses)
        draws = NullDraws(
            self.concept, str(heads), self.own_vector(), null, names[:tried], self.dosage.doses,
            np.array(effects[:tried]).reshape(tried, n_doses), costs,
        )  # fmt: skip
        return slopes, stopped, draws

    def _ratios(self, outcomes: ForcedOutcomes, n_doses: int) -> list[FloatArray]:
        """For each draw the perplexity ratio of control text at each dose."""
        logs = outcomes.change(PERPLEXITY_RATIO).reshape(-1, n_doses, outcomes.change(PERPLEXITY_RATIO).shape[1])
        return [np.exp(_means(one, self.control_templates)) for one in logs]


def _served(stage: Stage, states: SteerStates) -> Stage:
    return replace(stage, states=states)


def _means(values: FloatArray, templates: Sequence[str]) -> FloatArray:
    """[n_doses] mean over templates of [n_doses, n_prompts]."""
    return equal_weight_mean(template_means(values.T, templates).means)
