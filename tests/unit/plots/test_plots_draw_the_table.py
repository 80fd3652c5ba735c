"""Every number drawn is the table's, read back from the artists; every panel says what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.patches import Rectangle

from headscope.errors import RequestError
from headscope.plots import (
    ablation_comparison,
    ablation_comparison_figure,
    curves,
    curves_figure,
    effect_heatmap,
    effect_heatmap_figure,
    fast_vs_exact,
    forest,
    head_reaction_heatmap,
    head_reaction_heatmap_figure,
    screening_vs_effect,
    top_heads,
)
from headscope.plots.ablation_comparison import compared_outcomes
from headscope.plots.selecting import head_grid, lone_effects
from headscope.plots.style import image_bytes
from headscope.plots.top_heads import top_rows
from tests.unit.report.fake_tables import CONCEPTS, PRIMARY, fake_screen, fake_tables

SHAPES = ((4, 4), (12, 12), (80, 64))


@pytest.fixture(scope="module", params=SHAPES[:2], ids=str)
def tables(request: pytest.FixtureRequest) -> dict[str, pd.DataFrame]:
    return fake_tables(*request.param)


def mesh_of(ax: Axes, gid: str | None = None) -> np.ndarray:
    meshes = [item for item in ax.collections if isinstance(item, QuadMesh) and item.get_gid() == gid]
    return np.ma.filled(meshes[0].get_array(), np.nan)


def primary(screen: pd.DataFrame, concept: str, measure: str = "attention") -> pd.DataFrame:
    chosen = (screen["concept"] == concept) & (screen["query"] == "last") & (screen["measure"] == measure)
    return screen[chosen & (screen["control"] == "paired_equal")]


def segments(ax: Axes, gid: str) -> np.ndarray:
    lines = [item for item in ax.collections if isinstance(item, LineCollection) and item.get_gid() == gid]
    return np.concatenate([line.get_segments() for line in lines]) if lines else np.empty((0, 2, 2))


def bars(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


@pytest.mark.parametrize("concept", CONCEPTS)
def test_reaction_heatmap_holds_the_screens_estimates(tables: dict[str, pd.DataFrame], concept: str) -> None:
    ax = head_reaction_heatmap(tables["screen"], concept=concept)
    rows = primary(tables["screen"], concept)
    values = mesh_of(ax)
    np.testing.assert_array_equal(values, head_grid(rows, "estimate", values.shape))
    assert ax.get_title() == concept


def test_the_mean_panel_is_the_mean_of_the_concepts(tables: dict[str, pd.DataFrame]) -> None:
    values = mesh_of(head_reaction_heatmap(tables["screen"]))
    expected = np.mean(
        [head_grid(primary(tables["screen"], name), "estimate", values.shape) for name in CONCEPTS], axis=0
    )
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-15)


def test_heads_that_are_not_significant_are_veiled_and_no_others(tables: dict[str, pd.DataFrame]) -> None:
    for concept in CONCEPTS:
        ax = head_reaction_heatmap(tables["screen"], concept=concept)
        veil = mesh_of(ax, "veil")
        q_values = head_grid(primary(tables["screen"], concept), "q_value", veil.shape)
        np.testing.assert_array_equal(np.isfinite(veil), q_values >= 0.05)


def test_all_panels_of_the_figure_share_one_symmetric_scale(tables: dict[str, pd.DataFrame]) -> None:
    figure = head_reaction_heatmap_figure(tables["screen"])
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == [*CONCEPTS, "mean"]
    limits = {tuple(ax.collections[0].get_clim()) for ax in panels}
    largest = max(np.nanmax(np.abs(mesh_of(ax))) for ax in panels)
    assert limits == {(-largest, largest)}
    (scale,) = (ax for ax in figure.axes if not ax.get_title())
    assert scale.get_ylabel() == "Δ attention (share)"
    assert scale.get_ylim() == (-largest, largest)


def test_a_head_without_a_value_is_left_out_and_not_drawn_as_zero() -> None:
    screen = fake_tables()["screen"]
    screen.loc[(screen["layer"] == 2) & (screen["head"] == 1), ["estimate", "q_value"]] = np.nan
    ax = head_reaction_heatmap(screen, concept="anger")
    assert np.argwhere(np.isnan(mesh_of(ax))).tolist() == [[2, 1]]
    labels = [text.get_text() for text in ax.get_figure().legends[0].get_texts()]
    assert "not measured" in labels


def test_a_screen_without_tests_says_so() -> None:
    screen = fake_tables()["screen"].assign(q_value=np.nan)
    figure = head_reaction_heatmap_figure(screen)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no test was made"]
    assert np.isnan(mesh_of(head_reaction_heatmap(screen, concept="anger"), None)).sum() == 0


def test_a_concept_without_equal_pairs_is_drawn_from_the_controls_it_has() -> None:
    screen = fake_tables()["screen"]
    screen.loc[screen["concept"] == "anger", "control"] = "length_matched"
    figure = head_reaction_heatmap_figure(screen)
    assert "anger" in [ax.get_title() for ax in figure.axes]


@pytest.mark.parametrize("concept", CONCEPTS)
def test_effect_heatmap_holds_the_single_effects(tables: dict[str, pd.DataFrame], concept: str) -> None:
    ax = effect_heatmap(tables["effects"], concept=concept)
    rows = lone_effects(tables["effects"])
    rows = rows[rows["concept"] == concept]
    values = mesh_of(ax)
    np.testing.assert_array_equal(values, head_grid(rows, "estimate", values.shape))
    veiled = np.isfinite(mesh_of(ax, "veil"))
    np.testing.assert_array_equal(veiled, head_grid(rows, "p_max_t", values.shape) >= 0.05)
    assert ax.get_title() == concept


def test_effect_heatmap_figure_has_a_panel_a_concept(tables: dict[str, pd.DataFrame]) -> None:
    figure = effect_heatmap_figure(tables["effects"])
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == list(CONCEPTS)


@pytest.mark.parametrize("top_n", [1, 7, 20])
def test_top_heads_draws_the_largest_deltas_with_their_intervals(tables: dict[str, pd.DataFrame], top_n: int) -> None:
    ax = top_heads(tables["screen"], top_n=top_n)
    everything = pd.concat([primary(tables["screen"], concept) for concept in CONCEPTS])
    expected = everything.sort_values("estimate", ascending=False, kind="stable").head(top_n)
    assert [bar.get_width() for bar in bars(ax)] == expected["estimate"].tolist()
    drawn = segments(ax, "intervals")
    assert drawn[:, 0, 0].tolist() == expected["ci_low"].tolist()
    assert drawn[:, 1, 0].tolist() == expected["ci_high"].tolist()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [
        f"L{layer}H{head} {concept}"
        for layer, head, concept in zip(expected["layer"], expected["head"], expected["concept"], strict=True)
    ]


def test_top_heads_by_absolute_value_finds_the_heads_that_look_away() -> None:
    screen = fake_tables()["screen"]
    rows = top_rows(screen.assign(estimate=-screen["estimate"]), top_n=3, by="absolute")
    assert (rows["estimate"] < 0).all()


def test_top_heads_without_intervals_draws_bars_alone() -> None:
    screen = fake_tables()["screen"].drop(columns=["ci_low", "ci_high", "q_value"])
    ax = top_heads(screen, top_n=5)
    assert len(bars(ax)) == 5
    assert segments(ax, "intervals").size == 0


def points(ax: Axes, gid: str) -> np.ndarray:
    found = [item for item in ax.collections if isinstance(item, PathCollection) and item.get_gid() == gid]
    return np.asarray(found[0].get_offsets())


def test_forest_draws_estimates_intervals_and_simultaneous_intervals(tables: dict[str, pd.DataFrame]) -> None:
    rows = lone_effects(tables["effects"])
    ax = forest(rows, top_n=10, threshold_nats=0.38)
    expected = rows.loc[rows["estimate"].abs().sort_values(ascending=False, kind="stable").index].head(10)
    assert points(ax, "points")[:, 0].tolist() == expected["estimate"].tolist()
    drawn = segments(ax, "intervals")
    assert drawn[:, 0, 0].tolist() == [*expected["sim_low"], *expected["ci_low"]]
    assert drawn[:, 1, 0].tolist() == [*expected["sim_high"], *expected["ci_high"]]
    (band,) = (patch for patch in ax.patches if patch.get_gid() == "band")
    assert (band.get_x(), band.get_x() + band.get_width()) == (-0.38, 0.38)
    assert is_filled(ax) == ((expected["sim_high"] < -0.38) | (expected["sim_low"] > 0.38)).tolist()
    assert not all(is_filled(ax))
    assert legend_of(ax) == ["beyond the band", "not shown to be"]


def test_without_a_smallest_effect_a_filled_point_is_detectable_and_no_more(tables: dict[str, pd.DataFrame]) -> None:
    rows = lone_effects(tables["effects"]).assign(sim_low=-0.001, sim_high=0.001)
    ax = forest(rows, top_n=10)
    expected = rows.loc[rows["estimate"].abs().sort_values(ascending=False, kind="stable").index].head(10)
    assert is_filled(ax) == (expected["p_max_t"] < 0.05).tolist()
    assert legend_of(ax) == ["detectable (p < .05)", "not detectable"]


def is_filled(ax: Axes) -> list[bool]:
    """Of each point: whether its face has its edge's color."""
    (found,) = [item for item in ax.collections if isinstance(item, PathCollection) and item.get_gid() == "points"]
    faces, edges = found.get_facecolors(), found.get_edgecolors()
    return [bool(np.array_equal(face, edge)) for face, edge in zip(faces, edges, strict=True)]


