"""Random words as concepts, through the same line: how often is something found where nothing was put?

Every lexicon of the profile is replaced by random words (``measure/random_lexicons.py``); prompts, controls, heads,
edits, families and rules stay. A random word is no part of any concept, so no head should be called a carrier. Heads do
move the odds of random words: how far says what an effect on the concept's words is worth without its specificity.
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.errors import RequestError
from headscope.measure.random_lexicons import with_random_lexicons
from headscope.profiles.types import Profile
from headscope.stats import Criteria, judge
from headscope.study import Study
from headscope.verbs.deciding import complete, decide
from headscope.verbs.result import Result
from headscope.verbs.sweep import sweep


def check_has_negative_control(profile: Profile) -> None:
    """Raise RequestError where there are no words that random ones could replace."""
    if profile.has_tasks:
        raise RequestError(
            "a task has no negative control", expected="a profile of concepts, whose words random ones can replace",
            fix="leave out --negative-control",
        )  # fmt: skip


def negative_control(
    study: Study,
    screened: Result | None,
    *,
    heads: str = "*",
    edits: Sequence[str] = ("mean", "zero"),
    criteria: Criteria | None = None,
    whole: bool = True,
) -> Result:
    """Sweep and judge every head with random words in place of the lexicons.

    The seed of the study also draws the words; ``whole``: every edit and damage of every head, else only what a verdict
    reads (``deciding``). Without ``screened``, the run's screen, which does not depend on
    lexicons, no head can be called a carrier.

    Returns:
        Table ``negative_control``: the columns of ``verdicts``, of random words read after each concept's prompts. The
        words stand in the record.

    Raises:
        RequestError: the profile holds tasks.
        ProfileError: there are too few words to draw from.
    """
    check_has_negative_control(study.profile)
    random = with_random_lexicons(study.encoder, study.profile, seed=study.seed)
    reading, rules = study.reading(random), criteria or Criteria()
    every = sweep(reading, heads=heads, edits=edits) if whole else None
    swept = every or complete(decide(reading, heads=heads), edits, rules)
    judged = judge(swept.table, None if screened is None else screened.table, swept.tables["assay"], criteria=rules)
    return Result({"negative_control": judged}, swept.values, swept.record, "negative_control")
