"""All pictures of a run, into its ``plots/`` folder, each as PNG and SVG.

Only what the run's tables hold is drawn: a run without single-head effects has no effect heatmap, and its report says
so. The same tables give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headscope.plots import style
from headscope.plots.ablation_comparison import ablation_comparison_figure, compared_outcomes
from headscope.plots.curves import curve_rows, curves_figure
from headscope.plots.dose_response import dose_response_figure
from headscope.plots.effect_heatmap import effect_heatmap_figure
from headscope.plots.fast_vs_exact import both_ways, fast_vs_exact
from headscope.plots.forest import forest
from headscope.plots.head_reaction_heatmap import head_reaction_heatmap, head_reaction_heatmap_figure
from headscope.plots.naming import plot_name
from headscope.plots.patch_heatmap import lone_patches, patch_heatmap_figure
from headscope.plots.screening_vs_effect import screening_vs_effect
from headscope.plots.selecting import OVERALL, beside, concepts_of, head_sets, lone_effects, screen_rows
from headscope.plots.steered import steered_of
from headscope.plots.top_heads import top_heads
from headscope.terms import SET_ROLES

if TYPE_CHECKING:
    from headscope.runs.folder import Run

KINDS = ("png", "svg")
_TABLES = (
    "screen", "effects", "verdicts", "scores", "patching", "steering", "dose_response", "steering_nulls",
)  # fmt: skip

Plot = tuple[str, Callable[[], Figure | Axes]]


def write_plots(run: Run, top_n: int = 20, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Draw every picture the run's tables allow into ``<run>/plots``.

    Args:
        run: a run opened to write; only its tables and its model's name are read.
        top_n: how many bars ``top_heads`` and how many rows the forest plot shows.
        kinds: file formats, of ``png`` and ``svg``.

    Returns:
        The files written, in the order of the pictures.

    Raises:
        RequestError: a table is damaged, ``top_n`` is below 1, or a picture is there already with other content and
            the run was not opened with ``force``.
    """
    tables = {name: run.table(name) for name in _TABLES if name in run.tables}
    model = str(run.manifest.model.get("name") or "model")
    return [path for plot in plots_of(tables, model, top_n) for path in _write(run, plot, kinds)]


def undrawn_labels(run: Run) -> str:
    """A sentence that names the concepts no font at hand can draw; empty where all can be drawn."""
    tables = [run.table(name) for name in ("screen", "effects", "patching", "steering") if name in run.tables]
    missing = style.undrawn(dict.fromkeys(name for table in tables for name in concepts_of(table)))
    if not missing:
        return ""
    return (
        f"no font on this machine draws {', '.join(missing)}, so pictures show code points (<U+...>) instead; "
        "install one, e.g. Noto Sans CJK JP, and draw again with `headscope plot RUN --force`"
    )


def plots_of(tables: Mapping[str, pd.DataFrame], model: str | None, top_n: int = 20) -> Iterator[Plot]:
    """(file name without extension, a function that draws it) of every picture that ``tables`` allow.

    Args:
        tables: any of ``screen``, ``effects``, ``verdicts``, ``scores``, ``patching``, ``steering``, ``dose_response``,
            ``steering_nulls``.
        model: the model's name for the file names; None leaves it out.
        top_n: as in ``write_plots``.
    """
    screen, effects, patching, scores = (
        tables.get(name, pd.DataFrame()) for name in ("screen", "effects", "patching", "scores")
    )
    named = partial(plot_name, model=model)
    if len(screen):
        yield from _screen_plots(screen, named, top_n)
    if len(effects):
        yield from _effect_plots(effects, named, top_n, _threshold(tables))
    if len(patching) and len(lone_patches(patching)):
        yield named("patch_heatmap"), lambda: patch_heatmap_figure(patching)
    if len(screen) and len(effects) and len(beside(screen, effects)):
        yield named("screening_vs_effect"), lambda: screening_vs_effect(screen, effects, tables.get("verdicts"))
    if len(scores) and len(both_ways(scores)):
        yield named("fast_vs_exact"), lambda: fast_vs_exact(scores)
    for concept in dict.fromkeys(one.concept for one in steered_of(tables)):
        yield named("dose_response", concept=concept), partial(dose_response_figure, tables, concept=concept)


def _screen_plots(screen: pd.DataFrame, named: Callable[..., str], top_n: int) -> Iterator[Plot]:
    heatmap = "head_reaction_heatmap"
    yield named(heatmap), lambda: head_reaction_heatmap_figure(screen)
    for concept in concepts_of(screen_rows(screen)):
        yield named(heatmap, concept=concept), partial(head_reaction_heatmap, screen, concept=concept)
    yield named("top_heads"), lambda: top_heads(screen, top_n=top_n)
    if "measure" in screen.columns and (screen["measure"] == "value_weighted").any():
        yield named("value_weighted_heatmap"), lambda: head_reaction_heatmap_figure(screen, measure="value_weighted")


def _effect_plots(
    effects: pd.DataFrame, named: Callable[..., str], top_n: int, threshold_nats: float | None
) -> Iterator[Plot]:
    singles = lone_effects(effects)
    if len(singles):
        yield named("effect_heatmap"), lambda: effect_heatmap_figure(effects)
        title = "Effect of removing one head"
        yield named("forest"), lambda: forest(singles, top_n=top_n, threshold_nats=threshold_nats, title=title)
    for concept, heads in head_sets(effects, SET_ROLES):
        rows = effects[
            (effects["concept"] == concept) & (effects["heads"] == heads) & effects["role"].isin(SET_ROLES)
        ].drop_duplicates(["outcome", "edit"])
        if compared_outcomes(rows):
            yield named("ablation_comparison", concept=concept, heads=heads), partial(ablation_comparison_figure, rows)
    if len(curve_rows(effects)):
        yield named("curves"), lambda: curves_figure(effects)


def _threshold(tables: Mapping[str, pd.DataFrame]) -> float | None:
    """The smallest effect that matters, where all concepts share one."""
    verdicts = tables.get("verdicts")
    if verdicts is None or "threshold_nats" not in verdicts.columns:
        return None
    values = verdicts.loc[verdicts["concept"] != OVERALL, "threshold_nats"].dropna().unique()
    return float(values[0]) if len(values) == 1 else None


def _write(run: Run, plot: Plot, kinds: Sequence[str]) -> list[Path]:
    name, draw = plot
    drawn = draw()
    figure = drawn if isinstance(drawn, Figure) else style.figure_of(drawn)
    return [run.write_derived(f"plots/{name}.{kind}", style.image_bytes(figure, kind)) for kind in kinds]
