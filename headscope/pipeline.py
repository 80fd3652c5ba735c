"""The whole line in one call: screen every head, switch off every head, judge them, let the model speak, report.

1. Screen: where heads look, and by region of the text where they read.
2. Fast scores of every head by gradients.
3. Sweep: what changes when each head is off alone, every head (budget ``exact``) or the top of the fast scores and as
   many random ones (``fast``); fast and exact stand side by side.
4. For each concept the top heads together, chosen on one half of the templates and measured on the other, with text
   written by both arms, beside random sets of the same size; curves of growing sets.
5. Rank and judge.
6. Plots and report, from the run folder alone.

All of it is one study: templates, prompts, lexicons and what heads put out on control prompts are found once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from headscope.engines.engine import Engine, Part, Runner, in_process
from headscope.errors import RequestError, one_of
from headscope.heads import Head
from headscope.measure.outcomes.sentiment import load_sentiment
from headscope.plots.writing import undrawn_labels, write_plots
from headscope.report.words import check_language
from headscope.report.writing import write_report
from headscope.runs.folder import Run
from headscope.settings import Keeping
from headscope.stats import effects_table
from headscope.study import Study
from headscope.verbs.ablate import AblationResult, ablate
from headscope.verbs.attribute import attribute, random_others, top_heads, verified
from headscope.verbs.budget import BUDGETS, Choice, choose_budget, why_no_gradients
from headscope.verbs.continuations import check_texts_fit, sampling_of
from headscope.verbs.curves import curves
from headscope.verbs.effect_rows import DECIDING_EDIT, PRIMARY
from headscope.verbs.joint import ChosenSet, choose_top, joint
from headscope.verbs.negative_control import negative_control
from headscope.verbs.patch import PatchRequest, patch
from headscope.verbs.patch_pairs import patchable_concepts
from headscope.verbs.rank import rank
from headscope.verbs.regions import attention_by_region
from headscope.verbs.reliability import reliability
from headscope.verbs.result import Result
from headscope.verbs.run_folder import begin_run, write_results
from headscope.verbs.run_request import RunRequest
from headscope.verbs.screen import screen
from headscope.verbs.smallest import check_share
from headscope.verbs.sweep import sweep


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

    Raises:
        PartDone: the part is done.
        RunFinished: this request was served before; the folder stays as it is.
        RequestError, ProfileError: before anything is written.
    """
    request = request or RunRequest()
    no_gradients = _check(study, request)
    choice = choose_budget(study, request.budget, edits=request.edits, no_gradients=no_gradients)
    request = replace(
        request,
        query=request.query or ("readout" if study.profile.readouts else "last"),
        budget=choice.budget,
        sets=request.sets and choice.budget == "exact",
    )
    folder = begin_run("run", study, request.options(study), keeping)
    with folder:
        causal = study.run_by(Engine(folder.shards, runner, part))
        _Line(causal, study, request, folder).go(choice, no_gradients)
    return folder


