"""One concept under steering: what its sets of heads do at every dose, and what random vectors and other heads do.

1. Every set at every dose, on the prompts to be steered; for ``add`` beside the residual stream pushed as far. Where
   they are the control prompts and edited everywhere, damage is read in the same passes; else control text is run once
   more, edited at every token.
2. Random vectors, then random other heads, at the same doses, ``_AT_ONCE`` draws at a time, until enough of them reach
   the set's slope (``stats.nulls``) or all have run. They run on the first prompt of each template, where the set's
   slope is taken anew for this comparison: half the work or less, and the template is the unit anyway. What they cost
   is read of the first draws only. Where random vectors reach the set, other heads are not asked: the verdict stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.measure.steering import SteerStates
from headscope.random_streams import generator
from headscope.stages import Stage
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.dosing import NEUTRAL_DOSES, NullDraws, NullSlopes, mean_slope
from headscope.stats.nulls import ENOUGH_REACHING, draw_disjoint_sets, n_to_try
from headscope.study import Study
from headscope.terms import ALPHA, ANSWERS, PERPLEXITY_RATIO, RANDOM_HEADS, RANDOM_VECTOR, RESIDUAL
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
        """Find the prompts.

        Raises:
            RequestError: only what follows a prompt is to be steered, and nothing does; or a task's control prompts are
                to be, and are nobody's partners, so there are no answers to read them with.
        """
        if dosage.scope == "generated" and not study.profile.readouts:
            raise RequestError(
                f'profile "{study.profile.name}" has no readouts, so in fixed text the outcome is read at the end of '
                "the prompt, before any token that would be steered",
                expected="readouts in profile.yaml, or the scope all or from_span", got="--scope generated",
            )  # fmt: skip
        self.study, self.vectors, self.dosage = study, vectors, dosage
        self.concept = vectors.concept
        self.rows = vectors.control_rows if dosage.target == "control" else vectors.concept_rows
        if study.primary == ANSWERS and not any(study.layouts[i].answers for i in self.rows):
            raise RequestError(
                f"the control prompts of {self.concept} belong to none of its prompts, so there are no answers to read "
                "them with when they are steered",
                expected="corrupted prompts in the profile, or the task's own prompts as the target",
                got=f"--target {dosage.target}",
                fix="--target concept",
            )
        self.templates = study.labels_of(self.rows)
        self.control_templates = study.labels_of(vectors.control_rows)
        self.outcome = study.log_odds[self.concept].name
        self.ran: list[ForcedOutcomes] = []
        self._first = list({template: p for p, template in reversed(list(enumerate(self.templates)))}.values())[::-1]

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

    def stage(self, name: str, arms: Sequence[Arm], *, bound: bool = False) -> Stage:
        """The arms on the prompts that are steered; without states, to be counted."""
        read = "controls" if self.at_once else "none"
        return self._stage(name, arms, self.rows, self.dosage.scope, read, bound=bound)

    def damage_stage(self, arms: Sequence[Arm]) -> Stage:
        """The arms on control text, edited at every token."""
        return self._stage("steered control text", arms, self.vectors.control_rows, "all", "controls")

    def null_stage(self, arms: Sequence[Arm], *, damage: bool = False, bound: bool = False) -> Stage:
        """Arms of nulls on the first prompt of each template; ``damage``: with what they cost."""
        rows = [self.rows[p] for p in self._first]
        read = "controls" if damage and self.at_once else "none"
        return self._stage("steering nulls", arms, rows, self.dosage.scope, read, bound=bound)

    def _stage(
        self, name: str, arms: Sequence[Arm], rows: Sequence[int], scope: str,
        damage_on: Literal["controls", "none"], *, bound: bool = False,
    ) -> Stage:  # fmt: skip
        return Stage(
            name, self.study, tuple(self.study.layouts[i] for i in rows), tuple(arms), is_bound=bound,
            damage_on=damage_on, about={"concept": self.concept, "target": self.target, "scope": scope},
        )  # fmt: skip

    def served(self, stage: Stage) -> Stage:
        """The stage with what its arms put in the place of z."""
        vectors, texts = self.vectors.vectors(stage.arms), self.vectors.texts
        return replace(stage, states=SteerStates(self.study.model, vectors, texts, scope=stage.about["scope"]))

    def measure(self, name: str, arms: Sequence[Arm]) -> ForcedOutcomes:
        """Run the arms on the prompts that are steered."""
        return self._run(self.stage(name, arms))

    def measure_damage(self, arms: Sequence[Arm], steered: ForcedOutcomes) -> ForcedOutcomes:
        """What the arms do to control text: in ``steered`` already, or run now."""
        if self.at_once:
            return steered
        return self._run(self.damage_stage(arms))

    def _run(self, stage: Stage) -> ForcedOutcomes:
        """Run a stage, and keep what it took among ``ran``."""
        self.ran.append(self.served(stage).run())
        return self.ran[-1]

    # --- nulls -------------------------------------------------------------------------------------------------------

    def nulls(self, heads: HeadSet, deltas: FloatArray, n_random: int) -> dict[str, tuple[NullSlopes, NullDraws]]:
        """Random vectors in the same heads (of ``add``), and the same doses in random other heads.

        ``deltas``: [n_prompts, n_doses] of the set itself.
        """
        found: dict[str, tuple[NullSlopes, NullDraws]] = {}
        own, slope = self.own_vector(), self._slope(deltas[self._first])
        if own:
            names = [random_vector(i, own) for i in range(n_random)]
            one = self._tried(RANDOM_VECTOR, heads, slope, names, lambda name: self.arms(heads, name))
            found[RANDOM_VECTOR] = NullSlopes(one[0], n_random, stopped=one[1], own_slope=slope), one[2]
            if one[1] and ENOUGH_REACHING / len(one[0]) > ALPHA:
                return found
        sets = draw_disjoint_sets(
            self.study.model.heads_per_layer, heads, n_sets=n_random, seed=self.study.seed, name=self.concept
        )
        order = generator(self.study.seed, "order_of_random_sets", str(heads), self.concept).permutation(len(sets.sets))
        drawn = {str(sets.sets[int(i)]): sets.sets[int(i)] for i in order}
        one = self._tried(
            RANDOM_HEADS, heads, slope, list(drawn),
            lambda spec: self.arms(drawn[spec], own and self.vectors.in_place_of(heads, drawn[spec])),
        )  # fmt: skip
        slopes = NullSlopes(
            one[0], len(drawn), stopped=one[1], layer_matched=sets.layer_matched, note=sets.note, own_slope=slope
        )
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
            outcomes = quiet._run(quiet.null_stage(arms, damage=not start))
            deltas = outcomes.change(self.outcome).reshape(-1, n_doses, len(self._first))
            slopes += [self._slope(one.T) for one in deltas]
            effects += [_means(one, [self.templates[p] for p in self._first]) for one in deltas]
            if not start:
                ratios += self._ratios(quiet.measure_damage(arms, outcomes), n_doses)
            enough = n_to_try(slope, slopes)
            if progress is not None:
                progress(stage_name, len(names) if enough is not None else len(slopes), len(names))
            if enough is not None:
                slopes, stopped = slopes[:enough], True
                break
        self.study.n_halved += quiet.study.n_halved
        self.ran += quiet.ran
        tried = len(slopes)
        costs = np.full((tried, n_doses), np.nan)
        costs[: len(ratios)] = np.array(ratios[:tried]).reshape(-1, n_doses)
        draws = NullDraws(
            self.concept, str(heads), self.own_vector(), null, names[:tried], self.dosage.doses,
            np.array(effects[:tried]).reshape(tried, n_doses), costs,
        )  # fmt: skip
        return slopes, stopped, draws

    def _slope(self, deltas: FloatArray) -> float:
        """The mean slope of [n_templates, n_doses], the first prompt of each template."""
        neutral, templates = NEUTRAL_DOSES[self.dosage.edit], [self.templates[p] for p in self._first]
        return mean_slope(deltas, self.dosage.doses, templates, neutral=neutral)

    def _ratios(self, outcomes: ForcedOutcomes, n_doses: int) -> list[FloatArray]:
        """For each draw the perplexity ratio of control text at each dose."""
        logs = outcomes.change(PERPLEXITY_RATIO)
        templates = [self.templates[p] for p in self._first] if self.at_once else self.control_templates
        return [np.exp(_means(one, templates)) for one in logs.reshape(-1, n_doses, logs.shape[1])]


def _means(values: FloatArray, templates: Sequence[str]) -> FloatArray:
    """[n_doses] mean over templates of [n_doses, n_prompts]."""
    return equal_weight_mean(template_means(values.T, templates).means)
