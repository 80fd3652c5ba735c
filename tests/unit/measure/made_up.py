"""Made-up prompts and lexicons for tiny models that never see real text."""

from __future__ import annotations

from dataclasses import dataclass

from headscope.measure.edits import ControlStates
from headscope.measure.layout import PromptLayout
from headscope.measure.lexicons import ConceptTokens, LexiconTokens
from headscope.measure.outcomes import Outcome, fixed_text_outcomes, lexicon_outcomes, log_odds_name
from headscope.models.head_model import HeadModel
from headscope.tokens import Tokens, tree_row
from tests.laws.families import sequences

READOUTS = ((7, 8), (7, 9, 10))
JOY = log_odds_name("joy")
LEXICON, CONTROL = (11, 12, 13), (21, 22, 23, 24)


@dataclass(frozen=True)
class MadeUp:
    """Two concept prompts, of which the first has an equal pair, and the states of three controls."""

    prompts: list[PromptLayout]
    controls: list[PromptLayout]
    lexicons: list[list[ConceptTokens]]
    states: ControlStates

    @property
    def outcomes(self) -> list[Outcome]:
        return fixed_text_outcomes(self.lexicons)

    @property
    def log_odds(self) -> dict[str, Outcome]:
        return lexicon_outcomes(self.lexicons)

    @property
    def partners(self) -> dict[str, PromptLayout]:
        return {"p0": self.controls[0], "p1": self.controls[1]}


def lexicons(words: tuple[int, ...] = LEXICON, control: tuple[int, ...] = CONTROL) -> list[list[ConceptTokens]]:
    one = ConceptTokens("joy", LexiconTokens(words, {}, {}), LexiconTokens(control, {}, {}), {})
    return [[one] for _ in READOUTS]


def made_up(model: HeadModel, *, pack: bool = False, batch_tokens: int = 512) -> MadeUp:
    first, second, third, fourth = sequences()
    other = [*first[:3], 33, *first[4:]]
    prompts = [asked("p0", "joy", "a", first, pack=pack), asked("p1", "joy", "b", second[:6], pack=pack)]
    texts = {"a": other, "b": fourth, "c": third}
    controls = [asked(f"c{t}", "calm", t, ids, pack=pack) for t, ids in texts.items()]
    states = ControlStates(model, controls, kinds=["mean"], seed=0, batch_tokens=batch_tokens)
    return MadeUp(prompts, controls, lexicons(), states)


def asked(name: str, concept: str, template: str, ids: list[int], *, pack: bool) -> PromptLayout:
    full = [(*ids, *readout) for readout in READOUTS]
    rows = (tree_row(full),) if pack else tuple(tree_row([one]) for one in full)
    members = ((0, 1),) if pack else ((0,), (1,))
    return PromptLayout(name, concept, template, tokens_of(tuple(ids)), tuple(map(tokens_of, full)), rows, members)


def tokens_of(ids: tuple[int, ...]) -> Tokens:
    return Tokens(ids, tuple((i, i + 1) for i in range(len(ids))), "x" * len(ids), 0)
