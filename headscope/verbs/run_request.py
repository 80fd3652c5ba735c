"""What a whole run is to do, and what of that its results depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headscope.settings import Writing
from headscope.stats import Criteria
from headscope.study import Study
from headscope.verbs.attribute import DEFAULT_STEPS


@dataclass(frozen=True)
class RunRequest:
    """What a whole run is to do.

    Attributes:
        query: which tokens look, see ``screen``; by default ``readout``, the place where the causal outcome is read, so
            that both kinds of evidence are about the same place; ``last`` where the profile has no readouts.
        budget: ``exact``: sweep every head; ``fast``: only the ``top_n`` heads of each concept by the fast scores and
            as many random others. Then no row is confirmatory, and how many heads were missed is bounded from the
            random ones (``stats/fast_scores.py``). ``auto``: ``fast`` where a sweep of all heads would take hours, see
            ``verbs/budget.py``; the record has what was chosen.
        edits: kinds of edit; ``mean`` must be among them.
        top_k: heads switched off together.
        top_n: heads in the ranking of each concept.
        n_random: random sets beside each joint set.
        sets: also measure cumulative curves, leave-one-in and the smallest set, see ``curves``; not with a fast budget.
        patching: also patch every swept head, both directions, where prompts match their controls token by token.
        negative_control: also sweep and judge with random words in place of the lexicons.
        criteria: what decides a verdict: from what size on an effect, and attention, matters.
        share: of the concept that the smallest set is to remove.
        allow_low_coverage: see ``screen``.
        languages: of the report.
        writing: how texts are written and scored.
    """

    query: str | None = None
    budget: str = "auto"
    edits: Sequence[str] = ("mean", "zero")
    top_k: int = 4
    top_n: int = 10
    n_random: int = 100
    sets: bool = True
    patching: bool = True
    negative_control: bool = False
    criteria: Criteria = field(default_factory=Criteria)
    share: float = 0.5
    allow_low_coverage: bool = False
    languages: Sequence[str] = ("en", "ja")
    writing: Writing = field(default_factory=Writing)

    def options(self, study: Study) -> dict[str, Any]:
        """Everything that the bytes of the run depend on beside the study, as it stands in the manifest."""
        writing = self.writing
        return {
            "concepts": list(study.names), "query": self.query, "budget": self.budget, "edits": list(self.edits),
            "top_k": self.top_k, "top_n": self.top_n, "steps": DEFAULT_STEPS, "n_random": self.n_random,
            "sets": self.sets, "share": self.share, "patching": self.patching,
            "allow_low_coverage": self.allow_low_coverage, "chat_template": study.settings.chat_template,
            "languages": list(self.languages), "criteria": vars(self.criteria),
            "max_tokens": writing.max_tokens, "temperature": writing.temperature, "top_p": writing.top_p,
            "samples": writing.samples, "greedy": writing.greedy, "sentiment": writing.sentiment,
            "stop_tokens": list(writing.stop_tokens),
            **({"negative_control": True} if self.negative_control else {}),
        }  # fmt: skip