class _Line:
    """The stages of one run, in order, each with its results and its seconds."""

    def __init__(self, causal: Study, here: Study, request: RunRequest, folder: Run) -> None:
        """``causal`` is the study whose pieces the run's engine runs; ``here`` the same, run in this process."""
        self._study, self._here, self._request, self._folder = causal, here, request, folder
        self._results: dict[str, Result] = {}
        self._last = time.monotonic()

    def _lap(self, stage: str) -> None:
        now = time.monotonic()
        self._folder.update(timings={stage: round(now - self._last, 3)})
        self._last = now

    def go(self, choice: Choice, no_gradients: str | None) -> None:
        """Every stage; the folder holds all of it at the end."""
        study, request, folder, results = self._study, self._request, self._folder, self._results
        if choice.warning:
            folder.warn(choice.warning)
        screened = screen(self._here, query=str(request.query), allow_low_coverage=request.allow_low_coverage)
        results["screen"] = screened
        self._lap("screen")
        results["regions"] = regions = attention_by_region(self._here)
        self._lap("regions")
        fast = None if no_gradients is not None else attribute(self._here, verify=0)
        self._lap("attribute")
        random: tuple[Head, ...] = ()
        spec = "*"
        if fast is not None and choice.budget == "fast":
            top = top_heads(fast.table, study.names, request.top_n)
            random = random_others(study.model, top, seed=study.seed)
            spec = ",".join(map(str, sorted((*top, *random))))
        results["sweep"] = swept = sweep(study, edits=request.edits, heads=spec)
        self._lap("sweep")
        if fast is None:
            folder.warn(f"no fast scores: {no_gradients}")
        else:
            results["attribute"] = verified(
                fast, swept, seed=study.seed, random_heads=random, criteria=request.criteria
            )
        chosen = [top for name in study.names for top in choose_top(swept, name, request.top_k, seed=study.seed)]
        estimates = self._top_sets(chosen)
        self._lap("joint")
        results["nulls"] = joint(study, swept, chosen, estimates, n_random=request.n_random)
        self._lap("nulls")
        if request.negative_control:
            results["negative_control"] = negative_control(
                study, screened, edits=request.edits, heads=spec, criteria=request.criteria
            )
            self._lap("negative_control")
        if request.sets:
            results["curves"] = curves(study, swept, top_k=request.top_k, share=request.share)
            self._lap("curves")
        if request.patching:
            results["patch"] = self._patched(spec)
            self._lap("patch")
        effects = pd.concat([r.tables["effects"] for r in results.values() if "effects" in r.tables], ignore_index=True)
        results["reliability"] = reliability(
            screened, swept, top_k=request.top_k, seed=study.seed, criteria=request.criteria
        )
        results["rank"] = rank(
            screened, effects, assay=swept.tables["assay"], regions=regions.table, top_n=request.top_n,
            criteria=request.criteria,
        )  # fmt: skip
        self._write()

    def _top_sets(self, chosen: Sequence[ChosenSet]) -> list[float]:
        """Each chosen set off together, on the prompts it was not chosen on; its effects on the primary outcome."""
        study, request = self._study, self._request
        ablations = [
            ablate(
                study.only(top.concept, top.prompts), top.heads,
                edits=request.edits, writing=request.writing, role="joint_top",
            )
            for top in chosen
        ]  # fmt: skip
        # All top sets are one choice of the run, so each outcome's tests of them are one family. Two concepts may have
        # one top set, whose damage to control text is then measured twice and said once.
        effects = effects_table([block for result in ablations for block in result.blocks], seed=study.seed)
        effects = effects.drop_duplicates(ignore_index=True)
        self._results["joint"] = Result({"effects": effects}, xr.Dataset(), {}, "effects")
        for number, result in enumerate(ablations):
            tables = {name: table for name, table in result.tables.items() if name != "effects"}
            self._results[f"joint-{number}"] = replace(result, tables=tables)
        return [_joint_estimate(result) for result in ablations]

    def _patched(self, spec: str) -> Result:
        """Every swept head patched alone; concepts that cannot be patched are left out, and the record says so."""
        study = self._study
        can = patchable_concepts(study)
        said = [
            f"{name} was not patched: none of its prompts matches a control token by token"
            for name in study.names
            if name not in can
        ]
        if not can:
            return Result({}, xr.Dataset(), {"warnings": said}, "patching")
        patched = patch(study.only(can), spec, PatchRequest(each=True, alignment="exact"))
        record: Mapping[str, Any] = dict(patched.record) | {"warnings": [*said, *patched.warnings]}
        return Result(patched.tables, patched.values, record, patched.main)

    def _write(self) -> None:
        """Tables, arrays and records, then from the folder alone the plots and the report."""
        folder = self._folder
        write_results(folder, self._results)
        write_plots(folder)
        if sentence := undrawn_labels(folder):
            folder.warn(sentence)
        write_report(folder, languages=tuple(self._request.languages))
        self._lap("report")


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
    check_language(*request.languages)
    check_texts_fit(study, request.writing.max_tokens)
    check_share(request.share)
    load_sentiment(request.writing.sentiment)  # a scorer that is not there stops the run here, not hours later
    return no_gradients


def _joint_estimate(result: AblationResult) -> float:
    rows = result.table
    mine = rows[(rows["outcome"] == PRIMARY) & (rows["edit"] == DECIDING_EDIT)]
    return float(mine["estimate"].iloc[0])
