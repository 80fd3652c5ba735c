"""From rows to a profile: classes, ids, spans, borrowed controls, fingerprint, checks.

1. Each row has its class, and gets an id where it has none. Exact repeats are left out where that is asked for; who
   was paired with one is paired with the prompt it repeats.
2. A conversation becomes one text that knows its messages (``conversations``). A row with a corrupted partner makes two
   prompts, and tasks are completed (``tasks``).
3. A concept prompt without a span gets the first whole word of its concept's lexicon, unless it is marked implicit.
4. What the profile leaves open comes from the bundled profile, and a warning says so: control prompts, control
   words, readouts.
5. The fingerprint is the SHA-256 of everything that reaches the model or a statistic, as JSON with sorted keys.
6. The whole is checked.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headscope.errors import ProfileError
from headscope.profiles.conversations import lexicon_span, said, span_of, spans_of
from headscope.profiles.formats import RawPrompt
from headscope.profiles.tasks import completed, corrupted_of
from headscope.profiles.types import Concept, Lexicon, Profile, Prompt
from headscope.profiles.validation import check
from headscope.profiles.words import first_word

BORROWED = "bundled-"  # before ids and templates of borrowed prompts, so that they never meet the user's own


@dataclass
class Draft:
    """A profile as its files give it; None stands for what they leave open.

    Attributes:
        name, description, language, control, reference_words, source: as in ``Profile``.
        lexicons: the words of each concept, in the profile's order; empty where none are known.
        prompts: class and row, in the order of the files.
        tasks: what is asked by answers, and a sentence about it; the names are among those of ``lexicons``.
        readouts: an empty tuple asks for none.
        drop_duplicates: leave out prompts that repeat an earlier one of their class exactly.
    """

    name: str
    source: str
    lexicons: dict[str, Lexicon]
    prompts: list[tuple[str, RawPrompt]]
    control_lexicons: dict[str, Lexicon | None] = field(default_factory=dict[str, "Lexicon | None"])
    tasks: dict[str, str] = field(default_factory=dict[str, str])
    description: str = ""
    language: str = "en"
    control: str = "neutral"
    readouts: tuple[str, ...] | None = None
    reference_words: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list[str])
    drop_duplicates: bool = False


def assemble(draft: Draft, bundled: Callable[[], Profile] | None, *, strict: bool) -> Profile:
    """The checked profile of a draft; ``strict`` makes near-duplicates errors. See ``build`` for the rest.

    Raises:
        ProfileError: the profile contradicts itself, or a part is missing and cannot be borrowed.
    """
    profile, origins = build(draft, bundled)
    return replace(profile, warnings=(*profile.warnings, *check(profile, origins, strict=strict)))


def build(draft: Draft, bundled: Callable[[], Profile] | None) -> tuple[Profile, dict[str, str]]:
    """The profile of a draft before it is checked, and where each of its prompts came from, by id.

    ``bundled`` gives the profile from which missing parts are borrowed; None: nothing may be missing.

    Raises:
        ProfileError: a part is missing and cannot be borrowed.
    """
    notes = list(draft.notes)
    if draft.drop_duplicates:
        draft = replace(draft, prompts=_once(draft.prompts, notes))
    prompts, origins = _prompts(draft)
    controls = [prompt for prompt in prompts if prompt.concept == draft.control]
    if not controls:
        why = "no control prompts given"
        prompts += _borrowed_controls(draft, _lender(draft, bundled, "control prompts"), notes, why)
    elif draft.tasks and bundled is not None and len({prompt.template or prompt.id for prompt in controls}) == 1:
        why = "all corrupted prompts are of one template, and edits take their values from others"
        prompts += _borrowed_controls(draft, _lender(draft, bundled, "control prompts"), notes, why)
    if draft.tasks:
        prompts = completed(prompts)
    concepts = {name: _concept(draft, name, bundled, notes) for name in draft.lexicons}
    readouts = draft.readouts
    if readouts is None and draft.tasks:
        readouts = ()
    if readouts is None:
        readouts = _borrowed_readouts(draft, _lender(draft, bundled, "readouts"), notes)
    order = {name: index for index, name in enumerate((*concepts, draft.control))}
    profile = Profile(
        name=draft.name,
        description=draft.description,
        language=draft.language,
        control=draft.control,
        concepts=concepts,
        prompts=tuple(sorted(prompts, key=lambda prompt: order.get(prompt.concept, len(order)))),
        readouts=readouts,
        reference_words=draft.reference_words,
        source=draft.source,
        fingerprint="",
        warnings=tuple(dict.fromkeys(notes)),
    )
    return replace(profile, fingerprint=fingerprint(profile)), origins


def fingerprint(profile: Profile) -> str:
    """SHA-256, in hexadecimal, of what the profile asks; its name, description and place do not count."""
    content = {
        "language": profile.language,
        "control": profile.control,
        "concepts": [
            [concept.name, _plain(concept.lexicon), _plain(concept.control_lexicon)]
            for concept in profile.concepts.values()
        ],
        "prompts": [
            [prompt.id, prompt.text, prompt.concept, prompt.span, prompt.template, prompt.pair, prompt.implicit]
            + ([list(prompt.spans.items()), prompt.answers, prompt.foils] if prompt.spans or prompt.answers else [])
            + ([[vars(message) for message in prompt.messages]] if prompt.messages else [])
            for prompt in profile.prompts
        ],
        "readouts": profile.readouts,
        "reference_words": profile.reference_words,
    }
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _once(prompts: Sequence[tuple[str, RawPrompt]], notes: list[str]) -> list[tuple[str, RawPrompt]]:
    kept: dict[tuple[str, object], RawPrompt] = {}
    now_called: dict[str | None, str] = {}
    left_out: Counter[str] = Counter()
    for name, raw in prompts:
        key = name, said(raw.row)
        first = kept.setdefault(key, raw)
        if first is raw:
            continue
        left_out[name] += 1
        if raw.row.id is not None:
            identifier = raw.row.id if first.row.id is None else first.row.id
            kept[key] = replace(first, row=first.row.model_copy(update={"id": identifier}))
            now_called[raw.row.id] = identifier
    if left_out:
        by_class = ", ".join(f"{count} of {name}" for name, count in left_out.items())
        notes.append(f"{left_out.total()} exact repeats are left out: {by_class}")
    return [
        (name, replace(raw, row=raw.row.model_copy(update={"pair": now_called.get(raw.row.pair, raw.row.pair)})))
        for (name, _), raw in kept.items()
    ]


def _prompts(draft: Draft) -> tuple[list[Prompt], dict[str, str]]:
    taken = {raw.row.id for _, raw in draft.prompts}
    numbers = {name: itertools.count(1) for name, _ in draft.prompts}
    prompts: list[Prompt] = []
    partners: list[Prompt] = []
    origins: dict[str, str] = {}
    for name, raw in draft.prompts:
        row = raw.row
        identifier = row.id if row.id is not None else _free_id(name, numbers[name], taken)
        text, messages = said(row)
        bare = Prompt(identifier, text, name, messages=messages)
        span = span_of(row.span, bare, raw.origin)
        if span is None and not row.implicit and name in draft.lexicons:
            span = lexicon_span(bare, draft.lexicons[name].words)
        prompt = Prompt(
            identifier, text, name, span, row.template, row.pair, row.implicit,
            spans_of(row.spans, bare, raw.origin), tuple(row.answers or ()), tuple(row.foils or ()), messages,
        )  # fmt: skip
        if row.corrupted is not None:
            partner = corrupted_of(prompt, row.corrupted, draft.control, raw.origin)
            _check_brings_one(raw, name == draft.control)
            partners.append(partner)
            prompt = replace(prompt, pair=partner.id)
        prompts.append(prompt)
        origins.setdefault(identifier, raw.origin)
    origins |= {prompt.pair: origins[prompt.id] for prompt in prompts if prompt.pair in {one.id for one in partners}}
    return [*prompts, *partners], origins


def _check_brings_one(raw: RawPrompt, is_control: bool) -> None:
    if raw.row.pair is not None or is_control:
        raise ProfileError(
            "row brings a corrupted partner and names another"
            if raw.row.pair is not None
            else "a control prompt brings a corrupted partner",
            expected="corrupted, or pair, on a prompt with answers",
            where=raw.origin,
        )


def _free_id(name: str, numbers: Iterator[int], taken: Container[str | None]) -> str:
    return next(label for label in (f"{name}-{number:03d}" for number in numbers) if label not in taken)


def _lender(draft: Draft, bundled: Callable[[], Profile] | None, what: str) -> Profile:
    lender = None if bundled is None else bundled()
    if lender is None or lender.language != draft.language:
        given = "" if lender is None else f"; the bundled ones are in {lender.language}"
        raise ProfileError(
            f"profile {draft.name} gives no {what}",
            expected=f"{what} in {draft.language}{given}",
            where=draft.source,
            fix=f"add {what} to the profile",
        )
    return lender


def _borrowed_controls(draft: Draft, lender: Profile, notes: list[str], why: str) -> list[Prompt]:
    words = [word for lexicon in draft.lexicons.values() for word in lexicon.words]
    clean = [prompt for prompt in lender.controls if first_word(prompt.text, words) is None]
    if not clean:
        raise ProfileError(
            "every bundled control prompt holds a word of the lexicons",
            where=draft.source,
            fix="add control prompts to the profile",
        )
    left_out = len(lender.controls) - len(clean)
    notes.append(
        f"{why}: {len(clean)} neutral prompts of the bundled profile {lender.name} serve, unpaired"
        + (f" ({left_out} hold a lexicon word and are left out)" if left_out else "")
    )
    return [
        replace(
            prompt,
            id=BORROWED + prompt.id,
            concept=draft.control,
            template=None if prompt.template is None else BORROWED + prompt.template,
        )
        for prompt in clean
    ]


def _concept(draft: Draft, name: str, bundled: Callable[[], Profile] | None, notes: list[str]) -> Concept:
    if name in draft.tasks:
        return Concept(name, Lexicon({}), Lexicon({}), is_task=True, description=draft.tasks[name])
    lexicon, control = draft.lexicons[name], draft.control_lexicons.get(name)
    if control is not None:
        return Concept(name, lexicon, control)
    lender = _lender(draft, bundled, "control words")
    lent = next(iter(lender.concepts.values())).control_lexicon.by_part_of_speech
    own_words = {word.casefold() for each in draft.lexicons.values() for word in each.words}
    parts = {part: lent[part] for part in lexicon.by_part_of_speech if part in lent} or lent
    free = {part: tuple(word for word in words if word.casefold() not in own_words) for part, words in parts.items()}
    notes.append(f"no control words given: those of the bundled profile {lender.name} serve")
    return Concept(name, lexicon, Lexicon({part: words for part, words in free.items() if words}))


def _borrowed_readouts(draft: Draft, lender: Profile, notes: list[str]) -> tuple[str, ...]:
    words = [word for lexicon in draft.lexicons.values() for word in lexicon.words]
    clean = tuple(readout for readout in lender.readouts if first_word(readout, words) is None)
    left_out = len(lender.readouts) - len(clean)
    notes.append(
        f"no readouts given: {len(clean)} of the bundled profile {lender.name} serve"
        + (f" ({left_out} hold a lexicon word and are left out)" if left_out else "")
    )
    return clean


def _plain(lexicon: Lexicon) -> Mapping[str, Sequence[str]]:
    return dict(lexicon.by_part_of_speech)