def legend_of(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_forest_refuses_outcomes_of_different_units() -> None:
    with pytest.raises(RequestError, match="one outcome"):
        forest(fake_tables()["effects"])


def one_set(effects: pd.DataFrame, concept: str = "gratitude") -> pd.DataFrame:
    return effects[(effects["concept"] == concept) & (effects["role"] == "joint_top")]


def test_ablation_comparison_draws_both_arms_and_the_interval_of_the_difference() -> None:
    effects = one_set(fake_tables()["effects"])
    for outcome in compared_outcomes(effects):
        ax = ablation_comparison(effects, outcome)
        rows = effects[effects["outcome"] == outcome]
        heights = {bar.get_gid(): bar.get_height() for bar in bars(ax)}
        assert heights["baseline"] == rows["baseline_mean"].iloc[0]
        for row in rows.to_dict("records"):
            assert heights[f"edited:{row['edit']}"] == row["edited_mean"]
            (interval,) = segments(ax, f"interval:{row['edit']}")
            expected = [row["baseline_mean"] + row["ci_low"], row["baseline_mean"] + row["ci_high"]]
            assert interval[:, 1].tolist() == expected
            assert f"{row['edit']}: Δ" in ax.get_xlabel()
        assert ax.get_title()
        assert (
            ax.get_ylabel()
            == {
                "nats": "nats",
                "sentiment_-1_to_1": "sentiment, −1 to 1",
                "keywords_per_text": "keywords per text",
            }[rows["unit"].iloc[0]]
        )


def test_ablation_comparison_draws_no_bar_where_nothing_was_measured() -> None:
    effects = one_set(fake_tables()["effects"])
    lost = (effects["outcome"] == "sentiment_vader") & (effects["edit"] == "zero")
    effects.loc[lost, ["estimate", "edited_mean", "ci_low", "ci_high", "p_value"]] = np.nan
    ax = ablation_comparison(effects, "sentiment_vader")
    assert [bar.get_gid() for bar in bars(ax)] == ["baseline", "edited:mean"]
    without = effects[~effects["outcome"].str.startswith("sentiment")]
    titles = [panel.get_title() for panel in ablation_comparison_figure(without).axes]
    assert titles == ["lexicon log-odds", "keywords: gratitude", "keywords: anger"]


def test_ablation_comparison_shows_log_odds_sentiment_and_keywords() -> None:
    figure = ablation_comparison_figure(one_set(fake_tables()["effects"], "apology"))
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["lexicon log-odds", "sentiment (vader)", "keywords: apology", "keywords: gratitude"]


def test_ablation_comparison_of_several_sets_is_refused() -> None:
    with pytest.raises(RequestError, match="one set"):
        ablation_comparison_figure(fake_tables()["effects"])


def test_scatter_draws_every_head_with_both_values_once(tables: dict[str, pd.DataFrame]) -> None:
    ax = screening_vs_effect(tables["screen"], tables["effects"], tables["verdicts"])
    drawn = np.concatenate([item.get_offsets() for item in ax.collections if isinstance(item, PathCollection)])
    singles = lone_effects(tables["effects"])
    looked = pd.concat([primary(tables["screen"], concept) for concept in CONCEPTS])
    keys = ["concept", "layer", "head"]
    expected = looked.merge(singles, on=keys)[["estimate_x", "estimate_y"]].to_numpy()
    assert len(expected) == len(singles)
    assert sorted(map(tuple, drawn.tolist())) == sorted(map(tuple, expected.tolist()))
    legend: Any = ax.get_legend()
    n_decoys = (tables["verdicts"]["verdict"] == "attends only").sum()
    assert f"attends only ({n_decoys})" in [text.get_text() for text in legend.get_texts()]


def test_scatter_without_verdicts_still_draws() -> None:
    tables = fake_tables()
    legend: Any = screening_vs_effect(tables["screen"], tables["effects"], concept="anger").get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["no verdict (16)"]


def test_curves_draw_the_cumulative_sets() -> None:
    effects = fake_tables()["effects"]
    ax = curves(effects, concept="anger")
    lines = {line.get_gid(): line for line in ax.get_lines()}
    rows = effects[(effects["concept"] == "anger") & (effects["outcome"] == PRIMARY) & (effects["edit"] == "mean")]
    for role in ("top_k", "bottom_k"):
        part = rows[rows["role"] == role].sort_values("k")
        assert lines[role].get_xdata().tolist() == part["k"].tolist()
        assert lines[role].get_ydata().tolist() == part["estimate"].tolist()
    assert [panel.get_title() for panel in curves_figure(effects).axes] == list(CONCEPTS)


def test_a_large_model_fits_its_panels() -> None:
    figure = head_reaction_heatmap_figure(fake_screen(*SHAPES[2], concepts=("anger", "joy")))
    assert [mesh_of(ax).shape for ax in figure.axes if ax.get_title()] == [SHAPES[2]] * 3
    assert len(image_bytes(figure, "png")) > 10_000


def test_fast_vs_exact_draws_every_head_measured_both_ways_where_the_table_says() -> None:
    scores = pd.DataFrame(
        {
            "concept": ["joy", "joy", "awe", "joy"],
            "layer": [0, 1, 0, 2],
            "head": [0, 1, 0, 2],
            "measure": ["attribution_patching"] * 3 + ["gate_gradient"],
            "estimate": [-1.0, 0.5, 2.0, 9.0],
            "exact_estimate": [-2.0, np.nan, 1.0, 9.0],
        }
    )
    ax = fast_vs_exact(scores)
    points = [tuple(spot) for item in ax.collections if isinstance(item, PathCollection) for spot in item.get_offsets()]
    assert sorted(points) == [(-1.0, -2.0), (2.0, 1.0)]
    assert {text.get_text() for text in ax.texts} == {"L0H0"}
    with pytest.raises(RequestError, match='table "scores" lacks'):
        fast_vs_exact(scores.drop(columns="exact_estimate"))
