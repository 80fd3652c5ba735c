"""Writes the measured sections of docs/steering.md from two finished runs of ``headscope steer``.

python -m docs.steering DEMO SMOLLM2

The runs are those of the commands that the page names. Their small tables stand beside the page in
docs/findings/steering/, their figures in docs/images/; every number of the sections is made from a table.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pandas as pd

from headscope.runs.folder import Run
from headscope.stats.dose_response import dose_sentence
from headscope.terms import KL, PERPLEXITY_RATIO, PRIMARIES, RESIDUAL

PAGE = Path(__file__).with_name("steering.md")
KEPT = Path(__file__).with_name("findings") / "steering"
IMAGES = Path(__file__).with_name("images")
TITLES = {"demo": "the bundled model", "smollm2": "SmolLM2-135M-Instruct"}


def section(name: str, run: Run) -> str:
    """What one run found: command, verdict, doses, figure, one text."""
    response, steering = run.table("dose_response"), run.table("steering")
    lines = ["", "```text", _command(run), "```", ""]
    for row in response[response["role"] != RESIDUAL].to_dict("records"):
        lines += [f"**{row['verdict']}**: {dose_sentence(row, steering)}.", ""]
        lines += [f"Why: {row['reason']}.", ""]
    lines += [*_doses(response, steering), ""]
    lines += [f"![effect against damage, dose by dose, {TITLES[name]}](images/steering_{name}.png)", ""]
    lines += [*_text(run), ""]
    return "\n".join(lines)


def _command(run: Run) -> str:
    words = [Path(word).name if word.endswith(".gguf") else word for word in run.manifest.command]
    words = [
        f"runs/{Path(word).name}" if before == "--out" else word
        for before, word in zip(["", *words], words, strict=False)
    ]
    return shlex.join(words)


def _doses(response: pd.DataFrame, steering: pd.DataFrame) -> list[str]:
    titles = ("what is pushed", "dose", "effect (nats)", "other concepts (nats)", "perplexity ratio of control text")
    lines = ["| " + " | ".join([*titles, "KL (nats a token)"]) + " |", "|---|--:|--:|--:|--:|--:|"]
    for one in response.to_dict("records"):
        mine = steering[(steering["heads"] == one["heads"]) & (steering["role"] == one["role"])]
        for dose, rows in mine.groupby("dose"):
            of = {row["outcome"]: row for row in rows.to_dict("records")}
            effect = next(of[name] for name in PRIMARIES if name in of)
            what = "residual stream" if one["role"] == RESIDUAL else one["heads"]
            others = [f"{name.partition(':')[2]} {row['estimate']:+.2f}" for name, row in of.items() if _of_other(name)]
            cells = [what, f"{dose:g}", _with_ends(effect, "+.2f"), ", ".join(others)]
            cells.append(_with_ends(of[PERPLEXITY_RATIO], ".3f"))
            lines.append("| " + " | ".join([*cells, f"{of[KL]['estimate']:.3f}"]) + " |")
    return lines


def _of_other(outcome: str) -> bool:
    own, _, other = outcome.partition(":")
    return own in PRIMARIES and bool(other)


def _with_ends(row: dict[object, object], form: str) -> str:
    return "{:{f}} [{:{f}}, {:{f}}]".format(*(row[key] for key in ("estimate", "ci_low", "ci_high")), f=form)


def _text(run: Run) -> list[str]:
    """Baseline beside steered at the largest dose, of the profile's first prompt: a rule that looks at no result."""
    if "texts" not in run.tables:
        return []
    texts = run.table("texts")
    first = texts[texts["prompt_id"] == texts["prompt_id"].iloc[0]]
    row = first.loc[first["dose"].idxmax()]
    shown = {key: " ".join(str(row[key]).split()) for key in ("prompt", "baseline_text", "edited_text")}
    return [
        f"The first prompt of the profile, at the largest dose ({row['dose']:g}), whatever it says:",
        "",
        f"> *{shown['prompt']}*",
        ">",
        f"> unedited: {shown['baseline_text']}",
        ">",
        f"> steered: {shown['edited_text']}",
    ]


def keep(name: str, run: Run) -> None:
    """The small tables and the figure of a run beside the page."""
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    steering = run.table("steering")
    asked = steering["outcome"].isin([*PRIMARIES, PERPLEXITY_RATIO, KL])
    kept = steering[asked | steering["outcome"].map(_of_other)]
    run.table("dose_response").to_csv(KEPT / name / "dose_response.csv", index=False)
    kept.to_csv(KEPT / name / "steering.csv", index=False)
    (figure,) = sorted((run.path / "plots").glob("dose_response_*.png"))
    shutil.copyfile(figure, IMAGES / f"steering_{name}.png")


def main(demo: str, smollm2: str) -> None:
    """Write the sections."""
    page = PAGE.read_text(encoding="utf-8")
    for name, folder in (("demo", demo), ("smollm2", smollm2)):
        run = Run.open(folder)
        keep(name, run)
        begin, end = f"<!-- begin: {name}, written by docs/steering.py -->\n", f"<!-- end: {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + section(name, run) + end + rest.partition(end)[2]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
