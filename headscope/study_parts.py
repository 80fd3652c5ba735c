"""What all views of a study share: prompts laid out, templates labelled, what heads put out on control prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from headscope.engines.engine import Engine
from headscope.errors import RequestError
from headscope.measure.edits import ControlStates
from headscope.measure.layout import PromptLayout, encoder_of, lay_out
from headscope.measure.outcomes import Outcome
from headscope.measure.protocols import Progress
from headscope.models.head_model import HeadModel
from headscope.models.memory_budget import batch_tokens_within
from headscope.profiles.types import Profile, Prompt
from headscope.settings import StudySettings
from headscope.stats.template_labels import templates_of
from headscope.tokens import Encoder


class Shared:
    """Each is made where it is first needed, and kept."""

    def __init__(self, model: HeadModel, profile: Profile, settings: StudySettings) -> None:
        self.model, self.settings, self._profile = model, settings, profile
        self.batch_tokens = _batch_tokens(model, settings.batch_tokens)
        self.engine: Engine = settings.engine or Engine()
        self.outcomes: list[Outcome] = []
        self._layouts: dict[str, PromptLayout] = {}
        self._states: tuple[frozenset[str], ControlStates] | None = None

    @cached_property
    def encoder(self) -> Encoder:
        """How texts become tokens."""
        asked = self.settings
        return encoder_of(self.model, chat_template=asked.chat_template, thinking=asked.thinking)

    @cached_property
    def templates(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Prompt id -> template, and what is to be said about them."""
        return templates_of(self._profile)

    def laid_out(self, prompts: Sequence[Prompt], templates: Mapping[str, str] | None = None) -> list[PromptLayout]:
        """Prompts as they are put to the model; ``templates`` of those that the profile does not have."""
        missing = [prompt for prompt in prompts if prompt.id not in self._layouts]
        laid = lay_out(
            self.model, missing, self._profile.readouts, templates or self.templates[0],
            encoder=self.encoder, pack=self.settings.pack,
        )  # fmt: skip
        self._layouts |= {layout.id: layout for layout in laid}
        return [self._layouts[prompt.id] for prompt in prompts]

    def states(
        self, kinds: frozenset[str], controls: Sequence[PromptLayout], progress: Progress | None
    ) -> ControlStates:
        """What heads put out on control prompts, as these kinds of edit need it."""
        known = frozenset[str]() if self._states is None else self._states[0]
        if self._states is None or not kinds <= known | {"mean"}:
            states = ControlStates(
                self.model, controls, kinds=sorted(kinds | known), seed=self.settings.seed,
                batch_tokens=self.batch_tokens, progress=progress,
            )  # fmt: skip
            self._states = kinds | known, states
        return self._states[1]


def _batch_tokens(model: HeadModel, asked: int | None) -> int:
    """As asked, else what fits the model's memory budget; RequestError where it is not positive."""
    if asked is None:
        return batch_tokens_within(model)
    if asked < 1:
        raise RequestError("batch_tokens must be positive", expected="1 or more", got=str(asked))
    return asked
