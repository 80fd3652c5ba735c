"""The whole line in one call: screen every head, switch off every head, judge them, let the model speak, report.

1. Screen: where heads look, and by region of the text where they read.
2. Fast scores of every head by gradients.
3. Sweep: what changes when each head is off alone, every head (budget ``exact``) or the top of the fast scores and as
   many random ones (``fast``); fast and exact stand side by side.
4. For each concept the top heads together, chosen on one half of the templates and measured on the other, with text
   written by both arms, beside random sets of the same size; curves of growing sets.
5. Rank and judge.
6. Plots and report, from the run folder alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from headscope.engines.engine import Engine, Runner, in_process
from headscope.engines.parts import Part
from headscope.errors import RequestError
from headscope.heads import Head
from headscope.measure.gradients import check_gradients
from headscope.measure.passes import Progress
from headscope.measure.sampling import Sampling
from headscope.measure.texts import load_sentiment
from headscope.models.head_model import HeadModel
from headscope.plots.writing import undrawn_labels, write_plots
from headscope.profiles.types import Profile
from headscope.report.markdown import check_language
from headscope.report.writing import write_report
from headscope.runs.folder import Run
from headscope.stats import Criteria, effects_table
from headscope.verbs.ablate import AblationResult, ablate
from headscope.verbs.attribute import DEFAULT_STEPS, attribute, random_others, top_heads, verified
from headscope.verbs.budget import BUDGETS, choose_budget
from headscope.verbs.causal import PRIMARY
from headscope.verbs.curves import curves
from headscope.verbs.generated import check_texts_fit
from headscope.verbs.joint import ChosenSet, choose_top, joint
from headscope.verbs.keep import begin, keep
from headscope.verbs.negative_control import negative_control as with_random_words
from headscope.verbs.patch import patch
from headscope.verbs.patch_plan import patchable_concepts
from headscope.verbs.rank import rank
from headscope.verbs.regions import attention_by_region
from headscope.verbs.reliability import reliability
from headscope.verbs.request import batch_budget, chosen_concepts
from headscope.verbs.result import Result
from headscope.verbs.screen import screen
from headscope.verbs.smallest import check_share
from headscope.verbs.sweep import DECIDING_EDIT, sweep


def run(
    model: HeadModel,
    profile: Profile,
    out: str | Path | None = None,
    *,
    concepts: Sequence[str] | str | None = None,
    query: str | None = None,
    budget: str = "auto",
    edits: Sequence[str] = ("mean", "zero"),
    top_k: int = 4,
    top_n: int = 10,
    n_random: int = 100,
    sets: bool = True,
    patching: bool = True,
    negative_control: bool = False,
    criteria: Criteria | None = None,
    share: float = 0.5,
    max_tokens: int = 30,
    temperature: float = 1.0,
    top_p: float = 0.9,
    samples: int = 1,
    greedy: bool = False,
    stop_tokens: Sequence[str] = (),
    sentiment: str = "vader",
    allow_low_coverage: bool = False,
    chat_template: bool | str = False,
    languages: Sequence[str] = ("en", "ja"),
    seed: int = 0,
    batch_tokens: int | None = None,
    force: bool = False,
    sources: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    progress: Progress | None = None,
    resume: str = "auto",
    runner: Runner = in_process,
    part: Part | None = None,
) -> Run:
    """Screen, sweep, joint sets with text, ranking, verdicts, plots and report, kept in one run folder.

    Args:
        model: the model.
        profile: what is asked.
        out: the run folder; ``runs/<model>-<profile>-<digest>`` by default.
        concepts: only these; all by default.
        query: which tokens look, see ``screen``; by default ``readout``, the place where the causal outcome is read, so
            that both kinds of evidence are about the same place; ``last`` where the profile has no readouts.
        budget: ``exact``: sweep every head; ``fast``: only the ``top_n`` heads of each concept by the fast scores and
            as many random others. Then no row is confirmatory, and how many heads were missed is bounded from the
            random ones (``stats/fast_scores.py``). ``auto``: ``fast`` where a sweep of all heads would take hours, see
            ``verbs/budget.py``; the record has what was chosen.
        edits: kinds of edit; ``mean`` must be among them.
        top_k: heads switched off together.
        top_n: heads in the ranking of each concept.
        n_random: random sets beside each joint set.
        sets: also measure cumulative curves, leave-one-in and the smallest set, see ``curves``; not with a fast budget.
        share: of the concept that the smallest set is to remove.
        max_tokens: most new tokens a text; also ``temperature``, ``top_p``, ``samples``, ``greedy``: see ``ablate``.
        temperature: of sampling.
        top_p: of sampling.
        samples: texts for each prompt and arm.
        greedy: most probable tokens instead of sampling.
        stop_tokens: tokens that end a text beside EOS and, in a chat, the end of a turn.
        patching: also patch every swept head, both directions, where prompts match their controls token by token.
        negative_control: also sweep and judge with random words in place of the lexicons.
        criteria: what decides a verdict: from what size on an effect, and attention, matters.
        sentiment: ``vader``, or a transformers classifier.
        allow_low_coverage: see ``screen``.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        languages: of the report.
        seed: of everything random.
        batch_tokens: most tokens of a batch.
        force: derived files may be replaced.
        sources: where each option came from, for the record.
        command: the command line, for the record.
        progress: told how far the work is.
        resume: ``auto``: an unfinished run goes on; ``never``: it begins anew; ``require``: there must be one.
        runner: who runs the pieces of sweep, sets and texts; this process by default.
        part: run only these pieces of the sweep and keep them, for ``gather``.

    Raises:
        PartDone: the part is done.
        RunFinished: this request was served before; the folder stays as it is.
        RequestError, ProfileError: before anything is written.
    """
    names = chosen_concepts(profile, concepts)
    rules = criteria or Criteria()
    query = query or ("readout" if profile.readouts else "last")
    Sampling(max_tokens, temperature, top_p, samples, greedy)
    gradients = _check(budget, edits, top_k, top_n, model)
    check_language(*languages)
    check_texts_fit(model, profile, names, max_tokens, chat_template=chat_template)
    check_share(share)
    load_sentiment(sentiment)  # a scorer that is not there stops the run here, not hours later
    batch_plan = batch_budget(model, batch_tokens)
    choice = choose_budget(
        model, profile, budget, concepts=names, edits=edits, chat_template=chat_template, batch_tokens=batch_plan,
        no_gradients=gradients,
    )  # fmt: skip
    common: dict[str, Any] = {
        "seed": seed,
        "batch_tokens": batch_plan,
        "chat_template": chat_template,
        "progress": progress,
    }
    writing = {
        "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "samples": samples, "greedy": greedy,
        "sentiment": sentiment, "stop_tokens": list(stop_tokens),
    }  # fmt: skip
    options = {
        "concepts": list(names), "query": query, "budget": choice.budget, "edits": list(edits), "top_k": top_k,
        "top_n": top_n, "steps": DEFAULT_STEPS, "n_random": n_random,
        "sets": sets and choice.budget == "exact", "share": share,
        "patching": patching, "allow_low_coverage": allow_low_coverage, "chat_template": chat_template,
        "languages": list(languages), "criteria": vars(rules),
        **writing, **({"negative_control": True} if negative_control else {}),
    }  # fmt: skip
    folder = begin(
        "run", model, profile, options,
        out=out, seed=seed, batch_tokens=batch_plan, sources=sources, command=command, resume=resume, force=force,
    )  # fmt: skip
    with folder:
        clock = _Clock(folder)
        if choice.warning:
            folder.warn(choice.warning)
        causal: dict[str, Any] = {**common, "engine": Engine(folder.shards, runner, part)}
        results: dict[str, Result] = {}
        results["screen"] = screened = screen(
            model, profile, query=query, concepts=names, allow_low_coverage=allow_low_coverage, **common
        )
        clock.lap("screen")
        reading = {name: common[name] for name in ("batch_tokens", "chat_template", "progress")}
        results["regions"] = regions = attention_by_region(model, profile, concepts=names, **reading)
        clock.lap("regions")
        fast = None
        if gradients is None:
            fast = attribute(model, profile, concepts=names, steps=DEFAULT_STEPS, verify=0, **common)
        clock.lap("attribute")
        random: tuple[Head, ...] = ()
        spec = "*"
        if fast is not None and choice.budget == "fast":
            top = top_heads(fast.table, names, top_n)
            random = random_others(model, top, seed=seed)
            spec = ",".join(map(str, sorted((*top, *random))))
        results["sweep"] = swept = sweep(model, profile, concepts=names, edits=edits, heads=spec, **causal)
        clock.lap("sweep")
        if fast is None:
            folder.warn(f"no fast scores: {gradients}")
        else:
            results["attribute"] = verified(fast, swept, seed=seed, random_heads=random, criteria=rules)
        chosen = [one for name in names for one in choose_top(swept, name, top_k, seed=seed)]
        together, estimates = _top_sets(model, profile, chosen, edits, writing | causal)
        results |= together
        clock.lap("joint")
        results["nulls"] = joint(model, profile, swept, chosen, estimates, n_random=n_random, **causal)
        clock.lap("nulls")
        if negative_control:
            results["negative_control"] = with_random_words(
                model, profile, screened, concepts=names, edits=edits, heads=spec, criteria=rules, **causal
            )
            clock.lap("negative_control")
        if options["sets"]:
            results["curves"] = curves(model, profile, swept, top_k=top_k, share=share, **causal)
            clock.lap("curves")
        if patching:
            results["patch"] = _patched(model, profile, names, spec, causal)
            clock.lap("patch")
        effects = pd.concat([r.tables["effects"] for r in results.values() if "effects" in r.tables], ignore_index=True)
        results["reliability"] = reliability(screened, swept, top_k=top_k, seed=seed, criteria=rules)
        results["rank"] = rank(
            screened, effects, assay=swept.tables["assay"], regions=regions.table, top_n=top_n, criteria=rules
        )
        keep(folder, results)
        write_plots(folder)
        if sentence := undrawn_labels(folder):
            folder.warn(sentence)
        write_report(folder, languages=tuple(languages))
        clock.lap("report")
    return folder


def _top_sets(
    model: HeadModel, profile: Profile, chosen: Sequence[ChosenSet], edits: Sequence[str], settings: Mapping[str, Any]
) -> tuple[dict[str, Result], list[float]]:
    """Each chosen set off together, on the prompts it was not chosen on; and its effect on the primary outcome."""
    done = [
        ablate(
            model,
            profile,
            one.heads,
            concept=one.concept,
            prompts=one.prompts,
            role="joint_top",
            edits=edits,
            **settings,
        )
        for one in chosen
    ]
    # All top sets are one choice of the run, so each outcome's tests of them are one family.
    effects = effects_table([block for one in done for block in one.blocks], seed=settings["seed"])
    results: dict[str, Result] = {"joint": Result({"effects": effects}, xr.Dataset(), {}, "effects")}
    for number, one in enumerate(done):
        tables = {name: table for name, table in one.tables.items() if name != "effects"}
        results[f"joint-{number}"] = replace(one, tables=tables)
    return results, [_joint_estimate(one) for one in done]


def _patched(model: HeadModel, profile: Profile, names: Sequence[str], spec: str, common: Mapping[str, Any]) -> Result:
    """Every swept head patched alone; concepts that cannot be patched are left out, and the record says so."""
    can = patchable_concepts(model, profile, names, chat_template=common["chat_template"])
    said = [
        f"{name} was not patched: none of its prompts matches a control token by token"
        for name in names
        if name not in can
    ]
    if not can:
        return Result({}, xr.Dataset(), {"warnings": said}, "patching")
    done = patch(model, profile, spec, concepts=can, each=True, alignment="exact", **common)
    return Result(done.tables, done.values, dict(done.record) | {"warnings": [*said, *done.warnings]}, done.main)


class _Clock:
    """Seconds by stage, into the manifest."""

    def __init__(self, folder: Run) -> None:
        self._folder, self._last = folder, time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self._folder.update(timings={stage: round(now - self._last, 3)})
        self._last = now


def _check(budget: str, edits: Sequence[str], top_k: int, top_n: int, model: HeadModel) -> str | None:
    """Raise RequestError where the request does not fit; returns why there can be no fast scores, None where they can.

    Without gradients a fast budget cannot be kept; an exact one does without them.
    """
    if budget not in BUDGETS:
        raise RequestError(f'budget "{budget}" does not exist', expected=", ".join(BUDGETS), got=budget)
    if DECIDING_EDIT not in edits:
        raise RequestError(f'the edit "{DECIDING_EDIT}" decides and cannot be left out', got=", ".join(edits))
    n_heads = sum(model.heads_per_layer)
    for name, value in (("top_k", top_k), ("top_n", top_n)):
        if not 1 <= value <= n_heads:
            raise RequestError(
                f"{name} does not fit the model",
                expected=f"1 to {n_heads}, its number of heads",
                got=str(value),
                fix=f"--{name.replace('_', '-')} {n_heads}",
            )
    try:
        check_gradients(model)
    except RequestError as refused:
        if budget == "fast":
            raise
        return refused.problem
    return None


def _joint_estimate(done: AblationResult) -> float:
    rows = done.table
    mine = rows[(rows["outcome"] == PRIMARY) & (rows["edit"] == DECIDING_EDIT)]
    return float(mine["estimate"].iloc[0])
