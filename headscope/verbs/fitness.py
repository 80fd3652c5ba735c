"""Is my data fit? What would weaken a result of this profile with this model, a row a check, before anything is edited.

1. What the model is asked: does every prompt fit, and does any hold special tokens (``fit_tokens``).
2. What the unedited model does: the assay of every verb, and accuracy (``fit_measured``). Left out where a prompt does
   not fit, since then no verb runs.
3. How answers, lexicons and pairs lie in its tokens (``fit_tokens``).
4. What the design can show, and what would do without the concept or task (``fit_design``).

A row that does not apply is not there: what is said of answers is said of tasks alone, of lexicons of concepts alone.
Nothing here tests a head, so nothing is corrected for looking at it.
"""

from __future__ import annotations

from headscope.study import Study
from headscope.verbs.fit_design import design_rows
from headscope.verbs.fit_measured import measured_rows
from headscope.verbs.fit_row import LIGHTS as LIGHTS
from headscope.verbs.fit_row import FitRow as FitRow
from headscope.verbs.fit_tokens import InTokens, answer_rows, fitting_rows, lexicon_rows, pair_rows


def fitness(study: Study) -> list[FitRow]:
    """Every check that applies, in the order above; of each the concepts in their order.

    Raises:
        RequestError: a chat template that the tokenizer does not have.
    """
    tokens = InTokens.of(study)
    lexicons = [] if study.profile.has_tasks or not tokens.all_fit else list(lexicon_rows(study))
    rows = list(fitting_rows(tokens))
    if tokens.all_fit and all(row.light != "red" for row in lexicons):
        rows += measured_rows(study)
    rows += lexicons
    if study.profile.has_tasks:
        rows += [row for name in study.names if tokens.prompts_of(name) for row in answer_rows(tokens, name)]
    return [*rows, *pair_rows(tokens), *design_rows(study)]
