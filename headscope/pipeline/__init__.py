"""The whole line in one call: screen every head, switch off every head, judge them, let the model speak, report.

The stages, in the order of their value (``terms.STAGES``); after each the folder can be read:

1. Assay: does the model show the concept at all? It runs every prompt unedited.
2. Screen: where heads look, and by region of the text where they read.
3. Probes: off which heads' output the concept can be read.
4. Fast scores of every head by gradients.
5. Sweep: the deciding edit of each head alone, every head (budget ``exact``) or the top of the fast scores and as many
   random ones (``fast``). Then, where it can matter, the agreeing edit and damage; the verdicts (``verbs.deciding``).
6. For each concept the top heads together, chosen on one half of the templates and measured on the other, with text
   written by both arms; then random sets of the same size.
7. Patching of the heads that removal or a fast score names, and of as many random ones; curves of growing sets.
8. Pictures and the last report, from the run folder alone.

With ``complete`` every stage measures all it can. All of it is one study: templates, prompts, lexicons and what heads
put out on control prompts are found once.
"""

from __future__ import annotations

from dataclasses import replace

from headscope.engines.engine import Engine, Part, Runner, in_process
from headscope.errors import HeadscopeError, RequestError, one_of
from headscope.measure.outcomes.sentiment import load_sentiment
from headscope.pipeline.line import Line
from headscope.pipeline.pace import Pace, seconds_of
from headscope.report.words import check_language
from headscope.runs.folder import Run
from headscope.runs.shards import PartDone
from headscope.settings import Keeping
from headscope.study import Study
from headscope.verbs.budget import BUDGETS, choose_budget, why_no_gradients
from headscope.verbs.continuations import check_own_of_texts, check_texts_fit, sampling_of
from headscope.verbs.effect_rows import DECIDING_EDIT
from headscope.verbs.negative_control import check_has_negative_control
from headscope.verbs.probe import why_no_probes
from headscope.verbs.run_folder import begin_run
from headscope.verbs.run_plan import RunPlan
from headscope.verbs.run_request import RunRequest
from headscope.verbs.smallest import check_share


def run(
    study: Study,
    request: RunRequest | None = None,
    keeping: Keeping | None = None,
    *,
    runner: Runner = in_process,
    part: Part | None = None,
) -> Run:
    """Screen, sweep, joint sets with text, ranking, verdicts, plots and report, kept in one run folder.

    Args:
        study: what is asked of which model.
        request: what is to be done.
        keeping: where and how results are kept.
        runner: who runs the pieces of sweep, sets and texts; this process by default.
        part: run only these pieces of the sweep and keep them, for ``gather``.

    Returns:
        The run; ``stopped`` where a stage was asked to be the last or did not fit into the time, else ``finished``.

    Raises:
        PartDone: the part is done.
        RunFinished: this request was served before; the folder stays as it is.
        RequestError, ProfileError: before anything is written.
    """
    request = request or RunRequest()
    no_gradients = _check(study, request)
    limit = None if request.time is None else seconds_of(request.time)
    choice = choose_budget(study, request, no_gradients=no_gradients)
    request = replace(
        request,
        query=request.query or ("readout" if study.profile.readouts else "last"),
        budget=choice.budget,
        sets=request.sets and choice.budget == "exact",
    )
    plan = RunPlan(study, request, fast=choice.budget == "fast", with_scores=no_gradients is None)
    folder = begin_run("run", study, request.options(study), keeping)
    with folder:
        pace = Pace(
            folder, plan.counted, _left_out(study, request, no_gradients), until=request.until, limit_seconds=limit,
            text_layer_tokens=plan.text_tokens * len(study.model.heads_per_layer),
        )  # fmt: skip
        for warning in (choice.warning, f"no fast scores: {no_gradients}" if no_gradients else None):
            if warning is not None:
                folder.warn(warning)
        line = Line(study.run_by(Engine(folder.shards, runner, part)), study, request, folder, pace)
        try:
            line.go()
        except (KeyboardInterrupt, SystemExit):
            line.end("stopped")
            raise
        except HeadscopeError as error:
            if not isinstance(error, PartDone):
                line.end("failed")
            raise
        if not pace.reached_all:
            folder.stop(f"before its end, as asked; not reached: {pace.not_reached}")
    return folder


def _left_out(study: Study, request: RunRequest, no_gradients: str | None) -> dict[str, str]:
    """The stages that a run does without, and why."""
    is_marked = any(prompt.marked for prompt in study.prompts)
    why = {
        "screen": "" if is_marked or not study.profile.has_tasks else "the prompts have no marked places to look at",
        "probes": why_no_probes(study),
        "scores": "gradients do not pass through the model" if no_gradients is not None else "",
        "patching": "" if request.patching else "--no-patch",
        "curves": "" if request.sets else "--budget fast" if request.budget == "fast" else "--no-sets",
    }
    return {name: reason for name, reason in why.items() if reason}


def _check(study: Study, request: RunRequest) -> str | None:
    """Raise RequestError where the request does not fit; returns why there can be no fast scores, None where they can.

    Without gradients a fast budget cannot be kept; an exact one does without them.
    """
    sampling_of(study, request.writing)
    one_of("budget", request.budget, BUDGETS)
    if DECIDING_EDIT not in request.edits:
        raise RequestError(f'the edit "{DECIDING_EDIT}" decides and cannot be left out', got=", ".join(request.edits))
    n_heads = sum(study.model.heads_per_layer)
    for name, value in (("top_k", request.top_k), ("top_n", request.top_n)):
        if not 1 <= value <= n_heads:
            raise RequestError(
                f"{name} does not fit the model",
                expected=f"1 to {n_heads}, its number of heads",
                got=str(value),
                fix=f"--{name.replace('_', '-')} {n_heads}",
            )
    no_gradients = why_no_gradients(study.model, request.budget)
    if request.negative_control:
        check_has_negative_control(study.profile)
    check_language(*request.languages)
    check_texts_fit(study, request.writing.max_tokens)
    check_share(request.share)
    check_own_of_texts(study)
    load_sentiment(request.writing.sentiment)  # a scorer that is not there stops the run here, not hours later
    return no_gradients
