"""The stages of a whole run, counted: what each sends through the model before anything is measured.

How many heads and sets a run takes up is partly decided by what it measures; an assumption stands for that here: of
one head in eight the effect is not shown to be too small to matter (in a fast run of more, but its top heads are more
often those of several concepts); half of the random sets is tried; of each concept two heads are patched, in a fast run
one, beside as many random ones. Such counts are marked; with ``complete`` nothing is assumed of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from headscope.heads import Head, HeadSet, every_head
from headscope.stages import Counted, Stage
from headscope.study import Study
from headscope.verbs.ablate import ablation_stages
from headscope.verbs.attribute import fast_score_work
from headscope.verbs.curves import curve_stage
from headscope.verbs.deciding import completing_stages, deciding_stages
from headscope.verbs.effect_rows import LOWEST_SET
from headscope.verbs.forecast_patch import patch_stages
from headscope.verbs.joint import random_set_stage
from headscope.verbs.patch_pairs import patchable_concepts
from headscope.verbs.probe import why_no_probes
from headscope.verbs.run_request import RunRequest
from headscope.verbs.sweep import sweep_stages

_LEFT_OPEN_SHARE = 1 / 8  # of the heads
_TRIED_SHARE = 1 / 2  # of the random sets
_PATCHED_A_CONCEPT, _PATCHED_A_CONCEPT_FAST = 4, 2  # heads, half of them random


@dataclass(frozen=True)
class RunPlan:
    """The work of one run under one budget.

    Attributes:
        study: what is asked of which model.
        request: what is to be done.
        fast: only the top of the fast scores is edited, and as many random heads.
        with_scores: gradients pass through the model.
    """

    study: Study
    request: RunRequest
    fast: bool
    with_scores: bool = True

    @cached_property
    def counted(self) -> Mapping[str, Counted]:
        """Stage -> what it sends through the model; stages that are left out are not there."""
        request, study = self.request, self.study
        unedited = study.stage("assay", []).counted()
        parts: dict[str, Sequence[Counted]] = {
            "assay": [unedited],
            "screen": [unedited, unedited],  # as many tokens, about, for the screen and once more by region
            "probes": [] if why_no_probes(study) else [unedited],
            "scores": [fast_score_work(study, request.steps)] if self.with_scores else [],
            "sweep": self._sweep(),
            "verdicts": self._completing(),
            "texts": [stage for name in study.names for stage in self._top_sets(name)],
            "nulls": [self._random_sets(name) for name in study.names],
            "patching": self._patching(),
            "curves": [self._curves(name) for name in study.names] if request.sets and not self.fast else [],
            "negative_control": [*self._sweep(), *self._completing()] if request.negative_control else [],
        }
        return {name: _sum(name, stages) for name, stages in parts.items() if stages}

    @cached_property
    def heads(self) -> HeadSet:
        """The heads that are swept; in a fast run others stand for them, spread over the layers."""
        every = every_head(self.study.model.heads_per_layer)
        if not self.fast:
            return HeadSet(every)
        n_top = min(len(every), self.request.top_n * len(self.study.names))
        return _spread(every, 2 * n_top)

    @cached_property
    def not_patched(self) -> list[str]:
        """The concepts of which no prompt can be patched; empty where nothing is to be."""
        if not self.request.patching:
            return []
        can = patchable_concepts(self.study)
        return [name for name in self.study.names if name not in can]

    @property
    def text_tokens(self) -> int:
        """Tokens written at most, one by one."""
        writing = self.request.writing
        n_texts = len(self.study.prompts) * (len(self.request.edits) + 1)
        return writing.max_tokens * writing.samples * n_texts

    def _sweep(self) -> list[Counted]:
        study, edits = self.study, self.request.edits
        states = study.control_pass(edits)
        if self.request.complete:
            return [*states, *(stage.counted() for stage in sweep_stages(study, self.heads, edits, bound=self.fast))]
        unedited, swept = deciding_stages(study, self.heads, bound=self.fast)
        return [*states, unedited.counted(), swept.counted()]

    def _completing(self) -> list[Counted]:
        if self.request.complete:
            return [Counted("verdicts", 0, 0, 0)]  # the sweep measured all they read
        n_open = round(_LEFT_OPEN_SHARE * len(self.heads)) or 1
        stages = completing_stages(self.study, _spread(self.heads.heads, n_open), self.request.edits, bound=True)
        return [stage.counted() for stage in stages if stage is not None]

    def _top_sets(self, name: str) -> list[Counted]:
        """A set from each half of the templates, on the other half and on all controls; they are not known yet."""
        view = self.study.only(name)
        [top] = ablation_stages(view, LOWEST_SET, self.request.edits, bound=True)
        controls = [i for i, layout in enumerate(view.layouts) if layout.concept == view.profile.control]
        return [top.counted(), view.stage("controls", top.arms, controls, bound=True).counted()]

    def _random_sets(self, name: str) -> Counted:
        """Both sets of a concept, each on half of its prompts: together all of them once."""
        view, request = self.study.only(name), self.request
        n_tried = request.n_random if request.complete else max(1, round(_TRIED_SHARE * request.n_random))
        return random_set_stage(view, [LOWEST_SET] * n_tried, bound=True).counted()

    def _patching(self) -> list[Counted]:
        study, request = self.study, self.request
        can = [name for name in study.names if name not in self.not_patched] if request.patching else []
        if not can:
            return []
        each = _PATCHED_A_CONCEPT_FAST if self.fast else _PATCHED_A_CONCEPT
        heads = self.heads if request.complete else _spread(self.heads.heads, each * len(can))
        alone = [HeadSet((head,)) for head in heads]
        return patch_stages(study.only(can), alone, alignment="exact", bound=not request.complete)

    def _curves(self, name: str) -> Counted:
        request = self.request
        stage = curve_stage(
            self.study.only(name), top_k=request.top_k, n_random=request.curve_sets, within_top=not request.complete
        )
        return stage.counted()


def _spread(heads: Sequence[Head], n: int) -> HeadSet:
    """``n`` of the heads, evenly over their order; all where there are fewer."""
    if n >= len(heads):
        return HeadSet.of(heads)
    return HeadSet.of(heads[(2 * i + 1) * len(heads) // (2 * n)] for i in range(n))


def _sum(name: str, stages: Sequence[Counted]) -> Counted:
    """Several as one."""
    counts = ("forward_passes", "tokens", "layer_tokens", "logit_rows")
    n_passes, n_tokens, n_layer_tokens, n_logit_rows = (sum(getattr(one, field) for one in stages) for field in counts)
    is_assumed = any(one.is_bound for one in stages)
    return Counted(name, n_passes, n_tokens, n_layer_tokens, logit_rows=n_logit_rows, is_assumed=is_assumed)


def sweep_to_time(study: Study, plan: RunPlan) -> Stage:
    """The sweep of a plan: a forecast times its pieces."""
    if plan.request.complete:
        return sweep_stages(study, plan.heads, plan.request.edits)[0]
    return deciding_stages(study, plan.heads)[1]
