"""Does a profile contradict itself, and what should its author know?

Every check yields findings. An ``error`` is a contradiction: a span outside its text, a partner that does not exist,
the same prompt twice. A ``strict`` finding (near-duplicates) is an error in bundled profiles and in
``headscope profiles validate``, and a warning when a user's own profile is run. A ``warning`` never stops anything.

Two prompts of a class are near-duplicates where they differ in case and punctuation only, where they share template
and slot filler, or, lacking templates, where one is the other with one word added (looked for up to 60 words).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headscope.errors import ProfileError
from headscope.profiles.conversations import conversation_findings
from headscope.profiles.explaining import describe
from headscope.profiles.files import PROMPT_LIMIT_CHARACTERS
from headscope.profiles.findings import Finding, Severity, listed
from headscope.profiles.task_checks import task_findings
from headscope.profiles.types import Profile, Prompt
from headscope.profiles.words import first_word, folded_words

RESERVED_NAMES = frozenset({"overall"})  # the ranking's name for the mean over concepts
FEWEST_TEMPLATES = 6  # below it no p-value is given (docs/statistics.md)
LONGEST_COMPARED_WORDS = 60  # leaving out each word in turn costs the square of their number
FEWEST_WORDS = 3  # below it the primary outcome is refused


def check(profile: Profile, origins: Mapping[str, str], *, strict: bool) -> tuple[str, ...]:
    """The warnings of a profile that holds no error; ``origins`` says where each prompt came from, by id.

    Raises:
        ProfileError: the first error, and how many more there are.
    """
    findings = list(find(profile, origins))
    errors = [finding for finding in findings if finding.is_error(strict=strict)]
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more: headscope profiles validate lists them)" if len(errors) > 1 else ""
        raise ProfileError(
            first.problem + more, expected=first.expected, got=first.got, where=first.where, fix=first.fix
        )
    near = [finding for finding in findings if finding.severity == "strict"]
    sentences = tuple(finding.sentence for finding in findings if finding.severity == "warning")
    if len(near) > 1:
        return (f"{len(near)} pairs of near-duplicates (headscope profiles validate lists them)", *sentences)
    return (*(finding.sentence for finding in near), *sentences)


def find(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    """Every finding, errors and warnings in the order of the checks."""
    of_all = (_names, _texts, _duplicates, _spans, _pairs, _lexicons, _readouts, leaks, _sizes)
    for checks in (*of_all, task_findings, conversation_findings):
        yield from checks(profile, origins)


def _names(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    known = {*profile.concepts, profile.control}
    for name in sorted(RESERVED_NAMES & known):
        yield Finding("error", f'"{name}" cannot name a concept', fix="choose another name")
    if profile.control in profile.concepts:
        yield Finding("error", f'"{profile.control}" is both a concept and the control', fix="rename one of them")
    for prompt in profile.prompts:
        if prompt.concept not in known:
            yield Finding(
                "error",
                f'prompt {prompt.id} belongs to the unknown concept "{prompt.concept}"',
                expected=", ".join(sorted(known)),
                got=prompt.concept,
                where=origins.get(prompt.id),
            )
    for identifier, count in Counter(prompt.id for prompt in profile.prompts).items():
        if count > 1:
            yield Finding("error", f'prompt id "{identifier}" stands {count} times', where=origins.get(identifier))
    for name in (*profile.concepts, profile.control):
        if not profile.prompts_of(name):
            yield Finding("error", f'"{name}" has no prompts', expected="at least one", where=profile.source)


def _texts(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    for prompt in profile.prompts:
        where = origins.get(prompt.id)
        if not prompt.text.strip():
            got = "no characters" if not prompt.text else "white space only"
            yield Finding("error", f"prompt {prompt.id} is empty", expected="text", got=got, where=where)
        elif len(prompt.text) > PROMPT_LIMIT_CHARACTERS:
            yield Finding(
                "error",
                f"prompt {prompt.id} is too long",
                expected=f"at most {PROMPT_LIMIT_CHARACTERS:,} characters",
                got=f"{len(prompt.text):,} characters",
                where=where,
            )
    yield from listed(
        "warning",
        "end in white space, which is then their last token",
        [one.id for one in profile.prompts if profile.goes_on(one) and one.text != one.text.rstrip()],
    )


def _duplicates(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    seen: dict[tuple[str, tuple[str, ...]], Prompt] = {}
    same_words: dict[tuple[tuple[str, ...], ...], Prompt] = {}
    told: set[tuple[str, str]] = set()
    # Of tasks the corrupted prompts may repeat each other, and clean ones: A's partner is often B itself.
    once = [one for one in profile.prompts if not (profile.has_tasks and one.concept == profile.control)]
    for prompt in once:
        earlier = seen.setdefault((prompt.text, prompt.roles), prompt)
        if earlier is not prompt:
            drop = ", or --drop-duplicates" if earlier.concept == prompt.concept else ""
            fix = f"remove one, or change what it says{drop}"
            got = describe(prompt.text)
            yield _pair_finding("error", "are the same text", earlier, prompt, origins, got=got, fix=fix)
            continue
        folded = folded_words(prompt.text)
        alike = same_words.setdefault((folded, prompt.roles), prompt)
        if folded and alike is not prompt:
            told.add((alike.id, prompt.id))
            yield _pair_finding("strict", "differ in case and punctuation only", alike, prompt, origins)
    for name in dict.fromkeys(prompt.concept for prompt in once):
        for first, second, relation in _near_duplicates(profile.prompts_of(name)):
            if (first.id, second.id) not in told:
                yield _pair_finding("strict", relation, first, second, origins)


def _near_duplicates(prompts: Sequence[Prompt]) -> Iterator[tuple[Prompt, Prompt, str]]:
    slots: dict[tuple[str, ...], Prompt] = {}
    free: dict[tuple[str, ...], Prompt] = {}
    for prompt in prompts:
        if prompt.template is None:
            free.setdefault(folded_words(prompt.text), prompt)
        elif prompt.marked and not prompt.answers:  # a task marks what is asked; what else differs is material
            fillers = [prompt.text[start:end].casefold() for start, end in prompt.marked]
            earlier = slots.setdefault((prompt.template, *fillers), prompt)
            if earlier is not prompt and earlier.text != prompt.text:
                yield earlier, prompt, "have the same template and slot filler"
    for words, prompt in free.items():
        compared = range(len(words)) if 1 < len(words) <= LONGEST_COMPARED_WORDS else ()
        shorter = {words[:index] + words[index + 1 :] for index in compared}
        for other in sorted((free[part] for part in shorter if part in free), key=lambda found: found.id):
            yield other, prompt, "differ by one added word"


def _spans(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    unmarked: list[str] = []
    for prompt in profile.prompts:
        bad = [_span_problem(prompt, span) for span in prompt.marked]
        if problems := [problem for problem in bad if problem is not None]:
            problem, expected, got = problems[0]
            yield Finding("error", problem, expected=expected, got=got, where=origins.get(prompt.id))
        elif prompt.span_text is not None and prompt.concept in profile.concepts:
            words = profile.concepts[prompt.concept].lexicon.words
            if words and (first_word(prompt.span_text, words) is None) != prompt.implicit:
                unmarked.append(prompt.id)
    yield from listed(
        "warning", "are marked implicit although their span holds a lexicon word, or the reverse", unmarked
    )
    for name in profile.concepts:
        missing = [prompt.id for prompt in profile.prompts_of(name) if not prompt.marked]
        yield from listed(
            "warning", f"of {name} have no span, so attention to the concept cannot be read there", missing
        )


def _span_problem(prompt: Prompt, span: tuple[int, int]) -> tuple[str, str | None, str] | None:
    """What is wrong with a place, what was expected, and what it is; None where it is a place in the text."""
    start, end = span
    if not 0 <= start < end <= len(prompt.text):
        problem = f"span of prompt {prompt.id} is outside its text"
        return problem, f"0 <= start < end <= {len(prompt.text)}", f"[{start}, {end}]"
    return (
        None
        if prompt.text[start:end].strip()
        else (f"span of prompt {prompt.id} is white space", None, f"[{start}, {end}]")
    )


def _pairs(profile: Profile, origins: Mapping[str, str]) -> Iterator[Finding]:
    by_id = {prompt.id: prompt for prompt in profile.prompts}
    other_frame: list[str] = []
    used: dict[tuple[str, str], list[str]] = defaultdict(list)
    for prompt in profile.prompts:
        if prompt.pair is None:
            continue
        partner, where = by_id.get(prompt.pair), origins.get(prompt.id)
        if prompt.concept == profile.control:
            yield Finding("error", f"control prompt {prompt.id} names a partner", got=prompt.pair, where=where)
        elif partner is None:
            yield Finding(
                "error",
                f"partner of prompt {prompt.id} does not exist",
                expected="id of a control prompt",
                got=prompt.pair,
                where=where,
            )
        elif partner.concept != profile.control:
            yield Finding(
                "error",
                f"partner of prompt {prompt.id} is no control prompt",
                expected=f"a prompt of {profile.control}",
                got=f"{partner.id}, of {partner.concept}",
                where=where,
            )
        else:
            used[prompt.concept, prompt.pair].append(prompt.id)
            if partner.template != prompt.template:
                other_frame.append(prompt.id)
    if not profile.has_tasks:  # there it is an error
        yield from listed("warning", "have a partner of another template", other_frame)
    shared = [identifier for prompts in used.values() if len(prompts) > 1 for identifier in prompts]
    yield from listed("warning", "share their partner with another prompt of their concept", shared)


def _lexicons(profile: Profile, _: Mapping[str, str]) -> Iterator[Finding]:
    owners: dict[str, list[str]] = defaultdict(list)
    for concept in profile.concepts.values():
        for word in {word.casefold() for word in concept.lexicon.words}:
            owners[word].append(concept.name)
        both = sorted(_folded(concept.lexicon.words) & _folded(concept.control_lexicon.words))
        if both:
            yield Finding(
                "error",
                f"lexicon and control lexicon of {concept.name} share words",
                expected="control words that do not carry the concept",
                got=", ".join(both),
                where=profile.source,
            )
        if not concept.is_task and len(concept.lexicon.words) < FEWEST_WORDS:
            yield Finding(
                "warning",
                f"{concept.name} has {len(concept.lexicon.words)} lexicon words; ablation's primary outcome needs at "
                f"least {FEWEST_WORDS}",
            )
    for word, names in sorted(owners.items()):
        if len(names) > 1:
            yield Finding("warning", f'lexicon word "{word}" is shared by {", ".join(names)}')


def _readouts(profile: Profile, _: Mapping[str, str]) -> Iterator[Finding]:
    for index, readout in enumerate(profile.readouts):
        where = f"{profile.source}, readouts[{index}]"
        if not readout.strip():
            yield Finding("error", "a readout is empty", expected="text", where=where)
        if readout in profile.readouts[:index]:
            yield Finding("error", "a readout stands twice", got=readout, where=where)
        for concept in profile.concepts.values():
            if found := first_word(readout, concept.lexicon.words):
                yield Finding(
                    "error",
                    f"a readout holds a lexicon word of {concept.name}",
                    expected="a continuation without any concept's word, the same for every prompt",
                    got=f'"{readout[slice(*found)]}" in "{readout}"',
                    where=where,
                )


def leaks(profile: Profile, _: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Prompts that hold a lexicon word of a concept that is not their own."""
    for concept in profile.concepts.values():
        words = concept.lexicon.words
        for name in (*profile.concepts, profile.control):
            if name != concept.name:
                leaking = [prompt.id for prompt in profile.prompts_of(name) if first_word(prompt.text, words)]
                yield from listed("warning", f"of {name} hold a lexicon word of {concept.name}", leaking)


def _sizes(profile: Profile, _: Mapping[str, str]) -> Iterator[Finding]:
    for name in profile.concepts:
        prompts = profile.prompts_of(name)
        templates = {prompt.template or prompt.id for prompt in prompts}
        if 0 < len(templates) < FEWEST_TEMPLATES:
            yield Finding(
                "warning",
                f"{name} has {len(prompts)} prompts from {len(templates)} templates; under {FEWEST_TEMPLATES} results "
                "are descriptive only, without p-values",
            )


def _pair_finding(
    severity: Severity,
    relation: str,
    first: Prompt,
    second: Prompt,
    origins: Mapping[str, str],
    got: str | None = None,
    fix: str = "remove one, or change what it says",
) -> Finding:
    return Finding(
        severity,
        f"prompts {first.id} and {second.id} {relation}",
        got=got,
        where=" and ".join(origins.get(prompt.id, prompt.id) for prompt in (first, second)),
        fix=fix,
    )


def _folded(words: Iterable[str]) -> set[str]:
    return {word.casefold() for word in words}
