"""The picture of steering holds the tables' numbers, whatever of them is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from headscope.errors import RequestError
from headscope.plots import dose_response, dose_response_figure, plots_of
from headscope.plots.steered import steered_of
from headscope.plots.style import image_bytes
from tests.unit.report.fake_steering import DOSES, curve_rows, fake_steering, null_rows, slope_row


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return fake_steering()


def points_of(ax: Axes, gid: str) -> np.ndarray:
    """[points, 2] of the line with a gid."""
    lines = [line for line in ax.lines if line.get_gid() == gid]
    assert len(lines) == 1
    return np.asarray(lines[0].get_xydata())


def draws_of(ax: Axes, gid: str) -> np.ndarray:
    """[draws x doses, 2] of the marks with a gid."""
    marks = [collection for collection in ax.collections if collection.get_gid() == gid]
    return np.concatenate([np.asarray(one.get_offsets()) for one in marks]) if marks else np.empty((0, 2))


def only(rows: list[dict[str, Any]], **told: Any) -> dict[str, pd.DataFrame]:
    return {"steering": pd.DataFrame(rows), "dose_response": pd.DataFrame([slope_row("anger", "1:2", rows, **told)])}


def test_a_curve_goes_through_no_edit_and_every_dose(tables: dict[str, pd.DataFrame]) -> None:
    ax = dose_response(tables, concept="gratitude", heads="1:10")
    rows = tables["steering"]
    mine = rows[(rows["heads"] == "1:10") & (rows["role"] == "single")].set_index("dose")
    effects = mine.loc[mine["outcome"] == "lexicon_logodds_nats", "estimate"]
    ratios = mine.loc[mine["outcome"] == "perplexity_ratio", "estimate"]
    expected = sorted([*((dose, ratios[dose], effects[dose]) for dose in DOSES), (0.0, 1.0, 0.0)])
    assert points_of(ax, "steered").tolist() == [[ratio, effect] for _, ratio, effect in expected]
    assert len(points_of(ax, "residual_stream")) == len(DOSES) + 1
    labels = {text.get_text() for text in ax.texts}
    assert labels <= {f"{dose:g}".replace("-", "−") for dose in DOSES}
    assert {"4", "6", "8"} <= labels


@pytest.mark.parametrize("null", ["random_vector", "random_heads"])
def test_every_draw_is_a_mark(tables: dict[str, pd.DataFrame], null: str) -> None:
    ax = dose_response(tables, concept="gratitude", heads="2:3")
    rows = tables["steering_nulls"]
    mine = rows[(rows["heads"] == "2:3") & (rows["null"] == null)]
    drawn = draws_of(ax, null)
    assert sorted(drawn.tolist()) == sorted(mine[["perplexity_ratio", "estimate"]].to_numpy().tolist())


def test_against_doses_the_slope_and_what_does_not_matter_are_drawn(tables: dict[str, pd.DataFrame]) -> None:
    ax = dose_response(tables, concept="gratitude", heads="1:10,3:2", against="dose")
    slope = tables["dose_response"].query("heads == '1:10,3:2'")["estimate"].item()
    ends = points_of(ax, "slope")
    assert ends.tolist() == [[0.0, slope * (0.0 - 1.0)], [3.0, slope * (3.0 - 1.0)]]
    assert points_of(ax, "steered").tolist() == [[0.0, -0.5], [1.0, 0.0], [2.0, 0.5], [3.0, 1.0]]
    assert ax.get_xlabel() == "dose (factor)"


def test_without_damage_doses_stand_on_x() -> None:
    rows = curve_rows("anger", "1:2", gain=0.2, cost=0.0, damage=False)
    nulls = pd.DataFrame(null_rows("anger", "1:2", "random_vector", spread=0.1, cost=0.0)).assign(
        perplexity_ratio=np.nan
    )
    tables = only(rows) | {"steering_nulls": nulls}
    ax = dose_response(tables, concept="anger", heads="1:2")
    assert ax.get_xlabel() == "dose (σ)"
    assert len(draws_of(ax, "random_vector")) == len(nulls)
    assert image_bytes(dose_response_figure(tables, concept="anger"), "svg")


@pytest.mark.parametrize("missing", [("ci_low", "ci_high"), ("estimate",)])
@pytest.mark.parametrize("doses", [(2.0,), (-3.0, -1.0), DOSES])
def test_missing_numbers_leave_a_picture(missing: tuple[str, ...], doses: tuple[float, ...]) -> None:
    rows = curve_rows("anger", "1:2", gain=0.2, cost=0.01, doses=doses)
    tables = {"steering": pd.DataFrame(rows)}
    damage = tables["steering"]["outcome"] == "perplexity_ratio"
    tables["steering"].loc[damage, list(missing)] = np.nan
    figure = dose_response_figure(tables, concept="anger")
    assert image_bytes(figure, "png") == image_bytes(dose_response_figure(tables, concept="anger"), "png")


def test_damage_of_any_size_is_drawn_on_the_axis() -> None:
    rows = curve_rows("anger", "1:2", gain=0.2, cost=0.5)
    ax = dose_response(only(rows), concept="anger", heads="1:2")
    assert points_of(ax, "steered")[-1, 0] == np.exp(0.5 * 64)
    assert ax.get_xlim()[1] == 1000.0
    places = ax.transData.transform([(ratio, 0.0) for ratio in (1.0, 1.05, 1.5, 6.0)])[:, 0]
    steps = np.diff(places)
    assert steps == pytest.approx([steps[0]] * 3)  # one step to the bound, one a tenfold of its distance from 1


def test_of_many_sets_those_with_the_largest_effects_are_drawn() -> None:
    rows = [row for head in range(9) for row in curve_rows("anger", f"0:{head}", gain=0.1 * head, cost=0.001)]
    figure = dose_response_figure({"steering": pd.DataFrame(rows)}, concept="anger")
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [f"L0H{head}" for head in (8, 7, 6, 5, 4, 3)]
    assert "6 largest effects of 9" in figure.get_suptitle()


def test_a_run_has_a_picture_a_concept(tables: dict[str, pd.DataFrame]) -> None:
    both = {name: pd.concat([table, table.assign(concept="joy")]) for name, table in tables.items()}
    assert [name for name, _ in plots_of(both, "demo")] == ["dose_response_demo_gratitude", "dose_response_demo_joy"]
    assert [one.concept for one in steered_of(both)] == ["gratitude"] * 4 + ["joy"] * 4
    assert list(plots_of({"steering": tables["steering"].head(0)}, "demo")) == []


def test_damage_of_control_text_belongs_to_every_target(tables: dict[str, pd.DataFrame]) -> None:
    steering = tables["steering"].copy()
    steering.loc[steering["outcome"] == "perplexity_ratio", "target"] = "neutral"
    moved, as_before = steered_of(tables | {"steering": steering}), steered_of(tables)
    for one, other in zip(moved, as_before, strict=True):
        pd.testing.assert_frame_equal(one.doses, other.doses)


def test_what_was_not_steered_is_refused(tables: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(RequestError, match="was not steered"):
        dose_response(tables, concept="gratitude", heads="9:9")
    with pytest.raises(RequestError, match="nothing was steered"):
        dose_response_figure(tables, concept="anger")
    with pytest.raises(RequestError, match="x axis"):
        dose_response(tables, concept="gratitude", heads="1:10", against="time")  # pyright: ignore[reportArgumentType]
