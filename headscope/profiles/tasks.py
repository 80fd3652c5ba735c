"""From rows with answers to prompts of a task: corrupted partners, places, and whose answers they are read with.

1. A row's ``corrupted`` is a control prompt of its own: the same template, paired with the clean prompt.
2. A clean prompt without marked places gets the words in which it differs from its partner: one place for each run of
   such words (``changed``, or ``changed_1``, ``changed_2``, ...). A partner without places gets those that stand at the
   same words, where both have the same number of words.
3. A corrupted prompt is read with the answers and foils of its clean partner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import regex

from headscope.errors import ProfileError
from headscope.profiles.schema import CorruptedText
from headscope.profiles.types import Prompt

CONTROL = "corrupted"
CHANGED = "changed"
Span = tuple[int, int]

_WORD = regex.compile(r"\S+")
_EDGES = "".join(map(chr, (*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)))) + "“”‘’…、。"


def corrupted_of(clean: Prompt, corrupted: CorruptedText | str, control: str) -> Prompt:
    """The control prompt that the row of ``clean`` brings along."""
    given = CorruptedText(text=corrupted) if isinstance(corrupted, str) else corrupted
    span = None if given.span is None else (given.span[0], given.span[1])
    return Prompt(f"{clean.id}-{CONTROL}", given.text, control, span, clean.template, spans=places_of(given.spans))


def places_of(spans: Mapping[str, Sequence[int]] | None) -> dict[str, Span]:
    """Named places as a file gives them, as pairs."""
    return {name: (span[0], span[1]) for name, span in (spans or {}).items()}


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
    return replace(prompt, spans=changed_places(prompt.text, partner.text))


def _partner(prompt: Prompt, clean: Prompt) -> Prompt:
    filled = replace(prompt, answers=clean.answers, foils=clean.foils)
    if prompt.marked:
        return filled
    places = clean.spans or ({} if clean.span is None else {"": clean.span}) or changed_places(clean.text, prompt.text)
    moved = {name: at for name, span in places.items() if (at := _moved(span, clean.text, prompt.text)) is not None}
    return replace(filled, span=moved.pop("", None), spans=moved)


def changed_places(text: str, other: str) -> dict[str, Span]:
    """The runs of words of ``text`` that ``other`` does not have in their place; punctuation at their edges left out.

    Where the texts have different numbers of words, one run: what is left between the words they begin and end with.
    """
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
    bare = [_without_edges(text, run) for run in runs]
    return {CHANGED: bare[0]} if len(bare) == 1 else {f"{CHANGED}_{n}": run for n, run in enumerate(bare, start=1)}


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
