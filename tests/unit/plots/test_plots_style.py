"""No global state is touched, the same table gives the same bytes, and any text can stand in a label."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from headscope.cli import main
from headscope.errors import RequestError
from headscope.plots import fast_vs_exact, head_reaction_heatmap, plots_of, screening_vs_effect, style, top_heads
from headscope.plots.naming import plot_name, slug
from headscope.plots.selecting import lone_effects
from headscope.plots.style import figure_of, image_bytes, printable
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from tests.unit.report.fake_patching import fake_scores
from tests.unit.report.fake_tables import fake_tables


def drawn(tables: dict[str, pd.DataFrame], kind: str) -> dict[str, bytes]:
    result: dict[str, bytes] = {}
    for name, draw in plots_of(tables, "demo", 5):
        picture = draw()
        figure = picture if isinstance(picture, Figure) else figure_of(picture)
        result[name] = image_bytes(figure, kind)
    return result


def few(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """One concept, so that drawing everything twice stays fast."""
    return {name: table[table["concept"].isin(["anger", "overall"])] for name, table in tables.items()}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_same_tables_same_bytes_whatever_the_users_style(kind: str) -> None:
    first = drawn(few(fake_tables()), kind)
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 5, "axes.facecolor": "red", "savefig.dpi": 30}):
        second = drawn(few(fake_tables()), kind)
    assert first == second
    assert all(len(data) > 1000 for data in first.values())


def test_svg_names_no_date_no_version() -> None:
    svg = image_bytes(figure_of(top_heads(fake_tables()["screen"], top_n=3)), "svg")
    assert b"<dc:date>" not in svg
    assert mpl.__version__.encode() not in svg


def test_drawing_leaves_rc_params_as_they_were() -> None:
    with mpl.rc_context({"font.size": 13, "svg.hashsalt": "mine"}):
        before = dict(mpl.rcParams)
        drawn(few(fake_tables()), "png")
        assert dict(mpl.rcParams) == before


def test_the_callers_axes_are_drawn_into_and_returned() -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    assert head_reaction_heatmap(fake_tables()["screen"], ax, concept="anger") is ax
    assert len(figure.axes) == 1


def test_pyplot_torch_and_transformers_are_not_imported(project_root: Path) -> None:
    code = "import sys, headscope.plots; print(*(set(sys.modules) & {'torch', 'transformers', 'matplotlib.pyplot'}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("name", ["感謝", "a$b$_c^", "<script>", "بامتنان", "🙂 joy", "x" * 10_000, "two\nlines\x00"])
def test_any_concept_name_can_stand_in_a_label(name: str) -> None:
    screen = fake_tables(concepts=("anger",))["screen"].assign(concept=name)
    ax = top_heads(screen, top_n=2)
    image_bytes(figure_of(ax), "png")
    assert all(len(label.get_text()) < 300 for label in ax.get_yticklabels())


@pytest.fixture
def fonts_as_listed_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Matplotlib's list of fonts as its first run left it: without the Japanese ones that were installed later."""
    fonts = font_manager.fontManager.ttflist
    wide = {font.fname for font in fonts if font.name in style._WIDE_FONTS}
    old = [font for font in fonts if font.fname not in wide]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", old)
    for cached in (style._wide_fonts, style._drawable):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (style._wide_fonts, style._drawable):
        cached.cache_clear()


@pytest.mark.usefixtures("fonts_as_listed_before")
def test_a_japanese_font_installed_after_matplotlibs_first_run_is_found() -> None:
    if not any("NotoSansCJK" in path for path in font_manager.findSystemFonts()):
        pytest.skip("no Noto Sans CJK on this machine (Debian: apt install fonts-noto-cjk)")
    assert printable("感謝") == "感謝"
    assert style.undrawn(["感謝", "thanks"]) == []


@pytest.mark.usefixtures("fonts_as_listed_before")
def test_without_a_japanese_font_the_concepts_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    assert printable("感謝") == "<U+611F><U+8B1D>"
    request = Request(verb="screen", options={}, model_fingerprint="m", profile_fingerprint="p", seed=0)
    with Run.create(tmp_path / "run", request, model={"name": "demo"}, profile={"name": "mine"}) as made:
        made.write_table("screen", fake_tables(4, 4, ("感謝", "anger"))["screen"])
    with pytest.raises(SystemExit):
        main(["plot", str(tmp_path / "run"), "--top-n", "2"])
    told = capsys.readouterr().err
    assert "no font on this machine draws 感謝," in told
    assert "anger" not in told


