"""headscope, as its verbs call it, and with its optimisations off."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr
from serving import InParts, Way, serve
from whole import timed

from headscope.heads import Head, HeadSet
from headscope.measure.attention import Probe, read_probes
from headscope.measure.edits import Arm, ArmValues
from headscope.measure.forced import ForcedPasses
from headscope.measure.generation import TextPasses
from headscope.measure.layout import PromptLayout
from headscope.measure.lexicons import ConceptTokens, LexiconTokens
from headscope.measure.outcomes import lexicon_outcomes
from headscope.measure.sampling import Sampling
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.memory_budget import most_batch_tokens
from headscope.plots.writing import write_plots
from headscope.profiles.loading import load_profile
from headscope.report.writing import write_report
from headscope.runs.folder import Run
from headscope.settings import Keeping, Writing
from headscope.stats import effects_table
from headscope.study import Study
from headscope.terms import REQUESTED
from headscope.tokens import Row, Tokens, tree_row
from headscope.verbs.ablate import AblationResult, ablate
from headscope.verbs.continuations import (
    generated_blocks,
    sampling_of,
    scorer_of,
    study_metrics,
    texts_table,
    write_texts,
    writing_facts,
)
from headscope.verbs.effect_rows import edited_sets
from headscope.verbs.run_folder import begin_run, write_results
from headscope.verbs.screen import screen as screen_verb
from headscope.verbs.sweep import sweep as sweep_verb


def asked(name: str, n_prompt: int, sequences: list[list[int]], *, pack: bool) -> PromptLayout:
    """A prompt and its readouts, made of ids."""
    tokens = [Tokens(tuple(ids), ((0, 0),) * len(ids), "", 1) for ids in sequences]
    prompt = Tokens(tuple(sequences[0][:n_prompt]), ((0, 0),) * n_prompt, "", 1)
    rows: tuple[Row, ...] = (tree_row(sequences),) if pack else tuple(tree_row([ids]) for ids in sequences)
    members = (tuple(range(len(sequences))),) if pack else tuple((index,) for index in range(len(sequences)))
    return PromptLayout(name, "concept", "template", prompt, tuple(tokens), rows, members)


def _phase6(model: HeadModel, task: dict[str, Any], *, ours: bool) -> list[int]:
    """Screening and ablation of the study's design, each with its tests, run folder, plots and report.

    ``ours``: log-odds after readouts and damage too, which the study does not measure.
    """
    profile = load_profile("baseline")
    head = "{}:{}".format(*task["head"])
    with TemporaryDirectory() as scratch:
        study = Study(model, profile, batch_tokens=most_batch_tokens(model))
        screened = screen_verb(study, protocol="phase6")
        writing = Writing(max_tokens=task["max_tokens"], greedy=True, stop_at_eos=False, keyword_counting="phase6")
        ablation = ablate if ours else _texts_alone
        ablated = ablation(study.only("gratitude"), head, edits=["zero_keep_bias"], writing=writing)
        for verb, result in (("screen", screened), ("ablate", ablated)):
            with begin_run(verb, study, {}, Keeping(Path(scratch) / verb)) as folder:
                write_results(folder, {verb: result})
            with Run.open(folder.path, write=True) as opened:
                write_plots(opened)
                write_report(opened, languages=("en",))
    return []


def _texts_alone(study: Study, heads: str, *, edits: list[str], writing: Writing) -> AblationResult:
    """Of ``ablate`` what the study measures: texts of both arms, their counts and sentiment, with tests."""
    edited = edited_sets([study.model.head_set(heads)], edits, REQUESTED)
    sampling, scorer = sampling_of(study, writing), scorer_of(study, writing)
    written = write_texts(study, edited, sampling, scorer, writing.keyword_counting)
    metrics = study_metrics(written, scorer, tuple(study.profile.concepts), writing.keyword_counting)
    blocks = generated_blocks(study, edited, written, writing.scope)
    tables = {
        "effects": effects_table(blocks, seed=study.seed),
        "texts": texts_table(study, [edit.arm for edit in edited], written),
    }
    record = writing_facts(study, sampling, scorer) | {
        "heads": heads, "edits": edits, "keyword_counting": writing.keyword_counting, "warnings": [],
        "baseline_metrics": metrics[0], "edited_metrics": {edits[0]: metrics[1]}, "seed": study.seed,
        "concepts": list(study.names),
    }  # fmt: skip
    return AblationResult(tables, xr.Dataset(), record, "effects", tuple(blocks))


def _whole(model: HeadModel, task: dict[str, Any]) -> InParts:
    """Its verbs, with their tests and intervals and the outcomes that rivals leave out; values as rivals give them."""
    once: dict[str, float] = {}
    heads, written = (",".join(f"{layer}:{head}" for layer, head in task[part]) for part in ("heads", "written"))
    study = Study(model, load_profile("baseline")).only(task["concept"], task["names"])
    with timed(once, "attention"):
        attention = screen_verb(study).values["attention"].sel(prompt=task["names"])
    with timed(once, "texts of both arms, their log-odds and damage; means over control prompts"):
        writing = Writing(max_tokens=task["max_tokens"], greedy=True, stop_at_eos=False)
        ablate(study, written, edits=["mean"], writing=writing)
    swept = sweep_verb(study, heads=heads, edits=["mean"]).values
    log_odds = swept["edited"].sel(lexicon=task["concept"], prompt=task["names"])
    looks = [attention.sel(layer=layer, head=head) for layer, head in task["heads"]]
    return InParts(np.concatenate([log_odds, looks], axis=1), once)


def load(folder: str) -> dict[str, Way]:
    """What it can do with the checkpoint."""
    model = load_model(folder)
    halved = cache(partial(load_model, folder, dtype="bfloat16"))

    def screen(task: dict[str, Any], *, pack: bool, model: HeadModel = model) -> np.ndarray:
        probes = [
            Probe(index, (len(ids) - 1,), tuple(keys))
            for index, (ids, keys) in enumerate(zip(task["sequences"], task["keys"], strict=True))
        ]
        read = read_probes(model, task["sequences"], probes, batch_tokens=most_batch_tokens(model), pack=pack)
        return read["attention"]

    def write(task: dict[str, Any]) -> list[Any]:
        prompts = [asked(str(i), len(ids), [ids], pack=False) for i, ids in enumerate(task["sequences"])]
        arms = [None, Arm(HeadSet((Head(*task["head"]),)), "zero")]
        sampling = Sampling(max_tokens=task["max_tokens"], greedy=True, stop_at_eos=False)
        texts = TextPasses(
            model, prompts, arms, sampling, states=ArmValues(model), batch_tokens=most_batch_tokens(model)
        ).write()
        return [[text for (text,) in arm] for arm in texts]

    def sweep(task: dict[str, Any], *, pack: bool, skip: bool) -> np.ndarray:
        n = task["n_readouts"]
        groups = [task["sequences"][start : start + n] for start in range(0, len(task["sequences"]), n)]
        prompts = [
            asked(str(i), length, group, pack=pack)
            for i, (group, length) in enumerate(zip(groups, task["prompt_lengths"], strict=True))
        ]
        lexicon, control = (LexiconTokens(tuple(task[name]), {}, {}) for name in ("words", "controls"))
        outcomes = list(lexicon_outcomes([[ConceptTokens("concept", lexicon, control, {})]] * n).values())
        arms = [Arm(HeadSet((Head(*head),)), "zero") for head in task["heads"]]
        can_skip, model.skips_lower_blocks = model.skips_lower_blocks, model.skips_lower_blocks and skip
        passes = ForcedPasses(
            model, prompts, outcomes, damage_on=frozenset(), states=None, batch_tokens=most_batch_tokens(model)
        )
        measured = passes.measure(arms)
        model.skips_lower_blocks = can_skip
        return measured.edited[outcomes[0].name]

    return {
        "phase6/recommended": partial(_phase6, model, ours=True),
        "phase6/its outcomes": partial(_phase6, model, ours=False),
        "whole/recommended": partial(_whole, model),
        "growth/recommended": lambda task: screen(task, pack=True),
        "screen/recommended": lambda task: screen(task, pack=True),
        "screen/unpacked": lambda task: screen(task, pack=False),
        "screen/bfloat16": lambda task: screen(task, pack=True, model=halved()),
        "long/recommended": lambda task: screen(task, pack=False),
        "generate/recommended": write,
        "sweep/recommended": lambda task: sweep(task, pack=True, skip=True),
        "sweep/unpacked": lambda task: sweep(task, pack=False, skip=True),
        "sweep/plain": lambda task: sweep(task, pack=False, skip=False),
    }


serve(["torch", "transformers", "headscope"], load)
