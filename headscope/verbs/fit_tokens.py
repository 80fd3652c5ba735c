"""Is my data fit, in this model's tokens: prompts that it takes, answers, lexicons, pairs, lengths, places.

Each prompt is laid out by itself, without a limit of length, so that every one that does not fit is counted and not
the first alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from headscope.errors import ProfileError
from headscope.measure.layout import PromptLayout, lay_out, special_token_warnings
from headscope.measure.lexicons import ConceptTokens
from headscope.profiles.explaining import some_of
from headscope.profiles.types import Prompt
from headscope.profiles.words import first_word
from headscope.stats import FamilyTest, effect_rows
from headscope.study import Study
from headscope.tokens import Encoder
from headscope.verbs.fit_row import FitRow, in_a_line, of_prompts
from headscope.verbs.screen import LOWEST_COVERAGE
from headscope.verbs.screen_plan import Comparison, by_length, compare, views_of

SAME_SHARE = 0.9
"""Yellow where answers stand at one place, or on one side of their foils, in so many of the prompts."""
_TOKENS_APART = 0.5  # without an interval, lengths differ from here on


@dataclass(frozen=True)
class InTokens:
    """The prompts of a study in its model's tokens.

    Attributes:
        study: whose.
        encoder: its own, without a limit of length.
        layouts: prompt id -> the prompt laid out, where that can be done.
        refused: prompt id -> why it cannot.
    """

    study: Study
    encoder: Encoder
    layouts: Mapping[str, PromptLayout]
    refused: Mapping[str, str]

    @classmethod
    def of(cls, study: Study) -> InTokens:
        """Lay out every prompt asked for, and every control."""
        encoder = replace(study.encoder, context_length=None)
        layouts: dict[str, PromptLayout] = {}
        refused: dict[str, str] = {}
        for prompt in (*study.prompts, *study.profile.controls):
            try:
                [layouts[prompt.id]] = lay_out(
                    study.model, [prompt], study.profile.readouts, study.templates, encoder=encoder, pack=study.pack
                )
            except ProfileError as error:
                refused[prompt.id] = in_a_line(error)
        return cls(study, encoder, layouts, refused)

    @property
    def too_long(self) -> list[str]:
        """Prompts that, with what follows them, exceed the model's context."""
        limit = self.study.encoder.context_length
        return [] if limit is None else [name for name, one in self.layouts.items() if _longest(one) > limit]

    @property
    def all_fit(self) -> bool:
        """Whether the model can be asked with every prompt."""
        return not self.refused and not self.too_long

    def prompts_of(self, concept: str) -> list[tuple[Prompt, PromptLayout]]:
        """A class's prompts that could be laid out."""
        asked = (*self.study.prompts, *self.study.profile.controls)
        return [(one, self.layouts[one.id]) for one in asked if one.concept == concept and one.id in self.layouts]


def fitting_rows(tokens: InTokens) -> Iterator[FitRow]:
    """Can the model be asked with these prompts?"""
    n, limit = len(tokens.layouts) + len(tokens.refused), tokens.study.encoder.context_length
    if limit is not None:
        longest = max(map(_longest, tokens.layouts.values()), default=0)
        says = f"the longest of {n} prompts has, with what follows it, {longest} tokens; the model's context {limit:,}"
        if too_long := tokens.too_long:
            says = f"{len(too_long)} prompts are longer than the context, so no verb runs: {some_of(too_long)}; {says}"
            yield FitRow("context", "", "red", says, "shorten or leave out these prompts, or take another model")
        else:
            yield FitRow("context", "", "green", says)
    if tokens.refused:
        first = next(iter(tokens.refused.values()))
        yield FitRow(
            "tokenizer", "", "red",
            f"{len(tokens.refused)} of {n} prompts cannot be put to this model, so no verb runs; the first: {first}",
            "end prompts in a word, begin answers with a space, and let no answer begin another",
        )  # fmt: skip
    else:
        yield FitRow("tokenizer", "", "green", f"all {n} prompts and what follows them keep their tokens")
    asked = [*tokens.study.prompts, *tokens.study.profile.controls]
    if typed := special_token_warnings(tokens.study.encoder, asked):
        fix = "take them out, or write the prompts plainly and ask with --chat-template"
        yield FitRow("special tokens", "", "yellow", "; ".join(typed), fix)
    else:
        yield FitRow("special tokens", "", "green", "no special token is written out in a prompt")


