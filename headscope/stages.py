"""Some arms over some prompts: the plan and the work in one, which a forecast counts and a verb runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from headscope.measure.edits import Arm, ArmValues
from headscope.measure.forced import ForcedOutcomes, ForcedPasses, Piece, check_distinct
from headscope.measure.layout import PromptLayout
from headscope.measure.protocols import Progress, Work
from headscope.terms import JOINT_TOP, REQUESTED

if TYPE_CHECKING:
    from headscope.study import Study

_KNOWN_AS = {
    REQUESTED: "ablation",
    JOINT_TOP: "top sets",
    "nulls": "random sets",
    "curves": "growing sets",
    "patch": "patching",
    "patched_texts": "texts",
}
"""What stages are called where people read of them, where that is not the name that their shards bear."""


@dataclass(frozen=True)
class Counted:
    """What one stage sends through the model.

    Attributes:
        stage: its name.
        forward_passes: passes, those back included.
        tokens: tokens of all passes, padding included.
        layer_tokens: the same, each counted once for every layer that runs on it.
        is_bound: at most this.
        logit_rows: places at which logits are read, in all passes.
        is_assumed: how much of it is run depends on what is measured; an assumption stands for that.
    """

    stage: str
    forward_passes: int
    tokens: int
    layer_tokens: int
    is_bound: bool = False
    logit_rows: int = 0
    is_assumed: bool = False


@dataclass(frozen=True)
class Stage:
    """Teacher-forced passes of some arms over some prompts: what a forecast counts and what a verb runs.

    Attributes:
        name: of the stage; in the names of its shards.
        study: whose prompts.
        layouts: the prompts.
        arms: the edits; without any only the unedited model runs.
        is_bound: the arms stand for others that are not known yet and cost no more.
        damage_on: where damage is read: on controls, on every prompt (all), or nowhere (none).
        states: what the arms put in the place of z; the study's control states by default.
        about: what else the results depend on.
    """

    name: str
    study: Study
    layouts: tuple[PromptLayout, ...]
    arms: tuple[Arm, ...]
    is_bound: bool = False
    damage_on: Literal["controls", "all", "none"] = "controls"
    states: ArmValues | None = None
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def named(self, name: str) -> Stage:
        """The same under another name."""
        return replace(self, name=name)

    @property
    def damaged(self) -> frozenset[str]:
        """Ids of the prompts at whose own tokens damage is read."""
        read = {"controls": self.study.controls, "all": self.layouts, "none": ()}[self.damage_on]
        return frozenset(layout.id for layout in read)

    def passes(self, states: ArmValues | None = None) -> ForcedPasses:
        """The passes over the prompts, ready for the arms that ``states`` serves."""
        study = self.study
        return ForcedPasses(
            study.model, self.layouts, study.outcomes,
            damage_on=self.damaged, states=states, batch_tokens=study.batch_tokens,
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
        return self.counted_of(passes, passes.plan(self.arms))

    def counted_of(self, passes: ForcedPasses, pieces: Sequence[Piece]) -> Counted:
        """What some pieces of its plan send through the model; unedited passes run once."""
        reads_own = any(outcome.read_at == "prompt" for outcome in self.study.outcomes)
        rows = logit_rows(self.layouts, pieces, self.damaged if reads_own else frozenset())
        return Counted(self.name, *passes.work_of(pieces), self.is_bound, rows)

    def run(self) -> ForcedOutcomes:
        """Run it.

        Raises:
            RequestError: an arm stands twice, or too few controls for an edit.
        """
        check_distinct(self.arms)
        study = self.study
        work = self.work(outcomes=study.outcome_ids())
        outcomes = self.passes(self.served()).measure(self.arms, self._named(study.progress), work)
        study.n_halved += outcomes.n_halved
        return outcomes

    def _named(self, progress: Progress | None) -> Progress | None:
        """``progress``, told of this stage by the name that forecasts have for it."""
        if progress is None:
            return None
        name = _KNOWN_AS.get(self.name, self.name)
        return lambda _stage, done, total: progress(name, done, total)


def logit_rows(layouts: Sequence[PromptLayout], pieces: Sequence[Piece], damaged: frozenset[str]) -> int:
    """Places at which passes over pieces read logits: after each readout, and at the own tokens of damaged prompts.

    ``damaged``: ids of prompts; rows of pieces are numbered as in ``ForcedPasses``, prompt by prompt.
    """
    at_rows = [
        len(members) + (layout.n_prompt if r == 0 and layout.id in damaged else 0)
        for layout in layouts
        for r, members in enumerate(layout.members)
    ]
    count, seen = 0, set[tuple[int, ...]]()
    for piece in pieces:
        count += sum(at_rows[row] for row in piece.rows) * (len(piece.arms) + (piece.rows not in seen))
        seen.add(piece.rows)
    return count
