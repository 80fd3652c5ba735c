"""A model and a profile, laid out once: what every verb of one question shares.

1. Templates are labelled, prompts laid out with the profile's readouts, lexicons turned into tokens, and what heads put
   out on control prompts is measured: each once, where it is first needed, and kept.
2. A view (``only``, ``reading``) is the same study on fewer concepts or prompts, or with other lexicons; it shares all
   of that.
3. Work is planned in stages (``stages``): a forecast counts them, a verb runs them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from headscope.engines.engine import Engine
from headscope.errors import ProfileError, RequestError
from headscope.measure.edit_kinds import needs_controls, own_edits
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.forced import ForcedOutcomes
from headscope.measure.layout import PromptLayout, lay_out, special_token_warnings
from headscope.measure.lexicons import ConceptTokens, concept_tokens
from headscope.measure.outcomes import (
    KL,
    PERPLEXITY,
    Outcome,
    answer_outcomes,
    chosen_outcomes,
    fixed_text_outcomes,
    lexicon_outcomes,
)
from headscope.measure.protocols import Progress, Work
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile, Prompt
from headscope.settings import StudyOptions, StudySettings, grouped
from headscope.stages import Counted, Stage
from headscope.study_parts import Shared
from headscope.terms import ANSWERS, PRIMARY
from headscope.tokens import Encoder

FloatArray = npt.NDArray[np.float64]


class Study:
    """A model and a profile, ready for every verb.

    Attributes:
        model: the model.
        profile: what is asked.
        names: the concepts asked for, in the profile's order.
        settings: the options that all verbs share.
        batch_tokens: most tokens of a batch.
        n_halved: batches that did not fit into memory and ran in halves, so far and through this view.
    """

    def __init__(self, model: HeadModel, profile: Profile, **options: Unpack[StudyOptions]) -> None:
        """Settle what is asked; nothing runs yet.

        Args:
            model: the model.
            profile: what is asked.
            options: see ``settings.StudySettings``.

        Raises:
            RequestError: an unknown concept or outcome, or no token fits into a batch.
        """
        (settings,) = grouped("Study", options, StudyOptions.__optional_keys__, StudySettings)
        if profile.has_messages and settings.chat_template is False:
            # Conversations need it, and plain prompts stand beside them.
            settings = replace(settings, chat_template=True)
        self.names = profile.chosen(settings.concepts)
        self._shared = Shared(model, profile, settings)
        _ = self._shared.encoder.chat  # a template that is not there, or not as asked, is refused at once
        self._shared.outcomes = chosen_outcomes(settings.outcomes)
        self._start(profile, None)

    def _start(self, profile: Profile, parent: Study | None) -> None:
        self.profile, self._parent, self._kept = profile, parent, None if parent is None else parent._kept
        self.model, self.settings = self._shared.model, self._shared.settings
        self.batch_tokens, self.engine = self._shared.batch_tokens, self._shared.engine
        self.n_halved, self._counted = 0, 0

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.settings.seed

    @property
    def pack(self) -> bool:
        """Whether sequences that begin alike may share a row."""
        return self.settings.pack

    @property
    def progress(self) -> Progress | None:
        """Told how far the work is."""
        return self.settings.progress

    @property
    def encoder(self) -> Encoder:
        """How texts become tokens."""
        return self._shared.encoder

    def only(self, concepts: Sequence[str] | str | None = None, prompts: Collection[str] | None = None) -> Study:
        """The same study on some of its concepts, or of their prompts (ids); control prompts always stay.

        Raises:
            RequestError: the study has no such concept.
        """
        view = self._view(self.profile)
        asked = self.profile.chosen(concepts)
        if missing := [name for name in asked if name not in self.names] if concepts is not None else []:
            raise RequestError(
                f"the study does not ask for {', '.join(missing)}", expected=", ".join(self.names), got=missing[0]
            )
        view.names = tuple(name for name in self.names if name in asked)
        view._kept = self._kept if prompts is None else frozenset(prompts) & (self._kept or frozenset(prompts))
        return view

    def reading(self, profile: Profile) -> Study:
        """The same prompts, read with the lexicons of ``profile``."""
        return self._view(profile)

    def _view(self, profile: Profile) -> Study:
        view = object.__new__(type(self))
        view.names, view._shared = self.names, self._shared
        view._start(profile, self if profile is self.profile else None)
        view._kept, view.engine, view.settings = self._kept, self.engine, self.settings
        return view

    # --- what is asked -----------------------------------------------------------------------------------------------

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts of the concepts, without the controls."""
        mine = [prompt for name in self.names for prompt in self.profile.prompts_of(name)]
        return [prompt for prompt in mine if self._kept is None or prompt.id in self._kept]

    @cached_property
    def layouts(self) -> list[PromptLayout]:
        """The prompts of the concepts, then those of the control class, as they are put to the model.

        Raises:
            ProfileError: there are no controls, or a prompt that this model cannot be asked with.
        """
        if not self.profile.controls:
            raise ProfileError(
                f'profile "{self.profile.name}" has no control prompts',
                expected="prompts without the concept to compare with",
            )
        return self._shared.laid_out([*self.prompts, *self.profile.controls])

    def laid_out(self, prompt: Prompt, template: str | None = None) -> PromptLayout:
        """A prompt as it is put to the model; ``template``: the label of one that the profile does not have.

        One that it does not have is laid out anew each time: another may have its id.

        Raises:
            ProfileError: a prompt that this model cannot be asked with.
        """
        if template is None:
            return self._shared.laid_out([prompt])[0]
        return lay_out(
            self.model, [prompt], self.profile.readouts, {prompt.id: template}, encoder=self.encoder, pack=self.pack
        )[0]

    def answering(self, layout: PromptLayout, other: PromptLayout) -> PromptLayout:
        """A prompt laid out with the answers and foils of another in place of its own."""
        if layout.answers == other.answers:
            return layout
        prompts = {prompt.id: prompt for prompt in self.profile.prompts}
        asked = prompts[other.id]
        prompt = replace(prompts[layout.id], id=f"{layout.id} as {other.id}", answers=asked.answers, foils=asked.foils)
        return self._shared.laid_out([prompt], {prompt.id: layout.template})[0]

    @property
    def controls(self) -> list[PromptLayout]:
        """The prompts of the control class, as they are put to the model."""
        return [layout for layout in self.layouts if layout.concept == self.profile.control]

    @cached_property
    def lexicons(self) -> list[list[ConceptTokens]]:
        """For each readout the tokens of every concept of the profile; one entry where there are no readouts; no entry
        where each prompt has answers of its own.

        Raises:
            ProfileError: a lexicon that this tokenizer cannot tell by single tokens.
        """
        if self._parent is not None:
            return self._parent.lexicons
        if self.profile.has_tasks:
            return []
        contexts = self.profile.readouts or (self.layouts[0].tokens.text,)
        names = tuple(self.profile.concepts)
        return [concept_tokens(self.encoder, self.profile, names, context) for context in contexts]

    @property
    def templates(self) -> Mapping[str, str]:
        """Prompt id -> label of the template it counts to, for every prompt of the profile."""
        return self._shared.templates[0]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers must know of the prompts."""
        asked = [*self.prompts, *self.profile.controls]
        return [*self._shared.templates[1], *special_token_warnings(self.encoder, asked)]

    @cached_property
    def pair_of(self) -> Mapping[str, str | None]:
        """Prompt id -> id of its matched control."""
        return {prompt.id: prompt.pair for prompt in self.profile.prompts}

    def rows_of(self, concept: str) -> list[int]:
        """Indices of one class's prompts among ``layouts``."""
        return [i for i, layout in enumerate(self.layouts) if layout.concept == concept]

    def labels_of(self, rows: Sequence[int]) -> list[str]:
        """Template labels of prompts."""
        return [self.layouts[i].template for i in rows]

    @property
    def own_outcomes(self) -> list[Outcome]:
        """The registered outcomes that were asked for, in their order."""
        return self._shared.outcomes

    @property
    def outcomes(self) -> list[Outcome]:
        """All that is measured on fixed text."""
        asked = [*self.answers, KL, PERPLEXITY] if self.profile.has_tasks else fixed_text_outcomes(self.lexicons)
        return [*asked, *(one for one in self.own_outcomes if one.read_at != "text")]

    @cached_property
    def answers(self) -> list[Outcome]:
        """What is measured of prompts' answers, their log-odds first; empty where words are asked for."""
        return answer_outcomes(self.layouts) if self.profile.has_tasks else []

    @property
    def log_odds(self) -> dict[str, Outcome]:
        """Concept -> the log-odds of its lexicon; task -> that of each prompt's answers."""
        if self.profile.has_tasks:
            return dict.fromkeys(self.profile.concepts, self.answers[0])
        return lexicon_outcomes(self.lexicons)

    @property
    def primary(self) -> str:
        """The name, in tables, of the outcome that decides."""
        return ANSWERS if self.profile.has_tasks else PRIMARY

    def by_concept(self, values: Mapping[str, FloatArray], rows: Sequence[int] | None = None) -> FloatArray:
        """[..., n_layouts, n_concepts] the log-odds of every concept, of outcomes by name; of the layouts ``rows``.

        A task's are known of its own prompts and of their partners, which are read with their answers; NaN of others.
        """
        of = {concept: values[outcome.name] for concept, outcome in self.log_odds.items()}
        if self.profile.has_tasks:
            clean = {prompt.pair: prompt.concept for prompt in self.profile.prompts if prompt.pair is not None}
            asked = self.layouts if rows is None else [self.layouts[i] for i in rows]
            task = np.array([clean.get(layout.id, layout.concept) for layout in asked])
            of = {name: np.where(task == name, one, np.nan) for name, one in of.items()}
        return np.stack(list(of.values()), axis=-1)

    def outcome_ids(self) -> list[Any]:
        """JSON-able: what results depend on beside the model and the prompts, e.g. the scored tokens."""
        return [outcome.identity() for outcome in self.outcomes]

    # --- what is run -------------------------------------------------------------------------------------------------

    def work(self, stage: str, arms: Sequence[Arm], layouts: Sequence[PromptLayout], **about: Any) -> Work:
        """Who runs the passes of ``arms`` over ``layouts``; ``about`` tells what else the results depend on."""
        own = own_edits(arm.kind for arm in arms)
        of_arms = {"arms": [str(arm) for arm in arms]} | ({"own_edits": own} if own else {})
        return self.engine.stage(stage, {**of_arms, "prompts": [layout.id for layout in layouts], **about})

    def states(self, kinds: Collection[str]) -> ControlStates | None:
        """What heads put out on the control prompts, as far as these kinds of edit need it; None where they need none.

        Raises:
            RequestError: too few controls, or no BOS for ``bos``.
        """
        needed = needs_controls(kinds)
        if not needed:
            return None
        states = self._shared.states(needed, self.controls, self.progress)
        self.n_halved += states.n_halved - self._counted
        self._counted = states.n_halved
        return states

    def control_pass(self, kinds: Collection[str]) -> list[Counted]:
        """What ``states`` sends through the model for these kinds of edit; empty where they need nothing."""
        if not needs_controls(kinds):
            return []
        plan = ControlStates.plan(self.model, self.controls, self.batch_tokens)
        rows = [[len(self.controls[c].rows[r]) for c, r in batch] for batch in plan]
        tokens = sum(len(lengths) * max(lengths) for lengths in rows)
        return [Counted("control states", len(plan), tokens, tokens * len(self.model.heads_per_layer))]

    def run_by(self, engine: Engine, progress: Progress | None = None) -> Study:
        """The same study, its passes run and kept by ``engine``, and told to ``progress`` or whom it was told to."""
        view = self.only()
        view.engine, view.settings = engine, replace(self.settings, progress=progress or self.progress)
        return view

    def silent(self) -> Study:
        """The same study, whose passes are told to nobody: for many small stages that are told of as one."""
        view = self.only()
        view.settings = replace(self.settings, progress=None)
        return view

    def stage(self, name: str, arms: Sequence[Arm], rows: Sequence[int] | None = None, *, bound: bool = False) -> Stage:
        """Some arms over every prompt, or over those of ``rows``; ``bound``: stands for at most so much work."""
        layouts = self.layouts if rows is None else [self.layouts[i] for i in rows]
        return Stage(name, self, tuple(layouts), tuple(arms), bound)

    def measure(
        self, arms: Sequence[Arm], rows: Sequence[int] | None = None, *, stage: str = "edited"
    ) -> ForcedOutcomes:
        """Run every prompt, or only those of ``rows``, unedited and under every arm."""
        return self.stage(stage, arms, rows).run()
