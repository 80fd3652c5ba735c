"""Some arms over some prompts: the plan and the work in one, which a forecast counts and a verb runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headscope.measure.edits import Arm, ArmValues
from headscope.measure.forced import ForcedOutcomes, ForcedPasses, check_distinct
from headscope.measure.layout import PromptLayout
from headscope.measure.protocols import Work

if TYPE_CHECKING:
    from headscope.study import Study


@dataclass(frozen=True)
class Counted:
    """What one stage sends through the model.

    Attributes:
        stage: its name.
        forward_passes: passes, those back included.
        tokens: tokens of all passes, padding included.
        layer_tokens: the same, each counted once for every layer that runs on it.
        is_bound: at most this.
    """

    stage: str
    forward_passes: int
    tokens: int
    layer_tokens: int
    is_bound: bool = False


@dataclass(frozen=True)
class Stage:
    """Teacher-forced passes of some arms over some prompts: what a forecast counts and what a verb runs.

    Attributes:
        name: of the stage; in the names of its shards.
        study: whose prompts.
        layouts: the prompts.
        arms: the edits; without any only the unedited model runs.
        is_bound: the arms stand for others that are not known yet and cost no more.
        damages_all: damage is read on every prompt, not on controls alone.
        states: what the arms put in the place of z; the study's control states by default.
        about: what else the results depend on.
    """

    name: str
    study: Study
    layouts: tuple[PromptLayout, ...]
    arms: tuple[Arm, ...]
    is_bound: bool = False
    damages_all: bool = False
    states: ArmValues | None = None
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def named(self, name: str) -> Stage:
        """The same under another name."""
        return replace(self, name=name)

    def passes(self, states: ArmValues | None = None) -> ForcedPasses:
        """The passes over the prompts, ready for the arms that ``states`` serves."""
        study = self.study
        damaged = frozenset(layout.id for layout in (self.layouts if self.damages_all else study.controls))
        return ForcedPasses(
            study.model, self.layouts, study.outcomes,
            damage_on=damaged, states=states, batch_tokens=study.batch_tokens,
        )  # fmt: skip

    def served(self) -> ArmValues | None:
        """What the arms put in the place of z; None where they need no other prompt.

        Raises:
            RequestError: too few controls for an edit.
        """
        return self.states or self.study.states({arm.kind for arm in self.arms})

    def work(self, **about: Any) -> Work:
        """Who runs it; ``about`` as in ``Study.work``."""
        return self.study.work(self.name, self.arms, self.layouts, **self.about, **about)

    def counted(self) -> Counted:
        """What it sends through the model."""
        passes = self.passes()
        return Counted(self.name, *passes.work_of(passes.plan(self.arms)), self.is_bound)

    def run(self) -> ForcedOutcomes:
        """Run it.

        Raises:
            RequestError: an arm stands twice, or too few controls for an edit.
        """
        check_distinct(self.arms)
        study = self.study
        work = self.work(outcomes=study.outcome_ids())
        outcomes = self.passes(self.served()).measure(self.arms, study.progress, work)
        study.n_halved += outcomes.n_halved
        return outcomes