def answer_rows(tokens: InTokens, task: str) -> Iterator[FitRow]:
    """How a task's answers and foils lie in tokens, and where they stand in the prompts."""
    prompts = tokens.prompts_of(task)
    has_foils = [(prompt, one) for prompt, one in prompts if prompt.foils]
    if has_foils:
        sides = {
            one.id: (set(one.answers.first_ids(answers=True)), set(one.answers.first_ids(answers=False)))
            for _, one in has_foils
        }
        yield of_prompts(
            "first tokens", task, [name for name, (right, wrong) in sides.items() if right & wrong], len(has_foils),
            "have an answer and a foil that begin with the same token, so the tokens after it decide",
            "answers and foils differ from their first token on",
            "take words that part at their first token: direct attribution reads no others",
        )  # fmt: skip
    yield _lengths_of_answers(task, [one for _, one in prompts])
    yield from _places(tokens.encoder, task, prompts)


def _lengths_of_answers(task: str, layouts: list[PromptLayout]) -> FitRow:
    lengths = {
        one.id: [[len(c.ids) for c in one.answers.continuations if c.is_answer == side] for side in (True, False)]
        for one in layouts
    }
    several = [name for name, (right, wrong) in lengths.items() if max(right + wrong) > 1]
    uneven = [name for name, (right, wrong) in lengths.items() if wrong and np.mean(right) != np.mean(wrong)]
    most = max((n for both in lengths.values() for side in both for n in side), default=0)
    return of_prompts(
        "tokens of answers", task, several, len(layouts),
        f"have answers or foils of several tokens, up to {most} (in {len(uneven)} the two sides differ in number, "
        "which favours the shorter)",
        "every answer and foil is one token",
        "take words of one token where there are such, and of equally many where not",
    )  # fmt: skip


def _places(encoder: Encoder, task: str, prompts: list[tuple[Prompt, PromptLayout]]) -> Iterator[FitRow]:
    """Could a head that looks at a place, whatever stands there, do the task?"""
    from_end: Counter[int] = Counter()
    order: Counter[bool] = Counter()
    for prompt, layout in prompts:
        right, wrong = (
            first_word(prompt.text, [one.strip() for one in side if one.strip()])
            for side in (prompt.answers, prompt.foils)
        )
        if right is None:
            continue
        at = layout.tokens.of_span(encoder.place_span(prompt, right))
        from_end.update([len(layout.tokens) - at[-1]] if at else [])
        order.update([] if wrong is None else [right < wrong])
    n_shown = from_end.total()
    if n_shown < 2:
        return
    [(place, n_there)] = from_end.most_common(1)
    says = [f"of {n_shown} prompts that hold their answer, {n_there} hold it {place} tokens before what is asked"]
    if n_both := order.total():
        says.append(f"in {order[True]} of {n_both} it comes before the foil")
    is_one_place = n_there >= SAME_SHARE * n_shown
    is_one_side = n_both > 1 and max(order.values()) >= SAME_SHARE * n_both
    if is_one_place or is_one_side:
        fix = "vary frames and turn the order round in half of them: a head that looks at a place would do the task"
        yield FitRow("place of answers", task, "yellow", "; ".join(says), fix)
    else:
        yield FitRow("place of answers", task, "green", "; ".join(says))


def lexicon_rows(study: Study) -> Iterator[FitRow]:
    """Which words of the lexicons count with this tokenizer."""
    try:
        lexicons = study.lexicons
    except ProfileError as error:
        fix = "add words that are one token for this model"
        yield FitRow("lexicon words", "", "red", f"no log-odds can be measured: {in_a_line(error)}", fix)
        return
    contexts = study.profile.readouts or (study.layouts[0].tokens.text,)
    for name in study.names:
        found = [each for readout in lexicons for each in readout if each.concept == name]
        yield _lexicon(study, name, dict(zip(contexts, found, strict=True)))


def _lexicon(study: Study, name: str, found: Mapping[str, ConceptTokens]) -> FitRow:
    """``found``: the text before the word -> the concept's tokens there."""
    parts = [(context, part) for context, one in found.items() for part in (one.lexicon, one.control)]
    dropped = {word: why for _, part in parts for word, why in part.dropped.items()}
    shared = {word: other for one in found.values() for word, other in one.shared.items()}
    encoder, concept = study.encoder, study.profile.concepts[name]
    several = {
        word
        for context, part in parts
        for word in part.kept
        if len(encoder.continuation_ids(context, encoder.space_before(word, context) + word)) > 1
    }
    n = len({*concept.lexicon.words, *concept.control_lexicon.words})
    says = [f"{n - len(dropped)} of {n} words and control words can be told by their first token at every readout"]
    says += [f"{len(several)} of them have further ones, which are not read"] if several else []
    says += [f"left out: {some_of([f'{word} ({why})' for word, why in sorted(dropped.items())])}"] if dropped else []
    said = [f"{word} ({other})" for word, other in sorted(shared.items())]
    says += [f"another concept's too: {some_of(said)}"] if shared else []
    if dropped or shared:
        fix = "put words in their place that are one token for this model, and of one concept alone"
        return FitRow("lexicon words", name, "yellow", "; ".join(says), fix)
    return FitRow("lexicon words", name, "green", "; ".join(says))


