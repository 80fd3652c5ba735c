"""The stages of a whole run: what each measures, and the folder that grows with them.

After every stage the folder holds the tables, arrays and reports of what was measured so far, written beside the next
stage's passes where a core is free; pictures are drawn once, at the end or at a stop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
import xarray as xr

from headscope.heads import Head, HeadSet
from headscope.pipeline.pace import Pace
from headscope.plots.writing import undrawn_labels, write_plots
from headscope.report.writing import write_report
from headscope.runs.folder import Run
from headscope.stats import effects_table
from headscope.study import Study
from headscope.terms import PRIMARIES
from headscope.verbs.ablate import AblationResult, ablate
from headscope.verbs.attribute import AttributeResult, attribute, random_others, top_heads, verified
from headscope.verbs.curves import curves
from headscope.verbs.deciding import Decided, complete, decide
from headscope.verbs.effect_rows import DECIDING_EDIT, assay_tables
from headscope.verbs.head_order import head_of
from headscope.verbs.joint import ChosenSet, choose_top, joint
from headscope.verbs.negative_control import negative_control
from headscope.verbs.patch import PatchRequest, patch
from headscope.verbs.patch_pairs import patchable_concepts
from headscope.verbs.probe import probe
from headscope.verbs.rank import rank
from headscope.verbs.regions import attention_by_region
from headscope.verbs.reliability import reliability
from headscope.verbs.result import Result
from headscope.verbs.run_folder import write_results
from headscope.verbs.run_request import RunRequest
from headscope.verbs.screen import screen
from headscope.verbs.sweep import SweepResult, sweep


class Line:
    """The stages of one run, in order, each with its results and its seconds."""

    def __init__(self, causal: Study, here: Study, request: RunRequest, folder: Run, pace: Pace) -> None:
        """``causal`` is the study whose pieces the run's engine runs; ``here`` the same, run in this process."""
        self._study, self._here, self._request = causal, here, request
        self._folder, self._pace = folder, pace
        self._results: dict[str, Result] = {}
        self._fast: AttributeResult | None = None
        self._random: tuple[Head, ...] = ()
        self._spec = "*"
        self._decided: Decided | None = None
        self._swept: SweepResult | None = None
        self._chosen: list[ChosenSet] = []
        self._estimates: list[float] = []
        self._too_small: list[bool] = []
        # torch's threads take every core of a CPU that they are given.
        is_free = causal.model.device.type != "cpu" or torch.get_num_threads() < (os.cpu_count() or 1)
        self._reports = _Reports(folder, request.languages, beside=is_free)

    def go(self) -> None:
        """Every stage that is to be run; the folder holds all of it at the end."""
        stages: Mapping[str, Callable[[], None]] = {
            "assay": self._assay,
            "screen": self._screen,
            "probes": self._probes,
            "scores": self._scores,
            "sweep": self._sweep,
            "verdicts": self._verdicts,
            "texts": self._texts,
            "nulls": self._nulls,
            "patching": self._patching,
            "curves": self._curves,
            "negative_control": self._negative_control,
        }
        names = iter(stages)
        with self._reports:
            name = self._following(names)
            while name is not None:
                self._pace.starts()
                stages[name]()
                self._pace.done(name)
                self._folder.update(timings={name: self._pace.stages[name].seconds or 0.0})
                following = self._following(names)
                if name != "assay" or following != "screen":
                    self._write()  # an impossible screen, which comes right after, leaves no folder
                name = following
            if self._results and not self._folder.tables:
                self._write()
        self.end("finished" if self._pace.reached_all else "stopped")

    def _following(self, names: Iterator[str]) -> str | None:
        """The next stage that is to be run, marked as running: the report before it says so."""
        return next((name for name in names if self._pace.begins(name)), None)

    def end(self, status: str) -> None:
        """Pictures and the last report, of what was written; nothing where nothing was."""
        self._pace.stopped()
        if self._folder.tables:
            self._reports.last(status)

    # --- stages ------------------------------------------------------------------------------------------------------

    def _assay(self) -> None:
        study = self._here.only()
        outcomes = study.stage("assay", []).run()
        self._results["assay"] = Result(assay_tables(study, outcomes), xr.Dataset(), {}, "assay")

    def _screen(self) -> None:
        request = self._request
        self._results["screen"] = screen(
            self._here, query=str(request.query), allow_low_coverage=request.allow_low_coverage
        )
        self._results["regions"] = attention_by_region(self._here)

    def _probes(self) -> None:
        self._results["probe"] = probe(self._here)

    def _scores(self) -> None:
        request, study = self._request, self._study
        self._results["attribute"] = self._fast = fast = attribute(self._here, steps=request.steps, verify=0)
        if request.budget == "fast":
            top = top_heads(fast.table, study.names, request.top_n)
            self._random = random_others(study.model, top, seed=study.seed)
            self._spec = ",".join(map(str, sorted((*top, *self._random))))

    def _sweep(self) -> None:
        request, study = self._request, self._study
        if request.complete:
            self._take(sweep(study, edits=request.edits, heads=self._spec))
        else:
            self._decided = decide(study, heads=self._spec)
            self._take(self._decided.result)

    def _verdicts(self) -> None:
        if self._decided is not None:
            self._take(complete(self._decided, self._request.edits, self._request.criteria))

    def _take(self, swept: SweepResult) -> None:
        """A sweep, with the fast scores beside it."""
        self._results.pop("assay", None)  # the sweep's says the same of the same prompts
        self._results["sweep"] = self._swept = swept
        if self._fast is not None:
            self._results["attribute"] = verified(
                self._fast, swept, seed=self._study.seed, random_heads=self._random, criteria=self._request.criteria
            )

    def _texts(self) -> None:
        """Each chosen set off together, on the prompts it was not chosen on, with what both arms write."""
        study, request, swept = self._study, self._request, self._sweep_result
        self._chosen = [top for name in study.names for top in choose_top(swept, name, request.top_k, seed=study.seed)]
        ablations = [
            ablate(
                study.only(top.concept, top.prompts), top.heads,
                edits=request.edits, writing=request.writing, role="joint_top",
            )
            for top in self._chosen
        ]  # fmt: skip
        # All top sets are one choice of the run, so each outcome's tests of them are one family. Two concepts may have
        # one top set, whose damage to control text is then measured twice and said once.
        effects = effects_table([block for result in ablations for block in result.blocks], seed=study.seed)
        effects = effects.drop_duplicates(ignore_index=True)
        self._results["joint"] = Result({"effects": effects}, xr.Dataset(), {}, "effects")
        for number, result in enumerate(ablations):
            tables = {name: table for name, table in result.tables.items() if name != "effects"}
            self._results[f"joint-{number}"] = replace(result, tables=tables)
        deciding = [_deciding_row(result) for result in ablations]
        self._estimates = [float(row["estimate"]) for row in deciding]
        limits = self._limits
        self._too_small = [
            -limits[top.concept] < float(row["sim_low"]) and float(row["sim_high"]) < limits[top.concept]
            for top, row in zip(self._chosen, deciding, strict=True)
        ]

    def _nulls(self) -> None:
        request = self._request
        self._results["nulls"] = joint(
            self._study, self._sweep_result, self._chosen, self._estimates, too_small=self._too_small,
            n_random=request.n_random, all_sets=request.complete,
        )  # fmt: skip

    def _patching(self) -> None:
        """Heads patched alone; concepts that cannot be patched are left out, and the record says so."""
        study = self._study
        can = patchable_concepts(study)
        said = [
            f"{name} was not patched: none of its prompts matches a control token by token"
            for name in study.names
            if name not in can
        ]
        if not can:
            self._results["patch"] = Result({}, xr.Dataset(), {"warnings": said}, "patching")
            return
        heads = self._spec if self._request.complete else self._to_patch()
        patched = patch(study.only(can), heads, PatchRequest(each=True, alignment="exact"))
        record: Mapping[str, Any] = dict(patched.record) | {"warnings": [*said, *patched.warnings]}
        self._results["patch"] = Result(patched.tables, patched.values, record, patched.main)

    def _to_patch(self) -> HeadSet:
        """The heads that removal or a fast score names, and as many random ones.

        Each names of every concept its ``top_k`` largest at most, in a fast run its largest: removal those whose
        interval lies beyond the smallest effect that matters, a score those that it puts beyond it, and its first in
        any case.
        """
        study, request, swept = self._study, self._request, self._sweep_result
        most, limits = 1 if request.budget == "fast" else request.top_k, self._limits
        rows = swept.table[swept.table["outcome"].isin(PRIMARIES) & (swept.table["edit"] == DECIDING_EDIT)]
        limit = rows["concept"].map(limits)
        causal = rows[(rows["sim_high"] < -limit) | (rows["sim_low"] > limit)]
        largest = causal.loc[causal["estimate"].abs().sort_values(ascending=False, kind="stable").index]
        named = {head_of(str(spec)) for spec in largest.groupby("concept", sort=False).head(most)["heads"]}
        if self._fast is not None:
            for name in study.names:
                named.update(top_heads(self._fast.table, [name], most, beyond=limits[name]))
        if not named:
            named.update(head for top in self._choices() for head in top)
        chosen = HeadSet.of(named)
        return HeadSet.of([*chosen, *random_others(study.model, chosen, seed=study.seed)])

    def _choices(self) -> list[HeadSet]:
        """The top sets of every concept."""
        swept, k, seed = self._sweep_result, self._request.top_k, self._study.seed
        return [top.heads for name in self._study.names for top in choose_top(swept, name, k, seed=seed)]

    def _curves(self) -> None:
        request = self._request
        self._results["curves"] = curves(
            self._study, self._sweep_result, top_k=request.top_k, share=request.share, n_random=request.curve_sets,
            within_top=not request.complete,
        )  # fmt: skip

    def _negative_control(self) -> None:
        request = self._request
        self._results["negative_control"] = negative_control(
            self._study, self._results.get("screen"), edits=request.edits, heads=self._spec, criteria=request.criteria,
            whole=request.complete,
        )  # fmt: skip

    @property
    def _limits(self) -> dict[str, float]:
        """Concept -> the smallest effect that matters, in nats."""
        assay = self._sweep_result.tables["assay"].set_index("concept")["estimate"]
        return {name: self._request.criteria.threshold_nats(float(assay[name])) for name in self._study.names}

    @property
    def _sweep_result(self) -> SweepResult:
        if self._swept is None:
            raise AssertionError("a stage that needs the sweep is not begun without it")
        return self._swept

    # --- the folder --------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Tables, arrays and records of what was measured so far, and the report."""
        self._reports.wait()
        write_results(self._folder, {**self._results, **self._told()})
        self._reports.write()

    def _told(self) -> dict[str, Result]:
        """What follows from what was measured, without a further pass: reliability, ranking, verdicts."""
        request, results, swept = self._request, self._results, self._swept
        screened = results.get("screen")
        if screened is None and swept is None:
            return {}
        told: dict[str, Result] = {}
        judged = self._pace.stages["verdicts"].status == "done"
        if swept is not None and judged:
            told["reliability"] = reliability(
                screened, swept, top_k=request.top_k, seed=self._study.seed, criteria=request.criteria
            )
        measured = [result.tables["effects"] for result in results.values() if "effects" in result.tables]
        regions, probed = results.get("regions"), results.get("probe")
        told["rank"] = rank(
            screened,
            pd.concat(measured, ignore_index=True) if measured else None,
            assay=swept.tables["assay"] if swept is not None and judged else None,
            regions=None if regions is None else regions.table,
            probes=None if probed is None else probed.table,
            top_n=request.top_n, criteria=request.criteria,
        )  # fmt: skip
        return told


class _Reports:
    """Writes a run's report after each stage, beside the next one's passes where a core is free."""

    def __init__(self, folder: Run, languages: Sequence[str], *, beside: bool) -> None:
        self._folder, self._languages = folder, tuple(languages)
        self._pool = ThreadPoolExecutor(1) if beside else None
        self._pending: Future[Any] | None = None

    def __enter__(self) -> _Reports:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()

    def write(self) -> None:
        """Write the reports of the tables that are there, as those of a run that goes on."""
        if self._pool is None:
            write_report(self._folder, self._languages, status="running")
        else:
            self._pending = self._pool.submit(write_report, self._folder, self._languages, status="running")

    def wait(self) -> None:
        """Until the reports are written: nothing they read changes before."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def last(self, status: str) -> None:
        """Pictures, and the reports that show them."""
        write_plots(self._folder)
        if sentence := undrawn_labels(self._folder):
            self._folder.warn(sentence)
        write_report(self._folder, self._languages, status=status)


def _deciding_row(result: AblationResult) -> pd.Series:
    rows = result.table
    return rows[rows["outcome"].isin(PRIMARIES) & (rows["edit"] == DECIDING_EDIT)].iloc[0]
