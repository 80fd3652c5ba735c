"""Is my data fit, by its design: templates and what they can show, answers that need no task, prompts that repeat.

Of a model only the number of heads counts here: it is the size of the family of tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from headscope.profiles.explaining import some_of
from headscope.profiles.task_checks import shows_answer_alone, without_space
from headscope.profiles.types import Prompt
from headscope.profiles.validation import find, leaks
from headscope.stats import reach
from headscope.stats.clusters import MIN_TEMPLATES
from headscope.study import Study
from headscope.verbs.fit_row import FitRow, of_prompts

LARGEST_D = 1.0
"""Yellow where only effects beyond so many standard deviations over templates are found."""
LARGEST_SHARE = 0.5
"""Yellow where one answer is right in more of the prompts."""


def design_rows(study: Study) -> Iterator[FitRow]:
    """Every row that no token and no pass is needed for."""
    for name in study.names:
        yield _templates(study, name)
    yield _template_ids(study)
    for name in study.names:
        if study.profile.has_tasks:
            yield from _answers(name, [prompt for prompt in study.prompts if prompt.concept == name])
    if not study.profile.has_tasks:
        yield _leaks(study)
    yield _near_duplicates(study)


def _templates(study: Study, name: str) -> FitRow:
    mine = [prompt.id for prompt in study.prompts if prompt.concept == name]
    n_templates = len({study.templates[prompt] for prompt in mine})
    n_heads = sum(study.model.heads_per_layer)
    found = reach(n_templates, n_heads * len(study.names))
    asked = "tasks" if study.profile.has_tasks else "concepts"
    counted = f"{n_templates} templates of {len(mine)} prompts for {found.n_tests} tests (heads x {asked})"
    wanted = f"{found.templates_for_half_d:,.0f} templates find an effect of half a standard deviation"
    if n_templates < MIN_TEMPLATES:
        says = f"{counted}: descriptive only, no test, no verdict on any head"
        return FitRow("templates", name, "red", says, f"write at least {MIN_TEMPLATES} templates; {wanted}")
    says = (
        f"{counted}: verdicts are possible; smallest p {found.smallest_p:.2g}, smallest effect found with 80 % power "
        f"{found.smallest_d:.2f} standard deviations over templates"
    )
    if found.smallest_d > LARGEST_D:
        return FitRow("templates", name, "yellow", says, f"more templates: {wanted}")
    return FitRow("templates", name, "green", says)


def _template_ids(study: Study) -> FitRow:
    asked = [*study.prompts, *study.profile.controls]
    unknown = [prompt for prompt in asked if prompt.template is None]
    if not unknown:
        return FitRow("template ids", "", "green", f"all {len(asked)} prompts have a template id")
    n_templates = len({study.templates[prompt.id] for prompt in unknown})
    return FitRow(
        "template ids", "", "yellow",
        f"{len(unknown)} of {len(asked)} prompts have no template id; they were put into {n_templates} templates by "
        "the similarity of their texts",
        "give the ids where you know them: every interval rests on templates being independent",
    )  # fmt: skip


def _answers(name: str, prompts: list[Prompt]) -> Iterator[FitRow]:
    """What could bring the right answer without the task."""
    right = Counter(answer for prompt in prompts for answer in set(prompt.answers))
    [(commonest, count)] = sorted(right.items(), key=lambda each: (-each[1], each[0]))[:1]
    says = f"the commonest answer, {commonest!r}, is right in {count} of {len(prompts)} prompts"
    if count > LARGEST_SHARE * len(prompts):
        fix = "let other answers be right as often: who always says this one is right here too"
        yield FitRow("variety of answers", name, "yellow", says, fix)
    else:
        yield FitRow("variety of answers", name, "green", says)
    if any(prompt.foils for prompt in prompts):
        yield of_prompts(
            "copying", name, [prompt.id for prompt in prompts if shows_answer_alone(prompt)], len(prompts),
            "hold an answer and no foil in their text, so that copying would do",
            "no prompt holds an answer without a foil",
            "let the foil stand in the prompt too, or take a foil that does",
        )  # fmt: skip
    yield of_prompts(
        "space before answers", name, [prompt.id for prompt in prompts if without_space(prompt)], len(prompts),
        "have answers that follow the text without a space, so they continue its last word",
        "answers follow their prompts as words of their own",
        'begin answers and foils with a space (" Mary"), and end the prompt in a word',
    )  # fmt: skip


def _leaks(study: Study) -> FitRow:
    found = [finding.problem for finding in leaks(study.profile)]
    if not found:
        return FitRow("words of others", "", "green", "no prompt holds a lexicon word of a concept that is not its own")
    fix = "take the words out of these prompts: what is compared with them then has the concept too"
    return FitRow("words of others", "", "yellow", "; ".join(found), fix)


def _near_duplicates(study: Study) -> FitRow:
    near = [finding.problem for finding in find(study.profile, {}) if finding.severity == "strict"]
    if not near:
        return FitRow("near-duplicates", "", "green", "no two prompts of a class say the same")
    fix = "remove one of each; headscope profiles validate lists them"
    says = f"{len(near)} pairs of prompts say nearly the same: {some_of(near)}"
    return FitRow("near-duplicates", "", "yellow", says, fix)
