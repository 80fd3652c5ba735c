"""What do benchmarks say without these heads? Tasks of lm-evaluation-harness with and without an edit.

1. The same model object answers the same requests twice, unedited and edited; lm-eval's seeds are the same, so both
   arms see the same few-shot examples.
2. Each metric is compared item by item (``stats.paired_items``).
3. A group of tasks is its tasks, a row each.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from headscope.errors import RequestError
from headscope.measure.benchmarks import Benchmarks, eval_model, require_lm_eval
from headscope.models.editing import HeadEdit
from headscope.models.head_model import HeadModel
from headscope.settings.evaluating import Evaluating
from headscope.stats.paired_items import PairedItems, evaluation_table, items_table
from headscope.study import Study
from headscope.verbs.result import Result

_TIE = 1e-9  # relative: a score that is the mean of its items differs from theirs by the rounding of a sum alone


class EvaluationResult(Result):
    """``tables``: evaluation, evaluation_items."""


def evaluate(
    study: Study, benchmarks: Benchmarks, asked: Evaluating, edit: HeadEdit, *, bos: str = "auto"
) -> EvaluationResult:
    """Scores with and without the edit, paired by item.

    Args:
        study: the model.
        benchmarks: the tasks (``measure.benchmarks.find_benchmarks``).
        asked: batch size, and how many items.
        edit: of the heads (``making_edits.edit``, or one of a file).
        bos: how texts begin, see ``measure.benchmarks.eval_model``.

    Raises:
        RequestError: the edit does not fit the model, or lm-eval refuses the request.
    """
    model, heads = study.model, study.model.head_set(edit.heads)
    benchmarks = replace(benchmarks, chat_template=study.settings.chat_template)
    given: list[Mapping[str, Any]] = []
    for stage, entered in (("unedited", None), ("edited", edit)):
        lm = eval_model(model, entered, batch_size=asked.batch_size, bos=bos)
        lm.tell(f"benchmarks, {stage}", study.progress)
        given.append(benchmarks.run(lm))
    baseline, edited = given
    scores = [one for task in sorted(baseline["samples"]) for one in paired_items(task, baseline, edited)]
    if not scores:
        raise RequestError("the tasks have no metric that is a number", got=", ".join(benchmarks.names))
    named = f"{edit.kind} {edit.factor:g}" if edit.kind == "scale" else edit.kind
    tables = {
        "evaluation": evaluation_table(scores, heads=str(heads), edit=named, seed=study.seed),
        "evaluation_items": items_table(scores),
    }
    record = {
        "heads": str(heads),
        "edit": named,
        "edit_from": {key: str(value) for key, value in edit.about.items()},
        "lm_eval": require_lm_eval(),
        "tasks": benchmarks.identity,
        "n_fewshot": dict(baseline["n-shot"]),
        "limit": asked.limit,
        "batch_size": asked.batch_size,
        "chat_template": study.settings.chat_template,
        "bos": bos,
        "warnings": _warnings(model, bos),
    }
    return EvaluationResult(tables, xr.Dataset(), record, "evaluation")


def paired_items(task: str, baseline: Mapping[str, Any], edited: Mapping[str, Any]) -> list[PairedItems]:
    """The metrics of one task in two results of ``simple_evaluate``, in lm-eval's order."""
    lower = {name for name, higher in baseline["higher_is_better"].get(task, {}).items() if higher is False}
    found: list[PairedItems] = []
    for key, score in baseline["results"][task].items():
        metric, comma, given_filter = key.partition(",")
        other = edited["results"][task].get(key)
        if not comma or metric.endswith("_stderr") or not _is_number(score) or not _is_number(other):
            continue
        before, after = (_items(each["samples"][task], metric, given_filter) for each in (baseline, edited))
        ids = sorted(before.keys() & after.keys())
        values = [np.array([arm[doc][0] for doc in ids], dtype=np.float64) for arm in (before, after)]
        found.append(
            PairedItems(
                task=task,
                metric=metric if given_filter == "none" else key,
                baseline_score=float(score),
                edited_score=float(other),
                is_mean=bool(ids) and all(map(_is_mean, values, (score, other))),
                lower_is_better=metric in lower,
                doc_ids=tuple(ids),
                doc_hashes=tuple(before[doc][1] for doc in ids),
                baseline=values[0],
                edited=values[1],
            )
        )
    return found


def _items(samples: Sequence[Mapping[str, Any]], metric: str, given_filter: str) -> dict[int, tuple[float, str]]:
    """Item -> its number of a metric and its SHA-256; items whose metric is no number are left out."""
    mine = [sample for sample in samples if sample["filter"] == given_filter and _is_number(sample.get(metric))]
    return {int(sample["doc_id"]): (float(sample[metric]), str(sample["doc_hash"])) for sample in mine}


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real | np.bool_) and math.isfinite(float(value))


def _is_mean(values: np.ndarray, score: object) -> bool:
    return math.isclose(float(values.mean()), float(score), rel_tol=_TIE, abs_tol=_TIE)  # type: ignore[arg-type]


def _warnings(model: HeadModel, bos: str) -> list[str]:
    """How texts of benchmarks begin, where headscope's own do not begin so."""
    tokenizer = model.tokenizer
    own = model.bos_token_id is not None
    theirs = tokenizer.bos_token_id is not None and tokenizer.bos_token_id in tokenizer("a")["input_ids"][:1]
    if bos != "auto" or own == theirs:
        return []
    return [
        f"benchmark texts begin {'with' if theirs else 'without'} a BOS, as lm-eval has it, and headscope's own "
        f"{'with' if own else 'without'} one; --bos {'always' if own else 'never'} makes them alike"
    ]
