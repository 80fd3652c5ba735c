"""Every table of a run, once: its columns in order, what tells its rows apart, how the console shows it.

``TABLES[name].columns`` is what builders select by, CSV files begin with, and readers rely on. A column is declared in
``columns.COLUMNS``; a table names it. Where a table calls a column otherwise than the column does, ``titles`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headscope.tables.columns import COLUMNS as COLUMNS
from headscope.tables.columns import Column as Column
from headscope.tables.columns import Kind as Kind
from headscope.terms import RANDOM_BAND, SMALLEST

_NO_TITLES: Mapping[str, str] = {}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of its file, without ``.csv``.
        says: what it holds.
        columns: in order.
        key: columns that tell its rows apart; no two rows have the same values in all of them.
        unkeyed_roles: rows of these roles are told apart by what is no column: the draw, the half of the templates.
        derived: made from other tables, so that it may be made again of a finished run.
        titles: console headings that differ from the columns' own.
        shown: columns of the console's table, in order; ``name`` is layer and head.
    """

    name: str
    says: str
    columns: list[str]
    key: list[str]
    unkeyed_roles: tuple[str, ...] = ()
    derived: bool = False
    titles: Mapping[str, str] = field(default_factory=lambda: _NO_TITLES)
    shown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in COLUMNS]
        unknown += [name for name in (*self.key, *self.titles) if name not in (*self.columns, "name")]
        unknown += [name for name in self.shown if name not in (*self.columns, "name")]
        if unknown:
            raise KeyError(f"table {self.name}: {', '.join(unknown)}")

    @property
    def kinds(self) -> dict[str, Kind]:
        """Column -> kind of its cells, in order."""
        return {name: COLUMNS[name].kind for name in self.columns}

    def headings(self, shown: tuple[str, ...] = (), titles: Mapping[str, str] = _NO_TITLES) -> dict[str, str]:
        """Column -> heading of the console's table; other columns or headings than the table's own where given."""
        titles = {"name": "head", **self.titles, **titles}
        return {name: titles.get(name) or COLUMNS[name].title["en"] for name in shown or self.shown}


_INTERVAL = "ci_low ci_high"
_COUNTS = "n_prompts n_templates"
_PLACE = "concept layer head"
_VERDICTS = (
    "concept heads verdict reason estimate sim_low sim_high threshold_nats attends attention_measure attention_share "
    "attention_share_low attention_share_high threshold_share specificity specificity_low specificity_high "
    "perplexity_ratio_low perplexity_ratio_high templates_needed"
)


