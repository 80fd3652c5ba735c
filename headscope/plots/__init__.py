"""Pictures for papers: each takes a table and an ``ax``, draws the table's numbers and returns the Axes.

``screen``, ``effects``, ``patching``, ``scores`` and ``verdicts`` are the run's tables of these names. ``ax`` is where
to draw; None makes a figure of one column's width, with its scale and key.

No picture touches matplotlib's global state. Those of several panels have a function that makes the whole figure.
"""

from headscope.plots.ablation_comparison import ablation_comparison, ablation_comparison_figure
from headscope.plots.curves import curves, curves_figure
from headscope.plots.dose_response import dose_response, dose_response_figure
from headscope.plots.effect_heatmap import effect_heatmap, effect_heatmap_figure
from headscope.plots.fast_vs_exact import fast_vs_exact
from headscope.plots.forest import forest
from headscope.plots.head_reaction_heatmap import head_reaction_heatmap, head_reaction_heatmap_figure
from headscope.plots.naming import plot_name
from headscope.plots.screening_vs_effect import screening_vs_effect
from headscope.plots.top_heads import top_heads
from headscope.plots.writing import plots_of, write_plots

__all__ = [
    "ablation_comparison",
    "ablation_comparison_figure",
    "curves",
    "curves_figure",
    "dose_response",
    "dose_response_figure",
    "effect_heatmap",
    "effect_heatmap_figure",
    "fast_vs_exact",
    "forest",
    "head_reaction_heatmap",
    "head_reaction_heatmap_figure",
    "plot_name",
    "plots_of",
    "screening_vs_effect",
    "top_heads",
    "write_plots",
]
