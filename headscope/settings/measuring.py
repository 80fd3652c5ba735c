"""What each verb asks beside what goes with any measurement: which heads, which edits, compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from headscope.settings.groups import ASKED, CONCEPT, MACHINE, MEASURE, NAMES, OUTPUT, TEXT
from headscope.settings.option import ABOVE_ZERO, BELOW_ONE, SHARE, Option
from headscope.terms import STAGES

HEADS = "--heads --head-spec"
OF_FILE = " @FILE: those of a table, a list or a circuit."


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Whether too few comparisons stop a screen."""

    allow_low_coverage: Annotated[
        bool,
        Option("Go on where under half of a concept's prompts have a matched control; the record says so.", MEASURE),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Screening(Coverage):
    """Where heads look, and against what."""

    protocol: Annotated[
        str,
        Option(
            "'matched' compares with a control at the same position; 'phase6' is the study's own, confounded measure.",
            MEASURE,
        ),
    ] = "matched"
    query: Annotated[
        str,
        Option(
            "Whose attention to the span counts: 'last' token, all tokens 'after' it, its own ('self'), or the last "
            "token of each 'readout'.",
            MEASURE,
        ),
    ] = "last"


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What takes the place of what heads put out."""

    edits: Annotated[
        Sequence[str],
        Option(
            "What takes the place of a head's output: mean, zero, position_mean, resample, bos; repeatable; "
            "left out: mean (which decides) and zero (beside it).",
            MEASURE, name="edit", typed=NAMES,
            choices=("mean", "zero", "zero_keep_bias", "position_mean", "resample", "bos"),
            python="what takes the place of a head's output: mean (which decides), zero, position_mean, resample, bos",
        ),
    ] = ("mean", "zero")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sweeping(Edits):
    """Which heads are switched off, each alone."""

    heads: Annotated[
        str,
        Option(
            "Heads to switch off, each alone; '*' is every head, and only then are the tests confirmatory." + OF_FILE,
            MEASURE, HEADS,
        ),
    ] = "*"  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ablating(Edits):
    """Which heads are switched off together, of whose prompts, and whether texts are written."""

    heads: Annotated[
        str,
        Option('Heads, counted from 0: "1:10", "L1H10", "3:0-5", "7:*", joined by commas.' + OF_FILE, ASKED, HEADS),
    ]
    concept: Annotated[
        str | None,
        Option(
            "The concept whose prompts are used; left out: all.", ASKED, CONCEPT,
        ),
    ] = None  # fmt: skip
    value_bias: Annotated[
        str,
        Option(
            "With --edit zero: 'zero' sets the output to 0, 'keep' to the value bias (TransformerLens' convention).",
            MEASURE,
            choices=("zero", "keep"),
        ),
    ] = "zero"


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Whether texts are written."""

    generate: Annotated[
        bool,
        Option(
            "Measure on fixed text only; write none.", TEXT, name="no_generate", negated=True,
            python="also let both arms write; without it fixed text only",
        ),
    ] = True  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RandomSets:
    """What a set of heads is compared with."""

    n_random: Annotated[
        int, Option("Random sets of heads that a set is compared with; of steer random vectors, too.", MEASURE, check=1)
    ] = 100


@dataclass(frozen=True, kw_only=True)
class Attributing:
    """Fast scores by gradients."""

    outcome: Annotated[str, Option("What is derived: the primary outcome, of words or of answers.", MEASURE)] = (
        "lexicon_logodds_nats"
    )
    steps: Annotated[
        int,
        Option(
            "Steps of the integrated gradient beside strength 0; 0 leaves it out, and 8 give its sum over heads, too.",
            MEASURE, check=0,
        ),
    ] = 1  # fmt: skip
    verify: Annotated[
        int,
        Option("Heads of each concept, best scores first, that are also switched off, exactly.", MEASURE, check=0),
    ] = 5


@dataclass(frozen=True, kw_only=True)
class Patched:
    """Which heads are patched."""

    heads: Annotated[
        str,
        Option(
            "Heads to patch: '*' is every head, each alone; any other spec is one set, patched together." + OF_FILE,
            MEASURE, HEADS,
        ),
    ] = "*"  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Patching(RandomSets):
    """What is patched into what, where, and how far."""

    directions: Annotated[
        Sequence[str] | str,
        Option(
            "'sufficiency': concept prompts into their controls; 'necessity': controls into concept prompts; 'both'.",
            MEASURE, name="direction", typed=str, choices=("both", "sufficiency", "necessity"),
        ),
    ] = "both"  # fmt: skip
    each: Annotated[
        bool | None,
        Option(
            "Patch each of the heads alone.", MEASURE, typed=bool,
            python='patch each of the heads alone; by default so for "*", while any other spec is one set',
        ),
    ] = None  # fmt: skip
    what: Annotated[
        str,
        Option(
            "'z' (a head's output), 'pattern' (attention) or 'v' (values); or the study's result, pattern_v, v_only.",
            MEASURE,
        ),
    ] = "z"
    source: Annotated[
        str,
        Option(
            "Where values come from: the matched 'partner', the 'mean' over its class's other templates, or a "
            "prompt's id.",
            MEASURE,
        ),
    ] = "partner"
    target: Annotated[
        str,
        Option(
            "Which tokens are patched: 'from_span' on, the 'span' only, the 'last' prompt token, or 'generated' "
            "(what follows the prompt: a readout, new words).",
            MEASURE,
        ),
    ] = "from_span"
    alpha: Annotated[float, Option("How far to go: 0 no change, 1 the source in full.", MEASURE)] = 1.0
    alignment: Annotated[
        str,
        Option(
            "'end' matches spans of different length from their last token; 'exact' leaves such pairs out.",
            MEASURE,
            choices=("end", "exact"),
        ),
    ] = "end"


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Growing sets of heads."""

    sets: Annotated[
        bool,
        Option(
            "Also: curves of growing sets of heads, one head back at a time, the smallest set that removes --share.",
            MEASURE, "--sets/--no-sets",
        ),
    ] = True  # fmt: skip
    top_k: Annotated[int, Option("Heads of each concept that are ablated, alone and together.", MEASURE, check=1)] = 4
    share: Annotated[
        float,
        Option(
            "Share of the concept (log-odds gap to its controls) that the smallest set is to remove.",
            MEASURE, check=SHARE,
        ),
    ] = 0.5  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NegativeControl:
    """What is found where nothing was put."""

    negative_control: Annotated[
        bool,
        Option(
            "Also sweep and judge with random words in place of the lexicons, where no head should carry anything.",
            MEASURE,
            came_later=True,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What a verdict needs; see ``stats.evidence.Criteria``."""

    minimum_effect: Annotated[
        float | None,
        Option(
            "The smallest effect that matters, in nats (where 5 % of the concept's own gap is more: that). "
            "Default: 0.05; of rank: as in the run.",
            MEASURE, check=ABOVE_ZERO, request="options.criteria",
        ),
    ] = None  # fmt: skip
    minimum_attention: Annotated[
        float | None,
        Option(
            "The smallest difference in attention that matters, a share of the attention that is not on sinks. "
            "Default: 0.02; of rank: as in the run.",
            MEASURE, check=BELOW_ONE, request="options.criteria",
        ),
    ] = None  # fmt: skip
    require_verdicts: Annotated[
        bool,
        Option(
            "Refuse concepts with too few templates for any verdict, before anything runs; "
            "without it they are described only.",
            MEASURE, request="",
        ),
    ] = False  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Of the report."""

    languages: Annotated[
        Sequence[str],
        Option(
            "Language of the report, 'en' or 'ja'; repeatable; left out: both.",
            OUTPUT, "--language --lang", name="language", typed=NAMES, python="languages of the report",
        ),
    ] = ("en", "ja")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Listed:
    """How many heads a sweep's ranking has; runs of before this counted keep their digests at the default."""

    top_n: Annotated[int, Option("Heads to list for each concept and over all.", OUTPUT, check=1, came_later=True)] = 10


@dataclass(frozen=True, kw_only=True)
class RunSettings(Edits, RandomSets, Sets, NegativeControl, Coverage, Languages):
    """What a whole run is to do."""

    query: Annotated[
        str | None,
        Option(
            "Whose attention to the span counts: 'readout', 'last', 'after' or 'self'. Default: readout, where the "
            "profile has readouts, because the causal outcome is read there.",
            MEASURE,
            choices=("last", "after", "self", "readout"),
        ),
    ] = None
    budget: Annotated[
        str,
        Option(
            "'exact': switch off every head; 'fast': score all heads by gradients, switch off the --top-n best of "
            "each concept and as many random ones; 'auto': fast where the whole run would take hours, else exact. "
            "--dry-run shows what each costs.",
            MEASURE,
            choices=("auto", "exact", "fast"),
        ),
    ] = "auto"
    top_n: Annotated[int, Option("Heads to list for each concept and over all.", OUTPUT, check=1)] = 10
    patching: Annotated[
        bool,
        Option(
            "Also patch the heads that removal or a fast score names, and as many random ones, in both directions.",
            MEASURE, "--patch/--no-patch",
        ),
    ] = True  # fmt: skip
    complete: Annotated[
        bool,
        Option(
            "Measure everything of everything, whatever a verdict reads: every edit and damage of every head, every "
            "random set, every head patched, finer curves and fast scores. Several times the work.",
            MEASURE,
        ),
    ] = False  # fmt: skip
    until: Annotated[
        str | None,
        Option(
            "Stop after this stage: " + ", ".join(STAGES) + ". The same command without it goes on.",
            MACHINE, choices=STAGES, metavar="STAGE", request="",
        ),
    ] = None  # fmt: skip
    time: Annotated[
        str | None,
        Option(
            "Run the stages that fit into this time, such as 30m or 2h, and say which do not; the same command "
            "without it goes on.",
            MACHINE, metavar="TIME", request="",
        ),
    ] = None  # fmt: skip
