"""Patching in report and picture: the numbers of the tables, nothing else."""

import numpy as np
import pandas as pd
import pytest

from headscope.plots.patch_heatmap import lone_patches, patch_heatmap, patch_heatmap_figure
from headscope.report import render_evidence, render_markdown
from headscope.report.document import Verbatim
from headscope.report.findings import findings_of
from headscope.report.numbers import interval, number
from headscope.report.patch_cells import dissociation_table, patch_table, removal_table, written_examples
from headscope.report.telling import Teller
from headscope.report.words import words_of
from headscope.stats.patching import PatchedOutcome, patch_blocks, written_patches
from headscope.stats.tables import patching_table
from tests.unit.report.fake_patching import SETTINGS, TEMPLATES, fake_patching
from tests.unit.report.fake_tables import CONCEPTS, fake_tables


@pytest.fixture(scope="module")
def tables():
    return fake_tables() | fake_patching()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_report_shows_both_directions_in_place_of_the_preparation(tables, language):
    text = render_evidence(tables, {}, language)
    section = text.split("## 14. ")[1].split("## 15. ")[0]
    rows = lone_patches(tables["patching"])
    for concept in CONCEPTS:
        for direction in ("sufficiency", "necessity"):
            part = rows[(rows["concept"] == concept) & (rows["direction"] == direction)]
            strongest = part.loc[part["estimate"].abs().idxmax()]
            assert number(strongest["estimate"]) in section
    for row in tables["dissociation"].to_dict("records"):
        assert number(row["estimate"]) in section
    without = render_evidence({k: v for k, v in tables.items() if k not in ("patching", "dissociation")}, {}, language)
    assert without.split("## 14. ")[1] != text.split("## 14. ")[1]
    assert "`patching`" in without


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_short_report_names_the_strongest_patch_with_the_interval_that_holds_for_all(tables, language):
    rows = lone_patches(tables["patching"])
    text = render_markdown(tables, {}, language)
    section = text.split(f". {words_of(language)('short.patching.title')}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][-len(CONCEPTS) :]
    for concept, line in zip(CONCEPTS, lines, strict=True):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for direction, sign, at in (("sufficiency", 1, 1), ("necessity", -1, 4)):
            part = rows[(rows["concept"] == concept) & (rows["direction"] == direction)]
            first = part.loc[(sign * part["estimate"]).idxmax()]
            ends = interval(first["sim_low"], first["sim_high"])
            named = [f"L{first['layer']}H{first['head']}", f"{number(first['estimate'])} {ends}"]
            assert cells[at : at + 2] == named


def test_cells_are_sorted_by_size_and_stand_beside_the_removal(tables):
    found = findings_of(tables)
    for one in found:
        cells = patch_table(tables["patching"], one, top_n=16)
        sizes = [max(abs(float(row[2].replace("−", "-"))), abs(float(row[7].replace("−", "-")))) for row in cells.rows]
        assert sizes == sorted(sizes, reverse=True)
        removed = {effect.heads: number(effect.estimate) for effect in one.alone}
        assert [row[1] for row in cells.rows] == [removed[f"{row[0][1]}:{row[0][3]}"] for row in cells.rows]


def test_agreement_names_the_strongest_head_of_each_kind(tables):
    found = findings_of(tables)
    rows = lone_patches(tables["patching"])
    for one, cells in zip(found, removal_table(tables["patching"], found).rows, strict=True):
        mine = rows[rows["concept"] == one.concept].set_index("heads")
        brings = mine.loc[mine["direction"] == "sufficiency", "estimate"].idxmax()
        takes = mine.loc[mine["direction"] == "necessity", "estimate"].idxmin()
        layers = [f"L{heads.replace(':', 'H')}" for heads in (one.alone[0].heads, brings, takes)]
        assert [cells[1], cells[2], cells[4]] == layers


def test_dissociation_marks_only_double_wins(tables):
    cells = dissociation_table(tables["dissociation"], Teller(words_of("en")))
    assert [row[-1] == "✓" for row in cells.rows] == tables["dissociation"]["double"].tolist()


@pytest.mark.parametrize("direction", ["sufficiency", "necessity"])
def test_a_panel_holds_the_tables_numbers(tables, direction):
    ax = patch_heatmap(tables["patching"], concept="anger", direction=direction)
    rows = lone_patches(tables["patching"])
    rows = rows[(rows["concept"] == "anger") & (rows["direction"] == direction)]
    drawn = ax.collections[0].get_array()
    for row in rows.to_dict("records"):
        assert drawn[row["layer"], row["head"]] == row["estimate"]


def test_what_is_brought_stands_left_of_what_is_taken(tables):
    figure = patch_heatmap_figure(tables["patching"])
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == [f"{concept}, {direction}" for concept in CONCEPTS for direction in ("sufficiency", "necessity")]


def written_blocks():
    """Keyword counts of one set, both comparisons, 24 targets."""
    rng = np.random.default_rng(7)
    test = {"heads": "1:2,3:0", "role": "requested", "k": 2}
    return [
        block
        for concept in CONCEPTS
        for direction in ("sufficiency", "necessity")
        for block in patch_blocks(
            PatchedOutcome(
                f"keyword_count_{concept}", "keywords_per_text", rng.poisson(0.5, 24).astype(float),
                rng.poisson(1.7, (24, 1)).astype(float), rng.poisson(0.6, (24, 1)).astype(float),
            ),
            ("control_patch", "unpatched"),
            concept=concept, direction=direction, tests=[test], settings=SETTINGS, templates=TEMPLATES,
        )
    ]  # fmt: skip


@pytest.fixture(scope="module")
def written_tables(tables):
    texts = [
        {
            "concept": concept, "prompt_id": f"p-{number}", "sample": sample, "prompt": f"Prompt {number} |",
            "heads": "1:2,3:0", "edit": edit, "direction": direction, "source_id": "s",
            "baseline_text": f" plain {number}", "edited_text": f" {edit} {direction} {concept} {number} {sample}",
        }
        for concept in CONCEPTS
        for direction in ("sufficiency", "necessity")
        for edit in ("patch", "control_patch")
        for number in range(4)
        for sample in range(2)
    ]  # fmt: skip
    return tables | {
        "patching": pd.concat([tables["patching"], patching_table(written_blocks(), seed=0)], ignore_index=True),
        "texts": pd.concat([tables["texts"], pd.DataFrame(texts)], ignore_index=True),
    }


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_report_shows_what_is_written_under_a_patch(written_tables, language):
    section = render_evidence(written_tables, {}, language).split("## 14. ")[1].split("## 15. ")[0]
    rows = written_patches(written_tables["patching"])
    assert len(rows) == 2 * len(CONCEPTS)
    for row in rows.to_dict("records"):
        for name in ("unpatched_mean", "control_patched_mean", "patched_mean", "estimate"):
            assert number(row[name]) in section
        for edit in ("patch", "control_patch"):
            assert f"` {edit} {row['direction']} {row['concept']} 0 0`" in section
    assert " 3 0`" not in section, "only the first targets are shown"


def test_the_three_texts_of_a_target_stand_in_one_row(written_tables):
    one = findings_of(written_tables)[0]
    for cells in written_examples(written_tables["texts"], one, Teller(words_of("en"))).rows:
        direction, prompt, plain_text, control, patched = cells
        n = prompt.text.split()[1]
        assert plain_text == Verbatim(f" plain {n}", 160)
        assert control == Verbatim(f" control_patch {direction} {one.concept} {n} 0", 160)
        assert patched == Verbatim(f" patch {direction} {one.concept} {n} 0", 160)


def test_texts_under_a_patch_are_not_shown_as_texts_without_heads(tables, written_tables):
    """Section 7 stays as it was."""
    before, after = (
        render_evidence(t, {}, "en").split("## 7. ")[1].split("## 8. ")[0] for t in (tables, written_tables)
    )
    assert before == after