def pair_rows(tokens: InTokens) -> Iterator[FitRow]:
    """Do prompts and their partners stand token by token beside each other, and are they as long?"""
    asked = [one for one in (*tokens.study.prompts, *tokens.study.profile.controls) if one.id in tokens.layouts]
    views = views_of(tokens.encoder, asked, tokens.study.profile, "last")
    alike = by_length([views[one.id] for one in asked if one.concept == tokens.study.profile.control])
    for name in tokens.study.names:
        if compared := [compare(prompt, views, alike) for prompt, _ in tokens.prompts_of(name)]:
            yield _pairs(name, compared)
    for name in tokens.study.names:
        yield from _lengths(tokens, name)


def _pairs(name: str, compared: list[Comparison]) -> FitRow:
    n = len(compared)
    n_matched = sum(one.is_compared and one.kind == "paired_equal" for one in compared)
    n_paired = sum(one.kind.startswith("paired") for one in compared)
    n_apart = sum(one.kind == "paired_unequal_per_token" for one in compared)
    n_unmarked = sum(one.n_span_tokens == 0 for one in compared)
    n_at_end = sum(one.n_span_tokens > 0 and not one.views for one in compared)
    parts = (
        (n_unmarked, "have no marked place", "mark the place (span, spans)"),
        (
            n - n_unmarked - n_paired, "have no partner with a marked place",
            "give a partner of the same template, its places marked too",
        ),
        (
            n_apart, "have a partner of another length or with its places elsewhere",
            "choose words of as many tokens for both texts of a pair",
        ),
        (n_at_end, "end in their marked place", "let text follow the marked place: the screen looks back from it"),
    )  # fmt: skip
    matched = f"{n_matched} of {n} prompts are matched by their partner token by token"
    says = "; ".join([matched, *(f"{count} {what}" for count, what, _ in parts if count)])
    fix = "; ".join(fix for count, _, fix in parts if count)
    n_compared = sum(one.is_compared and one.kind != "paired_unequal_per_token" for one in compared)
    if n_compared < LOWEST_COVERAGE * n:
        says += f"; {n_compared / n:.0%} can be compared, and a screen asks for {LOWEST_COVERAGE:.0%}"
        return FitRow("pairs", name, "red", says, fix)
    return FitRow("pairs", name, "yellow", says, fix) if fix else FitRow("pairs", name, "green", says)


def _lengths(tokens: InTokens, name: str) -> Iterator[FitRow]:
    """A task's prompts beside their partners; a concept's without one, beside all controls."""
    study, prompts = tokens.study, tokens.prompts_of(name)
    controls = [one.n_prompt for _, one in tokens.prompts_of(study.profile.control)]
    beside = np.nan if study.profile.has_tasks or not controls else float(np.mean(controls))
    partners = [tokens.layouts.get(prompt.pair or "") for prompt, _ in prompts]
    apart = np.array([
        one.n_prompt - (beside if partner is None else partner.n_prompt)
        for (_, one), partner in zip(prompts, partners, strict=True)
    ])  # fmt: skip
    if np.isnan(apart).all():
        return
    how = FamilyTest(family=f"fitness/lengths/{name}")
    row = effect_rows(apart[:, None], [one.template for _, one in prompts], how, seed=study.seed).iloc[0]
    mean, low, high = (float(row[column]) for column in ("estimate", "ci_low", "ci_high"))
    has_interval = not np.isnan(low)
    says = f"mean number of tokens, {name} - {study.profile.control} prompts: {mean:.2f}"
    says += f" [{low:.2f}, {high:.2f}]" if has_interval else ""
    if low > 0.0 or high < 0.0 or (not has_interval and abs(mean) >= _TOKENS_APART):
        fix = "write both with equally many tokens: else what is found may be the length, or the place"
        yield FitRow("lengths", name, "yellow", says, fix)
    else:
        yield FitRow("lengths", name, "green", says)


def _longest(layout: PromptLayout) -> int:
    return max(map(len, layout.sequences))
