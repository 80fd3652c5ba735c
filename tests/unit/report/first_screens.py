"""Runs whose first screen is known, made from the fake tables, and what is seen of it on the page and in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from headscope.report.markdown import markdown_of
from headscope.report.run_report import RunReport, content_of
from headscope.report.summary_blocks import summary_section
from headscope.report.summary_page import summary_html
from headscope.report.summary_telling import Links, fine_told, told_of
from tests.unit.report.fake_tables import fake_facts

Tables = dict[str, pd.DataFrame]
LANGUAGES = ("en", "ja")
PLACES = {key: f"evidence.md#{key}" for key in ("assay", "judged", "joint", "ablation")}
CASES = ("carrier", "shared", "none", "undecided", "harm", "suppressor", "unshown", "unmeasured")


def judged_as(
    tables: Tables, heads: Mapping[str, tuple[str, float, float, float]], harm: tuple[float, float]
) -> Tables:
    """Gratitude's single heads with verdicts, effects and half widths of one's choice; all others without effect."""
    verdicts = tables["verdicts"].copy()
    columns = ["verdict", "estimate", "sim_low", "sim_high", "templates_needed"]
    alone = (verdicts["concept"] == "gratitude") & ~verdicts["heads"].str.contains(",")
    verdicts.loc[alone, columns] = ["no effect", 0.001, -0.01, 0.012, float("nan")]
    for name, (verdict, estimate, half, needed) in heads.items():
        at = alone & (verdicts["heads"] == name)
        verdicts.loc[at, columns] = [verdict, estimate, estimate - half, estimate + half, needed]
        verdicts.loc[at, ["perplexity_ratio_low", "perplexity_ratio_high"]] = harm
    return {**tables, "verdicts": verdicts}


def case_of(name: str, tables: Tables) -> Tables:
    """The tables of a run whose first concept comes out one way; see ``CASES``."""
    nan, fine = float("nan"), (0.981, 1.013)
    match name:
        case "carrier":
            heads = {"2:1": ("carrier", -2.345, 0.4, nan), "0:3": ("attends only", 0.01, 0.02, nan)}
            return judged_as(tables, heads, fine)
        case "shared":
            heads = {"2:1": ("undecided", -3.5, 3.4, 91.0), "1:1": ("shared carrier", -2.1, 0.3, nan)}
            return judged_as(tables, heads, fine)
        case "none":
            return judged_as(tables, {}, fine)
        case "undecided":
            heads = {
                "1:2": ("undecided", -0.5, 0.41, 57.0),
                "3:0": ("undecided (damage not bounded)", -0.9, 0.2, 123456.0),
                "0:2": ("undecided (edit-dependent)", 0.6, 0.1, nan),
            }
            return judged_as(tables, heads, (0.961, 1.087))
        case "harm":
            return judged_as(tables, {"1:2": ("general damage", -4.2, 0.41, nan)}, (1.11, 1.32))
        case "suppressor":
            return judged_as(tables, {"1:2": ("suppressor", 1.2, 0.3, nan)}, fine)
        case "unshown":
            assay = tables["assay"].copy()
            assay.loc[assay["concept"] == "gratitude", ["estimate", "ci_low", "ci_high", "shown"]] = [
                0.1,
                -0.2,
                0.4,
                False,
            ]
            return {**tables, "assay": assay}
        case _:
            verdicts = tables["verdicts"].assign(verdict="no verdict")
            return {name: table for name, table in tables.items() if name != "assay"} | {"verdicts": verdicts}


def longest(tables: Tables) -> Tables:
    """As many words as may come: long verdicts, several sets, an open harm, an accuracy."""
    heads = {f"{n}:0": ("carrier, reading elsewhere (specificity not tested)", -2.0, 0.3, 999.0) for n in range(3)}
    heads |= {f"{n}:1": ("undecided (damage not bounded)", -1.0, 0.3, 999.0) for n in range(4)}
    effects = tables["effects"]
    other = effects[(effects["heads"] == "1:3,3:2") & (effects["role"] == "joint_top")].assign(heads="0:1,1:3,2:2,3:2")
    longer = judged_as({**tables, "effects": pd.concat([effects, other], ignore_index=True)}, heads, (0.9, 1.2))
    row = {"concept": "gratitude", "estimate": 0.97, "ci_low": 0.91, "ci_high": 1.0, "control_mean": 0.1}
    return {**longer, "accuracy": pd.DataFrame([row])}


def run_of(tables: Tables, language: str, **facts: Any) -> RunReport:
    """A run of these tables, told in a language."""
    return content_of(tables, {**fake_facts(), **facts}).told_in(language)


def bare(markup: str) -> str:
    """The words that are seen: folded text is not, and tags are none."""
    shown = re.sub(r"<details.*?</details>", " ", markup, flags=re.S)
    return " ".join(
        html.unescape(re.sub(r"<(/?)(dt|dd|li|p|h2|div|article|dl|ul)\b[^>]*>|<[^>]*>", _gap, shown)).split()
    )


def _gap(tag: re.Match[str]) -> str:
    return " " if tag[2] else ""


def on_page(run: RunReport) -> list[str]:
    """What is seen of each concept on the page."""
    return [bare(box) for box in re.findall(r"<article.*?</article>", str(summary_html(run, {})), re.S)]


def in_markdown(run: RunReport) -> list[str]:
    """What is seen of each concept in the Markdown report."""
    text = markdown_of([summary_section(run, {})], run.words).replace("*", "")
    fine = fine_told(run, told_of(run, Links({}))).replace("*", "")
    text = text.split(fine or "\0")[0].split(f"### {run.words('summary.pair')}")[0]
    return [" ".join(part.split()) for part in text.split("\n### ")[1:]]
