"""The public verbs: one call each on a model and a profile, and ``Study`` for several on the same question.

``sweep(model, profile, ...)`` makes a ``Study`` of its options and calls the verb on it. What options are, and what
``help()`` says of them, is declared in ``settings``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from headscope import pipeline
from headscope.engines.engine import Part, Runner, in_process
from headscope.heads import HeadSet
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.runs.folder import Run
from headscope.settings import (
    AblatedWriting,
    AblateOptions,
    Ablating,
    Attributing,
    Keeping,
    Patching,
    PatchingOptions,
    PatchOptions,
    RunOptions,
    RunSettings,
    Screening,
    Sets,
    Steering,
    SteeringOptions,
    SteerOptions,
    StudyOptions,
    StudySettings,
    Sweeping,
    Texts,
    Writing,
    documented,
    grouped,
)
from headscope.settings.measuring import RandomSets
from headscope.stats import Criteria
from headscope.study import Study as _Study
from headscope.terms import PRIMARY
from headscope.verbs import ablate as _ablate
from headscope.verbs import attribute as _attribute
from headscope.verbs import curves as _curves
from headscope.verbs import fitness as _fitness
from headscope.verbs import making_edits as _making_edits
from headscope.verbs import patch as _patch
from headscope.verbs import probe as _probe
from headscope.verbs import regions as _regions
from headscope.verbs import screen as _screen
from headscope.verbs import steer as _steer
from headscope.verbs import steer_request as _steer_request
from headscope.verbs import steer_vectors as _steer_vectors
from headscope.verbs import sweep as _sweep
from headscope.verbs.continuations import sampling_of
from headscope.verbs.run_request import RunRequest


class Study(_Study):
    """A model and a profile, laid out once, with every verb on them."""

    screen = _screen.screen
    sweep = _sweep.sweep
    attribute = _attribute.attribute
    curves = _curves.curves
    probe = _probe.probe
    attention_by_region = _regions.attention_by_region
    edit = _making_edits.edit

    @documented(Ablating, Texts, Writing)
    def ablate(
        self,
        heads: str | HeadSet,
        *,
        concept: Sequence[str] | str | None = None,
        prompts: Collection[str] | None = None,
        role: str = "requested",
        edits: Sequence[str] | str = ("mean", "zero"),
        value_bias: str = "zero",
        generate: bool = True,
        **options: Unpack[AblatedWriting],
    ) -> _ablate.AblationResult:
        """Effect of editing one set of heads; see ``verbs.ablate.ablate``."""
        (writing,) = grouped("ablate", options, AblatedWriting.__optional_keys__, Writing)
        asked = self.only(concept, prompts)
        sampling_of(asked, writing)  # what cannot be is refused whether or not it is used
        return _ablate.ablate(
            asked, heads, edits=edits, value_bias=value_bias, writing=writing if generate else None, role=role
        )

    @documented(Patching, Texts, Writing)
    def patch(
        self, heads: str | HeadSet = "*", *, generate: bool = True, **options: Unpack[PatchingOptions]
    ) -> _patch.PatchResult:
        """Effect of patching heads between concept prompts and their controls; see ``verbs.patch.patch``."""
        allowed = PatchingOptions.__optional_keys__
        request, writing = grouped("patch", options, allowed, _patch.PatchRequest, Writing)
        sampling_of(self, writing)
        return _patch.patch(self, heads, request, writing=writing if generate else None)

    @documented(Steering, Texts, Writing)
    def steer(
        self,
        heads: _steer_request.HeadsOf,
        *,
        generate: bool = True,
        given: _steer_vectors.Given | None = None,
        criteria: Criteria | None = None,
        **options: Unpack[SteeringOptions],
    ) -> _steer.SteerResult:
        """Effect and cost of turning heads up, by dose; see ``verbs.steer.steer``."""
        allowed = SteeringOptions.__optional_keys__
        request, writing = grouped("steer", options, allowed, _steer_request.SteerRequest, Writing)
        sampling_of(self, writing)
        return _steer.steer(self, heads, request, given=given, writing=writing if generate else None, criteria=criteria)


@documented(Screening, StudySettings)
def screen(
    model: HeadModel,
    profile: Profile,
    *,
    protocol: str = "matched",
    query: str = "last",
    allow_low_coverage: bool = False,
    **study: Unpack[StudyOptions],
) -> _screen.ScreenResult:
    """Difference in attention to the concept, for every head and concept; see ``verbs.screen.screen``."""
    asked = Study(model, profile, **study)
    return _screen.screen(asked, protocol=protocol, query=query, allow_low_coverage=allow_low_coverage)


@documented(Sweeping, StudySettings)
def sweep(
    model: HeadModel,
    profile: Profile,
    *,
    heads: str = "*",
    edits: Sequence[str] = ("mean", "zero"),
    **study: Unpack[StudyOptions],
) -> _sweep.SweepResult:
    """Effect of switching off each head alone; see ``verbs.sweep.sweep``."""
    return _sweep.sweep(Study(model, profile, **study), heads=heads, edits=edits)


@documented(Ablating, Texts, Writing, StudySettings)
def ablate(
    model: HeadModel,
    profile: Profile,
    heads: str | HeadSet,
    *,
    concept: Sequence[str] | str | None = None,
    prompts: Collection[str] | None = None,
    role: str = "requested",
    edits: Sequence[str] | str = ("mean", "zero"),
    value_bias: str = "zero",
    generate: bool = True,
    **options: Unpack[AblateOptions],
) -> _ablate.AblationResult:
    """Effect of editing one set of heads; see ``verbs.ablate.ablate``."""
    study, writing = _parted(options)
    return Study(model, profile, **study).ablate(
        heads, concept=concept, prompts=prompts, role=role, edits=edits, value_bias=value_bias, generate=generate,
        **writing,
    )  # fmt: skip


@documented(Patching, Texts, Writing, StudySettings)
def patch(
    model: HeadModel,
    profile: Profile,
    heads: str | HeadSet = "*",
    *,
    generate: bool = True,
    **options: Unpack[PatchOptions],
) -> _patch.PatchResult:
    """Effect of patching heads between concept prompts and their controls; see ``verbs.patch.patch``."""
    study, rest = _parted(options)
    return Study(model, profile, **study).patch(heads, generate=generate, **rest)


@documented(Steering, Texts, Writing, StudySettings)
def steer(
    model: HeadModel,
    profile: Profile,
    heads: _steer_request.HeadsOf,
    *,
    generate: bool = True,
    given: _steer_vectors.Given | None = None,
    criteria: Criteria | None = None,
    **options: Unpack[SteerOptions],
) -> _steer.SteerResult:
    """Effect and cost of turning heads up, by dose; see ``verbs.steer.steer``."""
    study, rest = _parted(options)
    return Study(model, profile, **study).steer(heads, generate=generate, given=given, criteria=criteria, **rest)


@documented(Attributing, StudySettings)
def attribute(
    model: HeadModel,
    profile: Profile,
    *,
    outcome: str = PRIMARY,
    steps: int = _attribute.DEFAULT_STEPS,
    verify: int = 5,
    **study: Unpack[StudyOptions],
) -> _attribute.AttributeResult:
    """Score every head for every concept without editing each alone; see ``verbs.attribute.attribute``."""
    _attribute.check_request(model, outcome, steps, verify)
    return _attribute.attribute(Study(model, profile, **study), outcome=outcome, steps=steps, verify=verify)


@documented(Sets, RandomSets, StudySettings)
def curves(
    model: HeadModel,
    profile: Profile,
    sweep: _sweep.SweepResult,
    *,
    top_k: int = 4,
    share: float = 0.5,
    n_random: int = 20,
    **study: Unpack[StudyOptions],
) -> _curves.CurvesResult:
    """Cumulative curves, leave-one-in, and the smallest set; see ``verbs.curves.curves``."""
    return _curves.curves(Study(model, profile, **study), sweep, top_k=top_k, share=share, n_random=n_random)


@documented(StudySettings)
def attention_by_region(model: HeadModel, profile: Profile, **study: Unpack[StudyOptions]) -> _regions.RegionsResult:
    """Shares of attention at the readouts by region of the text; see ``verbs.regions.attention_by_region``."""
    return _regions.attention_by_region(Study(model, profile, **study))


@documented(StudySettings)
def probe(model: HeadModel, profile: Profile, **study: Unpack[StudyOptions]) -> _probe.ProbeResult:
    """Whether each head's output tells the concept on templates left out; see ``verbs.probe.probe``."""
    return _probe.probe(Study(model, profile, **study))