def test_names_beside_points_cover_no_other_name_and_stay_in_the_axes() -> None:
    tables = fake_tables(12, 12)
    pictures = [
        screening_vs_effect(tables["screen"], tables["effects"], tables["verdicts"]),
        fast_vs_exact(fake_scores(lone_effects(tables["effects"]))),
    ]
    for ax in pictures:
        image_bytes(figure_of(ax), "png")
        names = [text.get_window_extent() for text in ax.texts]
        assert len(names) > 2
        assert not any(a.overlaps(b) for a, b in itertools.combinations(names, 2))
        frame = ax.get_window_extent()
        assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 for box in names)


def test_a_concept_has_one_color_in_all_pictures() -> None:
    tables = fake_tables(4, 4)
    bars, points = top_heads(tables["screen"]), fast_vs_exact(fake_scores(lone_effects(tables["effects"])))
    color_of = {str(group.get_label()): to_hex(group.get_facecolor()[0]) for group in points.collections}
    labels = [label.get_text().split(" ")[1] for label in bars.get_yticklabels()]
    for label, bar in zip(labels[:5], bars.patches, strict=False):
        assert to_hex(bar.get_facecolor()) == color_of[label]


def test_intervals_are_named_only_where_they_are_drawn() -> None:
    screen = fake_tables()["screen"]
    assert "interval" in top_heads(screen).get_xlabel()
    assert "interval" not in top_heads(screen.assign(ci_low=np.nan, ci_high=np.nan)).get_xlabel()


def test_characters_no_font_draws_are_shown_as_code_points() -> None:
    assert printable("plain Δ") == "plain Δ"
    assert printable("a\U0010ffffb") == "a<U+10FFFF>b"


def test_file_names_of_different_heads_models_and_concepts_differ() -> None:
    assert plot_name("ablation_comparison", model="demo", concept="anger", heads="1:10") == (
        "ablation_comparison_demo_anger_1_10"
    )
    assert plot_name("top", heads="1:10") != plot_name("top", heads="11:0")
    assert plot_name("head_reaction_heatmap", concept="anger") == "head_reaction_heatmap_anger"
    assert slug("Org/Model") != slug("org-model")
    many = ",".join(f"{layer}:{head}" for layer in range(20) for head in range(20))
    assert len(plot_name("ablation_comparison", model="demo", concept="anger", heads=many)) < 100


@given(st.text(min_size=1), st.text(min_size=1))
def test_slugs_are_distinct_and_safe_in_file_names(first: str, second: str) -> None:
    assert (slug(first) == slug(second)) == (first == second)
    assert set(slug(first)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 0 < len(slug(first)) < 80


def test_every_plot_has_its_own_name_and_missing_tables_draw_nothing() -> None:
    tables = fake_tables()
    names = [name for name, _ in plots_of(tables, "demo")]
    assert len(set(names)) == len(names)
    assert "head_reaction_heatmap_demo" in names
    assert "ablation_comparison_demo_gratitude_1_3-3_2" in names
    assert list(plots_of({}, "demo")) == []
    alone = [name for name, _ in plots_of({"screen": tables["screen"]}, None)]
    assert alone == [
        "head_reaction_heatmap",
        "head_reaction_heatmap_gratitude",
        "head_reaction_heatmap_anger",
        "head_reaction_heatmap_apology",
        "top_heads",
        "value_weighted_heatmap",
    ]


def test_requests_that_make_no_sense_are_refused() -> None:
    screen = fake_tables()["screen"]
    with pytest.raises(RequestError, match="no heads"):
        top_heads(screen, top_n=0)
    with pytest.raises(RequestError, match="joy"):
        head_reaction_heatmap(screen, concept="joy")
    with pytest.raises(RequestError, match="lacks estimate"):
        top_heads(screen.drop(columns="estimate"))
    with pytest.raises(RequestError, match="no measure"):
        head_reaction_heatmap(screen[screen["measure"] == "attention"], measure="value_weighted")


def test_a_scale_exists_where_all_values_are_zero() -> None:
    screen = fake_tables()["screen"].assign(estimate=0.0, q_value=1.0)
    ax = head_reaction_heatmap(screen, concept="anger")
    assert ax.collections[0].get_clim() == (-1.0, 1.0)
    assert not np.isnan(ax.collections[0].get_array()).any()