def _table(
    name: str,
    says: str,
    columns: str,
    key: str,
    *,
    unkeyed_roles: tuple[str, ...] = (),
    derived: bool = False,
    shown: str = "",
    titles: Mapping[str, str] = _NO_TITLES,
) -> Table:
    return Table(name, says, columns.split(), key.split(), unkeyed_roles, derived, titles, tuple(shown.split()))


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _table(
            "coverage",
            "which prompts could be compared, and how",
            "concept n_prompts n_spans n_implicit n_paired_equal n_paired_unequal n_length_matched n_unmatched "
            "n_without_query n_without_remainder coverage_share protocol note",
            "concept",
            shown="concept n_prompts n_spans n_paired_equal n_paired_unequal n_length_matched n_without_query "
            "n_without_remainder coverage_share",
        ),
        _table(
            "screen",
            "screening: every head, concept, measure and kind of control",
            f"{_PLACE} query measure control estimate unit concept_mean control_mean {_INTERVAL} sim_low sim_high "
            f"p_value q_value d_z mde {_COUNTS} family status",
            f"{_PLACE} query measure control",
            shown=f"concept name estimate {_INTERVAL} q_value n_templates status",
            titles={"estimate": "Δ attention"},
        ),
        _table(
            "named_spans",
            "the same for each named place of the prompts alone",
            f"{_PLACE} span query measure control estimate unit concept_mean control_mean {_INTERVAL} sim_low sim_high "
            f"p_value q_value d_z mde {_COUNTS} family status",
            f"{_PLACE} span query measure control",
            shown=f"concept name span estimate {_INTERVAL} q_value n_templates status",
            titles={"estimate": "Δ attention"},
        ),
        _table(
            "attention_by_region",
            "where each head reads at the readouts: shares of attention by region of the text",
            f"{_PLACE} region share share_low share_high written_norm written_norm_low written_norm_high {_COUNTS}",
            f"{_PLACE} region",
        ),
        _table(
            "assay",
            "whether the unedited model shows each concept",
            f"concept outcome estimate unit concept_mean control_mean {_INTERVAL} p_value share_right {_COUNTS} shown "
            "note",
            "concept outcome",
            shown=f"concept estimate {_INTERVAL} share_right shown",
            titles={"estimate": "concept − control (nats)"},
        ),
        _table(
            "accuracy",
            "how often the unedited model puts an answer above every foil, on clean prompts and on corrupted ones",
            f"concept estimate unit {_INTERVAL} control_mean {_COUNTS} note",
            "concept",
            shown=f"concept estimate {_INTERVAL} control_mean n_prompts n_templates",
            titles={"estimate": "accuracy", "control_mean": "accuracy, corrupted"},
        ),
        _table(
            "effects",
            "effects of edits, with intervals and tests",
            f"{_PLACE} heads role k edit scope outcome estimate unit baseline_mean edited_mean {_INTERVAL} sim_low "
            f"sim_high d_z p_value p_max_t q_value mde skewness {_COUNTS} family status",
            f"{_PLACE} heads role k edit scope outcome family",
            unkeyed_roles=(RANDOM_BAND, SMALLEST),
            shown=f"concept heads edit outcome baseline_mean edited_mean estimate {_INTERVAL} p_value mde status",
            titles={"mde": "detectable"},
        ),
        _table(
            "ranking",
            "top heads for each concept and overall",
            "concept rank layer head score by screen_delta screen_ci_low screen_ci_high screen_q value_weighted_delta "
            "effect_estimate effect_ci_low effect_ci_high effect_p_max_t effect_zero_estimate probe_auroc "
            "probe_p_max_t verdict",
            f"{_PLACE} by",
            derived=True,
            shown="concept by rank name screen_delta screen_q effect_estimate effect_ci_low effect_ci_high "
            "probe_auroc verdict",
        ),
        _table(
            "layers",
            "screening and effects by layer",
            "concept layer n_heads mean_delta mean_abs_delta max_delta max_delta_head n_attending effect_sum "
            "effect_min effect_min_head",
            "concept layer",
            derived=True,
        ),
        _table("verdicts", "what each head is to each concept", _VERDICTS, "concept heads", derived=True),
        _table("negative_control", "the same, of random words in place of lexicons", _VERDICTS, "concept heads"),
        _table(
            "texts",
            "continuations of both arms",
            "concept prompt_id sample prompt heads edit dose direction source_id baseline_text edited_text",
            "concept prompt_id sample heads edit dose direction source_id",
        ),
        _table(
            "sampling",
            "how far sampling moves each effect on written text, and how many samples would do",
            "concept heads role k edit scope outcome unit n_samples sampling_sd template_se samples_needed n_prompts "
            "n_templates note",
            "concept heads role k edit scope outcome",
            shown="concept heads edit outcome n_samples sampling_sd template_se samples_needed note",
        ),
        _table(
            "nulls",
            "sets beside random disjoint sets",
            "concept heads k outcome estimate percentile floor n_random layer_matched note",
            "concept heads outcome",
        ),
        _table(
            "areas",
            "areas of the cumulative curves",
            f"concept area estimate {_INTERVAL} n_heads sizes n_templates note",
            "concept area",
        ),
        _table(
            "smallest",
            "the smallest set that removes a share of the concept",
            "concept half heads k share_asked share_chosen_on share share_ci_low share_ci_high reached "
            "n_templates note",
            "concept half share_asked",
        ),
        _table(
            "reliability",
            "whether other templates would rank the heads alike",
            "concept by n_heads n_templates split_half_r spearman_brown spearman_brown_low spearman_brown_high k "
            "jaccard jaccard_low jaccard_high",
            "concept by",
        ),
        _table("stability", "answers with each template left out", f"{_PLACE} answer stable_share changes_without",
               _PLACE),
        _table("orders", "heads as each half of the templates orders them", "concept half rank layer head effect_nats",
               "concept half rank"),
        _table(
            "patching",
            "patching between concept prompts and controls, both directions",
            "concept direction layer head heads role k what source target alpha outcome compared_with estimate unit "
            f"unpatched_mean patched_mean control_patched_mean {_INTERVAL} sim_low sim_high d_z p_value p_max_t "
            f"q_value mde skewness share_recovered share_low share_high {_COUNTS} family status",
            "concept direction heads role what source target alpha outcome compared_with",
            shown=f"concept direction heads unpatched_mean control_patched_mean patched_mean estimate {_INTERVAL} "
            "p_max_t share_recovered share_low share_high",
            titles={"estimate": "Δ (nats)"},
        ),
        _table(
            "dissociation",
            "each concept patched through its own head and through others'",
            f"concept other direction own_heads other_heads own_estimate other_estimate estimate unit {_INTERVAL} d_z "
            f"p_value q_value mde {_COUNTS} double family status",
            "concept other direction",
            shown="concept other direction own_heads other_heads own_estimate other_estimate estimate "
            f"{_INTERVAL} double",
            titles={"estimate": "difference"},
        ),
        _table(
            "steering",
            "effects of turning heads up, dose by dose",
            "concept target layer head heads role k edit vector scope dose outcome estimate unit baseline_mean "
            f"edited_mean {_INTERVAL} sim_low sim_high d_z p_value p_max_t q_value mde skewness {_COUNTS} family "
            "status",
            "concept target heads role edit vector scope dose outcome",
            shown="concept heads role edit vector dose outcome baseline_mean edited_mean estimate "
            f"{_INTERVAL} p_value status",
        ),
        _table(
            "dose_response",
            "slopes through the doses, among their nulls, with what they cost",
            f"concept target layer head heads role k edit vector scope estimate unit {_INTERVAL} sim_low sim_high "
            "p_value p_vector p_random_vectors n_random_vectors p_random_heads n_random_heads layer_matched "
            f"smallest_dose bounded_dose harmful_dose threshold_nats verdict reason {_COUNTS} family status",
            "concept target heads role edit vector scope",
            shown=f"concept heads role edit vector estimate {_INTERVAL} p_vector p_random_vectors p_random_heads "
            "smallest_dose bounded_dose harmful_dose verdict",
            titles={"estimate": "slope (nats per dose)"},
        ),
        _table(
            "steering_nulls",
            "what random vectors and random heads do at the same doses, draw by draw",
            "concept heads vector null draw drawn dose estimate unit perplexity_ratio",
            "concept heads vector null draw dose",
        ),
        _table(
            "probes",
            "whether each head's output tells the concept's prompts from their controls, on templates left out",
            f"{_PLACE} probe_auroc probe_auroc_low probe_auroc_high probe_accuracy p_value p_max_t q_value "
            f"shuffled_auroc residual_auroc {_COUNTS} status note",
            _PLACE,
            shown="concept name probe_auroc probe_auroc_low probe_auroc_high probe_accuracy q_value shuffled_auroc "
            "residual_auroc n_templates",
        ),
        _table(
            "evaluation",
            "benchmarks with and without an edit, paired by item",
            f"heads edit task metric estimate unit baseline_mean edited_mean {_INTERVAL} p_value q_value n_items "
            "n_only_baseline_right n_only_edited_right note",
            "heads edit task metric",
            shown=f"task metric n_items baseline_mean edited_mean estimate {_INTERVAL} p_value q_value "
            "n_only_baseline_right n_only_edited_right note",
        ),
        _table(
            "evaluation_items",
            "the same, item by item",
            "task metric doc_id doc_hash baseline edited",
            "task metric doc_id",
        ),
        _table(
            "scores",
            "fast scores of every head, with the exact effect where it was measured",
            f"{_PLACE} measure edit rank estimate unit mean_abs exact_estimate exact_sim_low exact_sim_high {_COUNTS}",
            f"{_PLACE} measure edit",
            shown="concept measure rank name estimate exact_estimate exact_sim_low exact_sim_high",
            titles={"measure": "score", "estimate": "predicted"},
        ),
        _table(
            "components",
            "what adds up to the logit difference, part by part",
            f"concept component layer head estimate unit {_COUNTS}",
            "concept component layer head",
        ),
        _table(
            "agreement",
            "how well each fast score agrees with exact effects",
            "concept measure edit k n_heads spearman_abs spearman_signed rank_of_top_effect precision_at_k n_causal "
            "auroc recall recall_low n_random threshold_nats note",
            "concept measure edit",
        ),
    )
}  # fmt: skip
