"""``headscope steer``: what happens when heads are turned up, and what does it cost?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.forecasting import print_forecast
from headscope.cli.job import (
    LOADING,
    PROMPTS,
    SAMPLING,
    TEMPLATE,
    TEXT,
    WORKERS,
    Job,
    criteria_of,
    refuse_unused_sampling,
)
from headscope.errors import RequestError
from headscope.settings import Judging, Steering, Texts, Writing
from headscope.settings.steering import Steered
from headscope.terms import FITTED_VECTORS

if TYPE_CHECKING:
    import pandas as pd

    from headscope.heads import HeadSet
    from headscope.runs.folder import Run
    from headscope.study import Study
    from headscope.verbs.steer_vectors import Given


@command(
    f"model heads from_run verdict {PROMPTS} concept own_outcome steering_edit doses vector target steering_scope each "
    f"n_random minimum_effect {TEMPLATE} no_generate {SAMPLING} sentiment {LOADING} {WORKERS} out dry_run json quiet"
)
def steer(job: Job, steered: Steered, steering: Steering, judging: Judging, texts: Texts, writing: Writing) -> None:
    """Turn heads up: how far does the concept move by dose, more than by a random push, and at what cost?

    [bold]Examples[/bold]

    headscope steer --model demo --concept gratitude --heads 3:3,1:0 --out runs/steer

    headscope steer --model demo --from runs/demo --verdict carrier --doses 1,2,4

    headscope steer --model gpt2 --heads 5:1 --edit scale --doses 0,2,4 --no-generate
    """
    job.check_outputs()
    profile = job.profile()
    _check_asked(steered)
    refuse_unused_sampling(job.called.context, greedy=writing.greedy)
    generate = texts.generate and not steering.each
    if not generate:
        why = "with --no-generate, which writes no text" if not texts.generate else "with --each, which writes no text"
        job.refuse(TEXT, why)
        job.refuse_outcomes_of_text(why.partition(",")[0])
    if steering.edit == "scale":
        job.refuse(("vector",), "with --edit scale, which needs none")
    own = steering.vector if steering.vector not in FITTED_VECTORS else None
    if own is not None and not Path(own).is_file():
        raise RequestError(
            f'the vector "{own}" does not exist', expected=f"{', '.join(FITTED_VECTORS)}, or a file", got=own
        )

    from headscope.verbs.steer import steer
    from headscope.verbs.steer_request import SteerRequest

    request = SteerRequest(**vars(replace(steering, vector=steering.vector if own is None else "given")))
    _ = request.dosage  # a dose that is none is refused before a model is loaded
    study = job.study(profile)
    heads = _heads(study, steered)
    given = None if own is None else _given(study, own, heads)
    if job.printed.dry_run:
        from headscope.verbs.forecast_steer import forecast_steer

        text_tokens = writing.max_tokens * writing.samples if generate else 0
        print_forecast(forecast_steer(study, heads, request, given, text_tokens=text_tokens), json=job.printed.json)
        return
    criteria = criteria_of(judging)
    settled: dict[str, Any] = {
        "heads": {name: str(one) for name, one in heads.items()}, "doses": list(request.dosage.doses),
        "generate": generate, "vector": "given" if own else "" if steering.edit == "scale" else steering.vector,
        "criteria": vars(criteria),
    } | ({"vectors": given.fingerprint} if given else {})  # fmt: skip
    run = job.serve(
        "steer",
        study,
        job.options(study, request, writing, **settled),
        lambda served: {
            "steer": steer(
                served, heads, request, given=given, writing=writing if generate else None, criteria=criteria
            )
        },
    )
    facts = {"dose_response": console.records(run.table("dose_response"))}
    job.tell(run, facts, _tables(run), *_found(run), f"run: {run.path}")


def _found(run: Run) -> list[str]:
    """What was found of each set of heads, a sentence each."""
    from headscope.stats.dose_response import dose_sentence

    steering, rows = run.table("steering"), run.table("dose_response").to_dict("records")
    told = [(row, dose_sentence(row, steering)) for row in rows]
    return [f"{row['concept']}, {row['heads']}: {sentence}" for row, sentence in told if sentence]


def _check_asked(steered: Steered) -> None:
    if (steered.heads is None) == (steered.from_run is None):
        raise RequestError(
            "which heads are to be steered is not said, or said twice", expected="--heads, or --from RUN",
            fix='--heads "1:10,3:2", or --from a run with verdicts',
        )  # fmt: skip
    if steered.verdict and steered.from_run is None:
        raise RequestError("--verdict is of --from RUN", fix="add --from RUN, or leave it out")


def _heads(study: Study, steered: Steered) -> dict[str, HeadSet]:
    """Concept -> its heads."""
    if steered.heads is not None:
        return dict.fromkeys(study.names, study.model.head_set(steered.heads))
    from headscope.runs.folder import Run
    from headscope.verbs.judged_heads import judged_heads

    if steered.from_run is None:
        return {}
    run = Run.open(steered.from_run)
    results.print_unfinished(run)
    found = judged_heads(run, study, steered.verdict)
    for name in study.names:
        if name not in found and not study.settings.concepts:
            console.note(f"{name}: {steered.from_run} has no head of this verdict, so it is left out")
    return found


def _given(study: Study, path: str, heads: Mapping[str, HeadSet]) -> Given:
    from headscope.models.edit_values import read_values
    from headscope.verbs.steer_vectors import given_vectors

    sets = set(heads.values())
    if len(sets) > 1:
        raise RequestError("a file of vectors is for one set of heads", fix="give --heads, or one concept (--concept)")
    return given_vectors(sets.pop(), read_values(path), study.model)


def _tables(run: Run) -> Iterator[tuple[str, pd.DataFrame, str | Mapping[str, str]]]:
    yield from results.what_it_shows(run)
    response = run.table("dose_response")
    yield "What turning them up does", response, "dose_response"
    steering = run.table("steering")
    from headscope.terms import PERPLEXITY_RATIO, PRIMARIES

    yield "Dose by dose", steering[steering["outcome"].isin((*PRIMARIES, PERPLEXITY_RATIO))], "steering"
