"""What a whole run is to do, and what of that its results depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headscope.settings import RunSettings, Writing, request_options
from headscope.settings.groups import ALWAYS_WRITTEN
from headscope.stats import Criteria
from headscope.study import Study
from headscope.verbs.attribute import DEFAULT_STEPS, MORE_STEPS

CURVE_SETS, MORE_CURVE_SETS = 5, 20


@dataclass(frozen=True, kw_only=True)
class RunRequest(RunSettings):
    """What a whole run is to do.

    Attributes:
        criteria: what decides a verdict: from what size on an effect, and attention, matters.
        writing: how texts are written and scored.
    """

    criteria: Criteria = field(default_factory=Criteria)
    writing: Writing = field(default_factory=Writing)

    @property
    def steps(self) -> int:
        """Of the integrated gradient."""
        return MORE_STEPS if self.complete else DEFAULT_STEPS

    @property
    def curve_sets(self) -> int:
        """Random sets for each size of a curve."""
        return MORE_CURVE_SETS if self.complete else CURVE_SETS

    def options(self, study: Study) -> dict[str, Any]:
        """Everything that the bytes of the run depend on beside the study, as it stands in the manifest."""
        asked = request_options(study.settings) | request_options(self) | request_options(self.writing, ALWAYS_WRITTEN)
        settled = {"concepts": list(study.names), "steps": self.steps, "criteria": vars(self.criteria)}
        return asked | settled