@documented(StudySettings)
def check_profile(model: HeadModel, profile: Profile, **study: Unpack[StudyOptions]) -> list[_fitness.FitRow]:
    """What would weaken a result of this profile with this model, a row a check; see ``verbs.fitness.fitness``."""
    return _fitness.fitness(Study(model, profile, **study))


@documented(RunSettings, Writing, StudySettings, Keeping)
def run(
    model: HeadModel,
    profile: Profile,
    out: str | Path | None = None,
    *,
    runner: Runner = in_process,
    part: Part | None = None,
    criteria: Criteria | None = None,
    **options: Unpack[RunOptions],
) -> Run:
    """Screen, sweep, joint sets with text, ranking, verdicts, plots and report, kept in one run folder.

    Args:
        model: the model.
        profile: what is asked.
        out: the run folder; ``runs/<model>-<profile>-<digest>`` by default.
        runner: who runs the pieces of sweep, sets and texts; this process by default.
        part: run only these pieces of the sweep and keep them, for ``gather``.
        criteria: what decides a verdict.

    Raises:
        PartDone: the part is done.
        RunFinished: this request was served before; the folder stays as it is.
        RequestError, ProfileError: before anything is written.
    """
    groups = (StudySettings, RunSettings, Writing, Keeping)
    settings, asked, writing, keeping = grouped("run", options, RunOptions.__optional_keys__, *groups)
    request = RunRequest(**vars(asked), criteria=criteria or Criteria(), writing=writing)
    study = Study(model, profile, **vars(settings))
    return pipeline.run(study, request, replace(keeping, out=out), runner=runner, part=part)


def _parted(options: Mapping[str, Any]) -> tuple[Any, Any]:
    """The options of the study, and the others."""
    mine = {name: value for name, value in options.items() if name in StudyOptions.__optional_keys__}
    return mine, {name: value for name, value in options.items() if name not in mine}
