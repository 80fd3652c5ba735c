"""Every option of the command line, declared once.

A verb takes an option by annotating a parameter with its type from here; its default stands in the verb's signature,
because verbs may differ in it. Numbers are checked here, before any model is loaded; a leading ``~`` of a path is
expanded here, because no shell does it in ``--out=~/runs``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

_MODEL = "What is asked"
_MEASURE = "How it is measured"
_TEXT = "Generated text"
_MACHINE = "Machine"
_OUTPUT = "Output"


def _above_zero(value: float | None) -> float | None:
    """A finite number above 0."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"expected a number above 0, got {value:g}")
    return value


def _share(value: float | None) -> float | None:
    """A number in (0, 1]."""
    if value is not None and not 0 < value <= 1:
        raise typer.BadParameter(f"expected a number above 0 and at most 1, got {value:g}")
    return value


def expanded(value: str | Path | None) -> str | Path | None:
    """A path, or a name that may be one, its leading ``~`` expanded: the callback of every such option."""
    if value is None or not str(value).startswith("~"):
        return value
    from headscope.profiles.files import expanded as in_full

    return type(value)(in_full(value))


def _below_one(value: float | None) -> float | None:
    """A number between 0 and 1."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"expected a number above 0 and below 1, got {value:g}")
    return value


# What is asked
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="The bundled 'demo', a checkpoint or adapter folder, or a model on the Hugging Face hub: NAME or "
        "NAME@REVISION.",
        callback=expanded,
        rich_help_panel=_MODEL,
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        "-p",
        help="A bundled profile, a profile folder, or one file of prompts.",
        callback=expanded,
        rich_help_panel=_MODEL,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder with <concept>_prompts.json files that take the place of the profile's prompts.",
        callback=expanded,
        rich_help_panel=_MODEL,
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompts",
        metavar="CLASS=FILE",
        help="Prompts of one class from a file, e.g. gratitude=mine.jsonl; repeatable; goes before --data-dir.",
        rich_help_panel=_MODEL,
    ),
]
PromptsFile = Annotated[
    Path | None,
    typer.Option(
        "--prompts-file",
        help="Prompts to generate from, instead of the concept's own.",
        callback=expanded,
        rich_help_panel=_MODEL,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        metavar="NAME",
        help="The column of the files of prompts that holds the text; left out: text, or the only one that is named "
        "like it (prompt, sentence, content, messages).",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column",
        metavar="NAME",
        help="The column that names the class of each prompt; left out: concept, label or emotion, where there is one.",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
DropDuplicates = Annotated[
    bool,
    typer.Option(
        "--drop-duplicates",
        help="Leave out prompts that repeat an earlier one of their class exactly, and say how many; "
        "without it they are an error.",
        rich_help_panel=_MODEL,
    ),
]
Heads = Annotated[
    str,
    typer.Option(
        "--heads",
        "--head-spec",
        help='Heads, counted from 0: "1:10", "L1H10", "3:0-5", "7:*", joined by commas.',
        rich_help_panel=_MODEL,
    ),
]
Concept = Annotated[
    str | None,
    typer.Option(
        "--concept", "--emotion", help="The concept whose prompts are used; left out: all.", rich_help_panel=_MODEL
    ),
]
Concepts = Annotated[
    list[str] | None,
    typer.Option(
        "--concept", "--emotion", help="A concept to look at; repeatable; left out: all.", rich_help_panel=_MODEL
    ),
]

# How it is measured
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="'matched' compares with a control at the same position; 'phase6' is the study's own, confounded measure.",
        rich_help_panel=_MEASURE,
    ),
]
Query = Annotated[
    str,
    typer.Option(
        "--query",
        help="Whose attention to the span counts: 'last' token, all tokens 'after' it, its own ('self'), or the last "
        "token of each 'readout'.",
        rich_help_panel=_MEASURE,
    ),
]
RunQuery = Annotated[
    str | None,
    typer.Option(
        "--query",
        help="Whose attention to the span counts: 'readout', 'last', 'after' or 'self'. Default: readout, where the "
        "profile has readouts, because the causal outcome is read there.",
        rich_help_panel=_MEASURE,
        show_default=False,
    ),
]
Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--edit",
        help="What takes the place of a head's output: mean, zero, position_mean, resample, bos; repeatable; "
        "left out: mean (which decides) and zero (beside it).",
        rich_help_panel=_MEASURE,
    ),
]
ValueBias = Annotated[
    str,
    typer.Option(
        "--value-bias",
        help="With --edit zero: 'zero' sets the output to 0, 'keep' to the value bias (TransformerLens' convention).",
        rich_help_panel=_MEASURE,
    ),
]
Scope = Annotated[
    str,
    typer.Option(
        "--scope", help="Edit 'all' positions and steps, or 'generated' tokens only.", rich_help_panel=_MEASURE
    ),
]
AllowLowCoverage = Annotated[
    bool,
    typer.Option(
        "--allow-low-coverage",
        help="Go on where under half of a concept's prompts have a matched control; the record says so.",
        rich_help_panel=_MEASURE,
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        "--budget",
        help="'exact': switch off every head; 'fast': score all heads by gradients, switch off the --top-n best of "
        "each concept and as many random ones; 'auto': fast where a sweep of every head would take hours, else exact. "
        "--dry-run shows what each costs.",
        rich_help_panel=_MEASURE,
    ),
]
Outcome = Annotated[
    str,
    typer.Option(
        "--outcome", help="What is derived; only lexicon_logodds_nats has a derivative.", rich_help_panel=_MEASURE
    ),
]
Steps = Annotated[
    int,
    typer.Option("--steps", min=0, help="Steps of the integrated gradient; 0 leaves it out.", rich_help_panel=_MEASURE),
]
Verify = Annotated[
    int,
    typer.Option(
        "--verify",
        min=0,
        help="Heads of each concept, best scores first, that are also switched off, exactly.",
        rich_help_panel=_MEASURE,
    ),
]
SweptSpec = Annotated[
    str,
    typer.Option(
        "--heads",
        "--head-spec",
        help="Heads to switch off, each alone; '*' is every head, and only then are the tests confirmatory.",
        rich_help_panel=_MEASURE,
    ),
]
Patching = Annotated[
    bool,
    typer.Option(
        "--patch/--no-patch", help="Also patch every swept head, in both directions.", rich_help_panel=_MEASURE
    ),
]
PatchedSpec = Annotated[
    str,
    typer.Option(
        "--heads",
        "--head-spec",
        help="Heads to patch: '*' is every head, each alone; any other spec is one set, patched together.",
        rich_help_panel=_MEASURE,
    ),
]
Each = Annotated[bool, typer.Option("--each", help="Patch each of the heads alone.", rich_help_panel=_MEASURE)]
Direction = Annotated[
    str,
    typer.Option(
        "--direction",
        help="'sufficiency': concept prompts into their controls; 'necessity': controls into concept prompts; 'both'.",
        rich_help_panel=_MEASURE,
    ),
]
What = Annotated[
    str,
    typer.Option(
        "--what",
        help="'z' (a head's output), 'pattern' (attention) or 'v' (values); or the study's result, pattern_v, v_only.",
        rich_help_panel=_MEASURE,
    ),
]
Source = Annotated[
    str,
    typer.Option(
        "--source",
        help="Where values come from: the matched 'partner', the 'mean' over its class's other templates, or a "
        "prompt's id.",
        rich_help_panel=_MEASURE,
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        help="Which tokens are patched: 'from_span' on, the 'span' only, the 'last' prompt token, or 'generated' "
        "(what follows the prompt: a readout, new words).",
        rich_help_panel=_MEASURE,
    ),
]
Alpha = Annotated[
    float,
    typer.Option("--alpha", help="How far to go: 0 no change, 1 the source in full.", rich_help_panel=_MEASURE),
]
Alignment = Annotated[
    str,
    typer.Option(
        "--alignment",
        help="'end' matches spans of different length from their last token; 'exact' leaves such pairs out.",
        rich_help_panel=_MEASURE,
    ),
]
RandomSets = Annotated[
    int,
    typer.Option(
        "--n-random", min=1, help="Random sets of heads that a set is compared with.", rich_help_panel=_MEASURE
    ),
]
Sets = Annotated[
    bool,
    typer.Option(
        "--sets/--no-sets",
        help="Also: curves of growing sets of heads, one head back at a time, the smallest set that removes --share.",
        rich_help_panel=_MEASURE,
    ),
]
Share = Annotated[
    float,
    typer.Option(
        "--share",
        callback=_share,
        help="Share of the concept (log-odds gap to its controls) that the smallest set is to remove.",
        rich_help_panel=_MEASURE,
    ),
]
NegativeControl = Annotated[
    bool,
    typer.Option(
        "--negative-control",
        help="Also sweep and judge with random words in place of the lexicons, where no head should carry anything.",
        rich_help_panel=_MEASURE,
    ),
]
MinimumEffect = Annotated[
    float | None,
    typer.Option(
        "--minimum-effect",
        callback=_above_zero,
        help="The smallest effect that matters, in nats (where 5 % of the concept's own gap is more: that). "
        "Default: 0.05; of rank: as in the run.",
        rich_help_panel=_MEASURE,
        show_default=False,
    ),
]
MinimumAttention = Annotated[
    float | None,
    typer.Option(
        "--minimum-attention",
        callback=_below_one,
        help="The smallest difference in attention that matters, a share of the attention that is not on sinks. "
        "Default: 0.02; of rank: as in the run.",
        rich_help_panel=_MEASURE,
        show_default=False,
    ),
]
RequireVerdicts = Annotated[
    bool,
    typer.Option(
        "--require-verdicts",
        help="Refuse concepts with too few templates for any verdict, before anything runs; "
        "without it they are described only.",
        rich_help_panel=_MEASURE,
    ),
]
ChatTemplate = Annotated[
    bool,
    typer.Option("--chat-template", help="Wrap prompts in the tokenizer's chat template.", rich_help_panel=_MEASURE),
]
ChatTemplateName = Annotated[
    str | None,
    typer.Option(
        "--chat-template-name",
        metavar="NAME",
        help="The same, with the template of that name, where the tokenizer holds several.",
        rich_help_panel=_MEASURE,
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw.", rich_help_panel=_MEASURE)]

# Generated text
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", min=1, help="New tokens for each prompt.", rich_help_panel=_TEXT)
]
Temperature = Annotated[
    float,
    typer.Option("--temperature", callback=_above_zero, help="Sampling temperature, above 0.", rich_help_panel=_TEXT),
]
TopP = Annotated[
    float,
    typer.Option(
        "--top-p", callback=_share, help="Sample from the smallest set of tokens with this mass.", rich_help_panel=_TEXT
    ),
]
Samples = Annotated[
    int, typer.Option("--samples", min=1, help="Continuations for each prompt and arm.", rich_help_panel=_TEXT)
]
StopAtEos = Annotated[
    bool,
    typer.Option(
        "--stop-at-eos/--no-stop-at-eos",
        help="End a text at end-of-text; with --chat-template at the end of a turn as well.",
        rich_help_panel=_TEXT,
    ),
]
StopTokens = Annotated[
    list[str] | None,
    typer.Option("--stop-token", help="One more token that ends a text, as text; repeatable.", rich_help_panel=_TEXT),
]
NoGenerate = Annotated[
    bool, typer.Option("--no-generate", help="Measure on fixed text only; write none.", rich_help_panel=_TEXT)
]
Greedy = Annotated[
    bool, typer.Option("--greedy", help="Take the likeliest token instead of sampling.", rich_help_panel=_TEXT)
]
Sentiment = Annotated[
    str,
    typer.Option(
        "--sentiment",
        help="'vader', or the name or folder of a transformers classifier.",
        callback=expanded,
        rich_help_panel=_TEXT,
    ),
]
KeywordCounting = Annotated[
    str,
    typer.Option(
        "--keyword-counting",
        help="'continuation' counts whole words of the new text; 'phase6' substrings of prompt and new text.",
        rich_help_panel=_TEXT,
    ),
]

# Ranking and pictures
TopN = Annotated[
    int, typer.Option("--top-n", min=1, help="Heads to list for each concept and over all.", rich_help_panel=_OUTPUT)
]
TopK = Annotated[
    int,
    typer.Option(
        "--top-k", min=1, help="Heads of each concept that are ablated, alone and together.", rich_help_panel=_MEASURE
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by", help="Rank by the 'screen' or by the causal 'effect'; left out: both.", rich_help_panel=_MEASURE
    ),
]
Signed = Annotated[
    bool, typer.Option("--signed", help="Rank by the signed value instead of its size.", rich_help_panel=_MEASURE)
]

# Machine
BatchTokens = Annotated[
    int | None,
    typer.Option(
        "--batch-tokens",
        min=1,
        help="Tokens in one batch; part of the request, because bits depend on it. Default: by --memory-budget.",
        rich_help_panel=_MACHINE,
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        "--memory-budget",
        help="What a batch may hold beside the model: '4GiB', '500MB', '25%' of the device's total (the default); "
        "at most 8,192 tokens, on a CPU fewer for wide models.",
        rich_help_panel=_MACHINE,
    ),
]
Device = Annotated[
    str, typer.Option("--device", help="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.", rich_help_panel=_MACHINE)
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        "--device-map",
        help="Spread a model over several devices instead of --device: 'auto', 'balanced', 'balanced_low_0', "
        "'sequential', or one device.",
        rich_help_panel=_MACHINE,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype", help="'auto' (float32 on a CPU), 'float32', 'bfloat16', 'float16'.", rich_help_panel=_MACHINE
    ),
]
Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked", help="Use a model that fails its load check; the record says so.", rich_help_panel=_MACHINE
    ),
]

Bos = Annotated[
    str,
    typer.Option(
        "--bos",
        help="The beginning-of-text token before every text: 'auto' (where the tokenizer has one), 'always', 'never'.",
        rich_help_panel=_MACHINE,
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="NAME",
        help="A tokenizer in place of the checkpoint's own: a folder, or a name on the hub (NAME or NAME@REVISION).",
        rich_help_panel=_MACHINE,
        show_default=False,
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Let code that comes with a checkpoint run.", rich_help_panel=_MACHINE),
]

Resume = Annotated[
    str,
    typer.Option(
        "--resume",
        help="An unfinished run of the same request: 'auto' goes on with it, 'never' begins anew, 'require' wants one.",
        rich_help_panel=_MACHINE,
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Where the passes run: 'local', in this process, or 'ray', on the workers of a Ray cluster.",
        rich_help_panel=_MACHINE,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="With --engine ray: of the cluster, e.g. 'auto' or 'head:6379'; left out: Ray starts on this machine.",
        rich_help_panel=_MACHINE,
        show_default=False,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Run only the K-th of N parts of the sweep, into the folder --out names with '.part-K-of-N' added; "
        "'headscope gather' puts the parts together.",
        rich_help_panel=_MACHINE,
        show_default=False,
    ),
]

# Output
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Run folder; left out: runs/<model>-<profile>-<8 hex digits of the request>.",
        callback=expanded,
        rich_help_panel=_OUTPUT,
    ),
]
CompareOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder of the comparison; left out: runs/compare-<request>-<request>.",
        callback=expanded,
        rich_help_panel=_OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Also write the study's file here.", callback=expanded, rich_help_panel=_OUTPUT),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace derived files (plots, reports) that exist.", rich_help_panel=_OUTPUT)
]
Languages = Annotated[
    list[str] | None,
    typer.Option(
        "--language",
        "--lang",
        help="Language of the report, 'en' or 'ja'; repeatable; left out: both.",
        rich_help_panel=_OUTPUT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say how many passes, how long, how much memory, and the smallest effect these prompts can show; "
        "measure nothing, write nothing.",
        rich_help_panel=_OUTPUT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel=_OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no tables.", rich_help_panel=_OUTPUT)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", callback=expanded, show_default=False)]
