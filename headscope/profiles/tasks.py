"""From rows with answers to prompts of a task: corrupted partners, places, and whose answers they are read with.

1. A row's ``corrupted`` is a control prompt of its own: the same template, paired with the clean prompt.
2. A clean prompt without marked places gets the words in which it differs from its partner: one place for each run of
   such words (``changed``, or ``changed_1``, ``changed_2``, ...), message by message. A partner without places gets
   those that stand at the same words, where both have the same number of words.
3. A corrupted prompt is read with the answers and foils of its clean partner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import regex

from headscope.errors import ProfileError
from headscope.profiles.conversations import in_one_part, said, span_of, spans_of
from headscope.profiles.schema import CorruptedText
from headscope.profiles.types import Prompt

CONTROL = "corrupted"
CHANGED = "changed"
Span = tuple[int, int]

_WORD = regex.compile(r"\S+")
_EDGES = "".join(map(chr, (*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)))) + "“”‘’…、。"


def corrupted_of(clean: Prompt, corrupted: CorruptedText | str, control: str, where: str) -> Prompt:
    """The control prompt that the row of ``clean``, which stands at ``where``, brings along.

    Raises:
        ProfileError: a place of it is in none of its messages.
    """
    given = CorruptedText(text=corrupted) if isinstance(corrupted, str) else corrupted
    text, messages = said(given)
    bare = Prompt(f"{clean.id}-{CONTROL}", text, control, template=clean.template, messages=messages)
    return replace(bare, span=span_of(given.span, bare, where), spans=spans_of(given.spans, bare, where))


def completed(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts of a profile with tasks, places found and partners read with the answers of who names them.

    Raises:
        ProfileError: two clean prompts name one corrupted partner, so that whose answers it is read with is open.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    clean_of: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.pair is None or prompt.pair not in by_id:
            continue
        if prompt.pair in clean_of:
            raise ProfileError(
                f"two prompts name the corrupted partner {prompt.pair}",
                expected="a partner of its own for each prompt, read with its answers",
                got=f"{clean_of[prompt.pair].id} and {prompt.id}",
                fix="write the partner once for each of them, with ids of their own",
            )
        clean_of[prompt.pair] = prompt
    return [
        _partner(prompt, clean_of[prompt.id]) if prompt.id in clean_of else _clean(prompt, by_id) for prompt in prompts
    ]


def _clean(prompt: Prompt, by_id: Mapping[str, Prompt]) -> Prompt:
    partner = by_id.get(prompt.pair or "")
    if prompt.marked or partner is None:
        return prompt
    return replace(prompt, spans=_changed(prompt, partner))


def _partner(prompt: Prompt, clean: Prompt) -> Prompt:
    filled = replace(prompt, answers=clean.answers, foils=clean.foils)
    if prompt.marked:
        return filled
    places = clean.spans or ({} if clean.span is None else {"": clean.span}) or _changed(clean, prompt)
    found = {name: _moved(span, clean.text, prompt.text) for name, span in places.items()}
    moved = {name: span for name, span in found.items() if span is not None and in_one_part(span, prompt)}
    return replace(filled, span=moved.pop("", None), spans=moved)


def _changed(prompt: Prompt, other: Prompt) -> dict[str, Span]:
    """``changed_places`` message by message; none where others speak in ``other``."""
    if prompt.roles != other.roles:
        return {}
    parts = zip(prompt.parts, prompt.turns, other.turns, strict=True)
    runs = [
        (part.start + start, part.start + end)
        for part, (_, mine), (_, theirs) in parts
        for start, end in _changed_runs(mine, theirs)
    ]
    return _named(runs)


def changed_places(text: str, other: str) -> dict[str, Span]:
    """The runs of words of ``text`` that ``other`` does not have in their place; punctuation at their edges left out.

    Where the texts have different numbers of words, one run: what is left between the words they begin and end with.
    """
    return _named(_changed_runs(text, other))


def _named(runs: Sequence[Span]) -> dict[str, Span]:
    return {CHANGED: runs[0]} if len(runs) == 1 else {f"{CHANGED}_{n}": run for n, run in enumerate(runs, start=1)}


def _changed_runs(text: str, other: str) -> list[Span]:
    mine, theirs = _words(text), _words(other)
    if len(mine) == len(theirs):
        differs = [text[slice(*one)] != other[slice(*two)] for one, two in zip(mine, theirs, strict=True)]
        groups = [(changed, [i for i, _ in run]) for changed, run in groupby(enumerate(differs), lambda pair: pair[1])]
        runs = [(mine[run[0]][0], mine[run[-1]][1]) for changed, run in groups if changed]
    else:
        shared = [text[slice(*one)] == other[slice(*two)] for one, two in zip(mine, theirs, strict=False)]
        start = shared.index(False) if False in shared else len(shared)
        backwards = zip(mine[start:][::-1], theirs[start:][::-1], strict=False)
        n_end = next((i for i, (one, two) in enumerate(backwards) if text[slice(*one)] != other[slice(*two)]), None)
        end = len(mine) - (min(len(mine), len(theirs)) - start if n_end is None else n_end)
        runs = [(mine[start][0], mine[end - 1][1])] if end > start else []
    return [_without_edges(text, run) for run in runs]


def _words(text: str) -> list[Span]:
    return [match.span() for match in _WORD.finditer(text)]


def _without_edges(text: str, span: Span) -> Span:
    start, end = span
    bare = text[start:end].strip(_EDGES)
    if not bare:
        return span
    first = start + text[start:end].index(bare)
    return first, first + len(bare)


def _moved(span: Span, text: str, other: str) -> Span | None:
    """The words of ``other`` that stand where ``span`` stands in ``text``; None where the numbers of words differ."""
    mine, theirs = _words(text), _words(other)
    within = [i for i, (start, end) in enumerate(mine) if start < span[1] and span[0] < end]
    if len(mine) != len(theirs) or not within:
        return None
    return _without_edges(other, (theirs[within[0]][0], theirs[within[-1]][1]))
