"""A run as Markdown: the study's sections, in English or Japanese, from tables and facts alone.

1. Facts and findings are made once, without language.
2. Tables become cells, findings become sentences, in the chosen language.
3. The language's template puts them in order. Both languages get the same cells, so they say the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from headscope.errors import RequestError
from headscope.plots.selecting import OVERALL
from headscope.report import cells, fast_cells, patch_cells
from headscope.report.control import control_of
from headscope.report.escaping import block, code, plain
from headscope.report.facts import RunFacts, facts_of
from headscope.report.findings import ConceptFindings, findings_of
from headscope.report.numbers import count, number, share
from headscope.report.phrases import Language, named, text_of
from headscope.report.phrases_en import English
from headscope.report.phrases_ja import Japanese
from headscope.stats.evidence import MINIMUM_SHARE

LANGUAGES: Mapping[str, Language] = {"en": English(), "ja": Japanese()}
EXPECTED_TABLES = (
    "coverage",
    "screen",
    "assay",
    "effects",
    "ranking",
    "layers",
    "verdicts",
    "texts",
    "nulls",
    "areas",
    "patching",
)


def check_language(*languages: str) -> None:
    """Raise RequestError where a report cannot be written in one of them."""
    for name in languages:
        if name not in LANGUAGES:
            raise RequestError(f'no report can be written in "{name}"', expected=" or ".join(LANGUAGES), got=name)


def render_markdown(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any], language: str) -> str:
    """The report as one Markdown document.

    Args:
        tables: the run's tables, by name; any of them may be missing, and the report then says so.
        facts: the manifest as a mapping, with ``figures`` (paths of pictures relative to the report) and ``artifacts``
            (paths of the run's files) added.
        language: ``en`` or ``ja``.

    Raises:
        RequestError: another language was asked for.
    """
    check_language(language)
    words = LANGUAGES[language]
    present = {name: table for name, table in tables.items() if len(table)}
    known = facts_of(facts, present)
    template = _environment().get_template(f"report.{language}.md.j2")
    return template.render(report_context(present, known, findings_of(present), words)).strip() + "\n"


def report_context(
    tables: Mapping[str, pd.DataFrame], facts: RunFacts, findings: list[ConceptFindings], words: Language
) -> dict[str, Any]:
    """What the templates are filled with; cells and sentences are Markdown."""
    looked = [found for found in findings if found.looked]
    sets = [one for found in findings for one in found.sets]
    both = [found for found in looked if found.alone]
    return {
        "facts": facts,
        "findings": findings,
        "words": words,
        "missing_tables": [name for name in EXPECTED_TABLES if name not in tables],
        "coverage": cells.coverage_table(findings),
        "coverage_notes": coverage_notes(tables),
        "assay": cells.assay_cells(findings, words),
        "screens": [(found, cells.screen_cells(found, words)) for found in looked],
        "comparisons": [(one, cells.comparison_cells(one, words)) for one in sets],
        "joint": cells.set_cells(findings, words),
        "reliability": cells.reliability_cells(tables),
        "areas": cells.area_cells(findings),
        "smallest": cells.smallest_cells(findings),
        "marginals": [(found, cells.marginal_cells(found)) for found in findings if found.marginals],
        "examples": [(one, cells.example_cells(tables["texts"], one)) for one in sets if "texts" in tables],
        "rankings": _rankings(tables),
        "layers": _layers(tables),
        "besides": [(found, cells.beside_cells(tables, found.concept, words)) for found in both],
        "agreement": fast_cells.agreement_cells(tables),
        "agreement_notes": fast_cells.agreement_notes(tables),
        "disagreements": fast_cells.disagreement_cells(tables),
        "repairs": fast_cells.repair_cells(tables),
        **_patching(tables, findings, words),
        "verdict_counts": cells.verdict_counts(findings, words),
        "verdicts": [(found, cells.verdict_cells(found, words)) for found in findings if found.verdicts],
        "control": control_of(tables),
        "figures": [(path, _stem(path)) for path in facts.figures],
        "n_confirmatory": n_confirmatory(tables),
        "threshold": thresholds(findings),
        "smallest_share": next((found.threshold_share for found in findings), MINIMUM_SHARE),
        "smallest_templates": min((one.n_templates for found in findings for one in found.looked), default=0),
    }


def _patching(tables: Mapping[str, pd.DataFrame], findings: list[ConceptFindings], words: Language) -> dict[str, Any]:
    patching, dissociation = tables.get("patching"), tables.get("dissociation")
    known = [] if patching is None else [(one, patch_cells.patch_cells(patching, one)) for one in findings]
    texts = tables.get("texts")
    written = [] if patching is None else [(one, patch_cells.written_cells(patching, one, words)) for one in findings]
    return {
        "patches": [(found, rows) for found, rows in known if rows.rows],
        "patch_texts": [
            (one, rows, cells.Table() if texts is None else patch_cells.written_examples(texts, one, words))
            for one, rows in written
            if rows.rows
        ],
        "patch_agreement": cells.Table() if patching is None else patch_cells.agreement_cells(patching, findings),
        "dissociation": cells.Table() if dissociation is None else patch_cells.dissociation_cells(dissociation, words),
    }


def coverage_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What the coverage table remarks, each remark once."""
    coverage = tables.get("coverage")
    if coverage is None or "note" not in coverage.columns:
        return []
    return [str(note) for note in dict.fromkeys(coverage["note"].dropna()) if str(note)]


def _rankings(tables: Mapping[str, pd.DataFrame]) -> dict[str, cells.Table]:
    ranking = tables.get("ranking")
    if ranking is None:
        return {}
    present = dict.fromkeys(map(str, ranking.loc[ranking["concept"] == OVERALL, "by"]))
    return {by: cells.ranking_cells(ranking, by) for by in present}


def _layers(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, cells.Table]]:
    layers = tables.get("layers")
    if layers is None:
        return []
    return [(str(name), cells.layer_cells(layers, str(name))) for name in dict.fromkeys(layers["concept"])]


def n_confirmatory(tables: Mapping[str, pd.DataFrame]) -> int:
    """How many rows of the effects are confirmatory."""
    effects = tables.get("effects")
    return 0 if effects is None else int((effects["status"] == "confirmatory").sum())


def thresholds(findings: list[ConceptFindings]) -> list[tuple[str, float]]:
    """The smallest effect that matters, for each concept with verdicts."""
    return [(found.concept, float(found.verdicts[0]["threshold_nats"])) for found in findings if found.verdicts]


def _stem(path: str) -> str:
    return path.split("/")[-1].rsplit(".", 1)[0]


def _table(headers: list[str], table: cells.Table) -> str:
    """A Markdown table with its notes; first columns left, numbers right."""
    width = len(headers)
    lines = [headers, [":--" if column == 0 else "--:" for column in range(width)], *table.rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return text + "".join(f"\n\n{note}" for note in table.notes)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("headscope.report"),
        autoescape=False,  # noqa: S701 - Markdown; every text goes through `plain` or `code`  # nosec B701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        plain=plain,
        code=code,
        block=block,
        number=number,
        count=count,
        share=share,
        named=named,
        text_of=text_of,
        link=quote,
    )
    environment.globals["table"] = _table  # pyright: ignore[reportArgumentType] - jinja2 types its globals too narrowly
    return environment
