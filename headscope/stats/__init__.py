"""What the arrays mean, arrays in and tables out: effects, intervals, tests, power, rankings, verdicts.

``effect_rows`` and ``family_rows`` are the core; ``tables`` builds a run's tables on them; ``rank_heads``,
``layer_table`` and ``judge`` read those tables. docs/statistics.md explains every column.
"""

from __future__ import annotations

from headscope.stats.agreement import score_agreement as score_agreement
from headscope.stats.agreement import screen_agreement as screen_agreement
from headscope.stats.areas import areas_table as areas_table
from headscope.stats.areas import curve_sizes as curve_sizes
from headscope.stats.assays import assay_table as assay_table
from headscope.stats.clusters import FamilyBlock as FamilyBlock
from headscope.stats.clusters import split_templates as split_templates
from headscope.stats.effects import FamilyTest as FamilyTest
from headscope.stats.effects import effect_rows as effect_rows
from headscope.stats.effects import family_rows as family_rows
from headscope.stats.multiplicity import benjamini_hochberg as benjamini_hochberg
from headscope.stats.nulls import draw_disjoint_sets as draw_disjoint_sets
from headscope.stats.nulls import null_row as null_row
from headscope.stats.power import reach as reach
from headscope.stats.ranking import layer_table as layer_table
from headscope.stats.ranking import rank_heads as rank_heads
from headscope.stats.reliability import leave_one_template_out as leave_one_template_out
from headscope.stats.reliability import reliability_table as reliability_table
from headscope.stats.specificity import specificity_blocks as specificity_blocks
from headscope.stats.tables import EffectBlock as EffectBlock
from headscope.stats.tables import ScreenBlock as ScreenBlock
from headscope.stats.tables import effects_table as effects_table
from headscope.stats.tables import head_tests as head_tests
from headscope.stats.tables import screen_table as screen_table
from headscope.stats.template_labels import label_templates as label_templates
from headscope.stats.verdicts import Criteria as Criteria
from headscope.stats.verdicts import judge as judge
