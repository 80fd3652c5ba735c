"""Random words as concepts, through the same line: how often is something found where nothing was put?

Every lexicon of the profile is replaced by random words (``measure/random_lexicons.py``); prompts, controls, heads,
edits, families and rules stay. A random word is no part of any concept, so no head should be called a carrier. Heads do
move the odds of random words: how far says what an effect on the concept's words is worth without its specificity.
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.engines.engine import Engine
from headscope.measure.asked import encoder_of
from headscope.measure.passes import Progress
from headscope.measure.random_lexicons import with_random_lexicons
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import Criteria, judge
from headscope.verbs.result import Result
from headscope.verbs.sweep import sweep


def negative_control(
    model: HeadModel,
    profile: Profile,
    screened: Result | None,
    *,
    concepts: Sequence[str] | str | None = None,
    edits: Sequence[str] = ("mean", "zero"),
    heads: str = "*",
    chat_template: bool | str = False,
    criteria: Criteria | None = None,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> Result:
    """Sweep and judge every head with random words in place of the lexicons.

    Args:
        model: the model.
        profile: as in the sweep that this is beside.
        screened: the run's screen, which does not depend on lexicons; without one no head can be called a carrier.
        concepts: as in ``sweep``, also the arguments below.
        edits: kinds of edit.
        heads: heads to edit, each alone.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        criteria: what decides a verdict.
        seed: also draws the words.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.
        engine: runs the passes and keeps their results.

    Returns:
        Table ``negative_control``: the columns of ``verdicts``, of random words read after each concept's prompts. The
        words stand in the record.

    Raises:
        ProfileError: there are too few words to draw from.
    """
    random = with_random_lexicons(encoder_of(model, chat_template=chat_template), profile, seed=seed)
    swept = sweep(
        model, random, concepts=concepts, edits=edits, heads=heads, chat_template=chat_template, seed=seed,
        batch_tokens=batch_tokens, progress=progress, engine=engine,
    )  # fmt: skip
    judged = judge(swept.table, None if screened is None else screened.table, swept.tables["assay"], criteria=criteria)
    return Result({"negative_control": judged}, swept.values, swept.record, "negative_control")
