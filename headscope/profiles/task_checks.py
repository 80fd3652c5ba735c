"""Does a task contradict itself? What ``validation`` asks of prompts with answers, beside what it asks of all.

An answer with which another answer, or a foil, of its prompt begins is an error: its probability would count the other
one's too. Where the longer one goes on inside a word (run, runs), tokens tell them apart or not, and who encodes them
says so. An answer and a foil that begin alike and part later are no error: the tokens after decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from headscope.profiles.explaining import some_of
from headscope.profiles.findings import Finding, listed
from headscope.profiles.types import Profile, Prompt
from headscope.profiles.words import first_word, space_before


def task_findings(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    """Every finding on answers, foils and corrupted partners; none for a profile of concepts."""
    yield from _mixed(profile, origins)
    if not profile.has_tasks:
        return
    by_id = {prompt.id: prompt for prompt in profile.prompts}
    for prompt in profile.prompts:
        if prompt.concept in profile.concepts:
            yield from _continuations(prompt, origins.get(prompt.id))
            if prompt.pair in by_id:
                yield from _partner(prompt, by_id[prompt.pair], origins.get(prompt.id))
    clean = [prompt for prompt in profile.prompts if prompt.concept in profile.concepts]
    glued = [prompt.id for prompt in clean if profile.goes_on(prompt) and without_space(prompt)]
    yield from listed(
        "warning",
        "have answers that begin with a space, and begin the assistant's turn",
        [prompt.id for prompt in clean if not profile.goes_on(prompt) and any(
            one[:1].isspace() for one in prompt.continuations)],
    )  # fmt: skip
    yield from listed(
        "warning", "have answers that follow the text without a space, so they continue its last word", glued
    )
    shown = [prompt.id for prompt in clean if shows_answer_alone(prompt)]
    yield from listed("warning", "hold an answer and no foil in their text", shown)
    if profile.readouts:
        yield Finding(
            "error", "a task has no readouts", expected="answers alone, which follow the prompt", where=profile.source,
            got=some_of(list(profile.readouts)),
        )  # fmt: skip


def _mixed(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    asked = [prompt for prompt in profile.prompts if prompt.concept in profile.concepts]
    without = [prompt for prompt in asked if not prompt.answers]
    if (profile.has_tasks or len(without) < len(asked)) and without:
        yield Finding(
            "error",
            f"{len(without)} of {len(asked)} prompts have no answers, and the others have",
            expected="answers on every prompt (a task), or on none (a concept)",
            got=some_of([prompt.id for prompt in without]),
            where=origins.get(without[0].id),
            fix="a profile holds tasks or concepts: make two",
        )


def _continuations(prompt: Prompt, where: str | None) -> Iterator[Finding]:
    for kind, texts in (("answer", prompt.answers), ("foil", prompt.foils)):
        if any(not one.strip() for one in texts):
            yield Finding("error", f"prompt {prompt.id} has an empty {kind}", expected="text", where=where)
    named = [*(("answer", one) for one in prompt.answers), *(("foil", one) for one in prompt.foils)]
    for (kind, one), (other_kind, other) in combinations(named, 2):
        if one == other:
            problem = f"prompt {prompt.id} has the {kind} {one!r} twice" if kind == other_kind else (
                f"prompt {prompt.id} has {one!r} as answer and as foil"
            )  # fmt: skip
        elif is_beginning(one, other):
            short, long = sorted((one, other), key=len)
            problem = f"prompt {prompt.id} has {short!r}, with which {long!r} begins"
        else:
            continue
        yield Finding(
            "error", problem, expected="continuations of which none begins another", where=where,
            fix="leave one out, or end the shorter one with what follows it",
        )  # fmt: skip


def is_beginning(one: str, other: str) -> bool:
    """Whether one of two continuations is how the other begins, up to the end of a word."""
    short, long = sorted((one, other), key=len)
    goes_on = short[-1:].isalnum() and long[len(short) : len(short) + 1].isalnum()
    return long.startswith(short) and not goes_on


def _partner(prompt: Prompt, partner: Prompt, where: str | None) -> Iterator[Finding]:
    if partner.template != prompt.template:
        yield Finding(
            "error", f"prompt {prompt.id} has a corrupted partner of another template",
            expected=f"{prompt.template}", got=f"{partner.template}", where=where,
        )  # fmt: skip
    if partner.text == prompt.text:
        yield Finding(
            "error", f"prompt {prompt.id} and its corrupted partner are the same text",
            expected="a text in which another answer is right, or none", where=where,
        )  # fmt: skip


def without_space(prompt: Prompt) -> bool:
    """Whether the first continuation goes on with the text's last word, where a space would begin a new one.

    Never behind a user's message: there it begins the assistant's turn.
    """
    if prompt.messages and prompt.roles[-1] != "assistant":
        return False
    return any(one[:1].isalpha() and bool(space_before(one, prompt.text)) for one in prompt.continuations[:1])


def shows_answer_alone(prompt: Prompt) -> bool:
    """Whether the text holds an answer's words and no foil's, so that copying would do."""
    return bool(prompt.foils) and _holds(prompt.text, prompt.answers) and not _holds(prompt.text, prompt.foils)


def _holds(text: str, continuations: Sequence[str]) -> bool:
    """Whether one stands in the text as whole words: " he" does not stand in "the"."""
    folded = text.casefold()
    perhaps = [bare for one in continuations if (bare := one.strip()) and bare.casefold() in folded]
    return first_word(text, perhaps) is not None
