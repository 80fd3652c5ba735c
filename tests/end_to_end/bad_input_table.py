"""Wrong requests: what is typed, what lies in the folder, and the words that the message must hold.

A request is written as it is typed. ``MODEL`` rows ask the model for its number of heads before they are refused; the
others are refused before a model is loaded, most before torch is imported.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from headscope.models.checkpoints import find_checkpoint
from headscope.runs.manifest import SCHEMA_VERSION, Manifest, Request
from headscope.tables import TABLES
from tests.end_to_end import bad_edits_table
from tests.unit.profiles.test_validation_bad_files import PROMPT_FILES, YAMLS

ABLATE = "ablate --model demo --heads 0:0"
GOOD_TEXT = b"I am glad.\nSo happy, all of them.\n"


@dataclass(frozen=True)
class Wrong:
    """A wrong request.

    Attributes:
        command: what is typed after ``headscope``.
        words: what the message must hold.
        files: what lies in the folder it is typed in; None stands for a folder.
    """

    command: tuple[str, ...]
    words: tuple[str, ...]
    files: dict[str, bytes | None] = field(default_factory=dict)


# what is typed, words of the message
OPTIONS: list[tuple[str, tuple[str, ...]]] = [
    # the command line itself
    ("frobnicate", ("No such command 'frobnicate'",)),
    ("--frobnicate", ("No such option: --frobnicate",)),
    ("profiles frobnicate", ("No such command 'frobnicate'",)),
    ("screen", ("Missing option '--model'",)),
    ("ablate --model demo", ("Missing option '--heads'",)),
    ("screen --model demo --frobnicate", ("No such option: --frobnicate",)),
    ("screen --model demo extra", ("unexpected extra argument", "extra")),
    ("show", ("Missing argument 'RUN'",)),
    ("sweep --model demo --profile ioi --negative-control", ("a task has no negative control", "--negative-control")),
    ("profiles import tasks.csv", ("Missing option '--out'",)),
    ("profiles import tasks.csv --out p --as mibb", ("mibb", "eap-ig, mib")),
    ("profiles import tasks.csv --out p", ("file does not exist", "tasks.csv")),
    ("circuit nothing --out c.json", ("nothing",)),
    ("circuit nothing --out c.csv", ("ending", ".json")),
    # numbers
    (f"{ABLATE} --max-tokens -1", ("'--max-tokens'", "greater than or equal to 1")),
    (f"{ABLATE} --max-tokens 0", ("'--max-tokens'", "greater than or equal to 1")),
    (f"{ABLATE} --max-tokens 1.5", ("'--max-tokens'", "valid integer")),
    (f"{ABLATE} --max-tokens many", ("'--max-tokens'", "valid integer")),
    (f"{ABLATE} --temperature 0", ("'--temperature'", "above 0, got 0")),
    (f"{ABLATE} --temperature -1", ("'--temperature'", "above 0, got -1")),
    (f"{ABLATE} --temperature nan", ("'--temperature'", "above 0, got nan")),
    (f"{ABLATE} --temperature inf", ("'--temperature'", "above 0, got inf")),
    (f"{ABLATE} --temperature warm", ("'--temperature'", "valid number")),
    (f"{ABLATE} --top-p 0", ("'--top-p'", "at most 1, got 0")),
    (f"{ABLATE} --top-p 2", ("'--top-p'", "at most 1, got 2")),
    (f"{ABLATE} --top-p -0.5", ("'--top-p'", "-0.5")),
    (f"{ABLATE} --top-p nan", ("'--top-p'", "nan")),
    (f"{ABLATE} --samples 0", ("'--samples'", "greater than or equal to 1")),
    (f"{ABLATE} --seed -1", ("'--seed'", "greater than or equal to 0")),
    (f"{ABLATE} --seed x", ("'--seed'", "valid integer")),
    (f"{ABLATE} --batch-tokens 0", ("'--batch-tokens'",)),
    (f"{ABLATE} --greedy --samples 2", ("greedy", "samples 1")),
    ("screen --model demo --top-n 0", ("'--top-n'", "greater than or equal to 1")),
    ("run --model demo --top-k 0", ("'--top-k'", "greater than or equal to 1")),
    ("run --model demo --minimum-effect 0", ("'--minimum-effect'", "above 0")),
    ("sweep --model demo --minimum-effect nan", ("'--minimum-effect'", "nan")),
    ("run --model demo --minimum-attention 1", ("'--minimum-attention'", "below 1, got 1")),
    ("rank nowhere --minimum-attention -0.02", ("'--minimum-attention'", "-0.02")),
    ("run --model demo --n-random 0", ("'--n-random'", "greater than or equal to 1")),
    ("run --model demo --max-tokens 0", ("'--max-tokens'",)),
    ("run --model demo --temperature 0", ("'--temperature'",)),
    ("run --model demo --top-p 1.1", ("'--top-p'", "1.1")),
    # words
    ("screen --model demo --profile basline", ('"basline" does not exist', 'did you mean "baseline"?')),
    ("screen --model demo --profile ''", ("holds no profile",)),
    ("screen --model demo --profile ./nowhere", ('"nowhere" does not exist',)),
    ("screen --model demo --concept joy", ('concept "joy"', "gratitude, anger, apology")),
    ("screen --model demo --concept neutral", ('concept "neutral"', "gratitude, anger, apology")),
    ("screen --model demo --emotion Gratitude", ('concept "Gratitude"',)),
    (f"{ABLATE} --concept joy", ('concept "joy"',)),
    ("sweep --model demo --concept joy", ('concept "joy"',)),
    ("run --model demo --concept joy", ('concept "joy"',)),
    ("screen --model demo --protocol phase7", ('protocol "phase7" does not exist', "matched, phase6")),
    ("screen --model demo --query first", ('query "first" does not exist', "last, after, self")),
    ("run --model demo --query first", ('query "first" does not exist',)),
    ("run --model demo --budget some", ('budget "some" does not exist', "exact, fast")),
    ("run --model demo --until tomorrow", ('until "tomorrow" does not exist', "assay, screen, probes, scores, sweep")),
    ("run --model demo --time soon", ("--time is no time", "such as 2h, 30m or 1h30m")),
    ("run --model demo --time 0m", ("--time is no time", "0m")),
    ("run --model demo --no-patch --until patching", ('stage "patching" does not exist', "nulls, curves")),
    ("attribute --model demo --outcome keyword_count", ('"keyword_count" has no gradient', "headscope ablate")),
    ("attribute --model demo --steps -1", ("'--steps'", "greater than or equal to 0")),
    ("attribute --model demo --verify -1", ("'--verify'", "greater than or equal to 0")),
    ("attribute --model demo --concept joy", ('concept "joy"',)),
    ("run --model demo --language fr", ('no report can be written in "fr"', "en or ja")),
    ("run --model demo --language en --language EN", ('no report can be written in "EN"',)),
    ("report nowhere --language fr", ('no report can be written in "fr"',)),
    (f"{ABLATE} --edit median", ('edit "median" does not exist', "mean, zero")),
    (f"{ABLATE} --edit ''", ('edit "" does not exist',)),
    (f"{ABLATE} --edit Mean", ('edit "Mean" does not exist',)),
    (f"{ABLATE} --edit mean --edit mean", ("an edit is asked for twice", "mean, mean")),
    ("sweep --model demo --edit zero --edit zero", ("an edit is asked for twice",)),
    ("run --model demo --edit mean --edit zero --edit mean", ("an edit is asked for twice",)),
    ("run --model demo --edit mean --edit median", ('edit "median" does not exist',)),
    (f"{ABLATE} --value-bias drop", ('value bias "drop" does not exist', "zero, keep")),
    (f"{ABLATE} --scope prompt", ("scope cannot be prompt", "all or generated")),
    (f"{ABLATE} --keyword-counting all", ('keyword counting "all" does not exist',)),
    (f"{ABLATE} --outcome politeness", ('outcome "politeness" is not registered', "refusal", "politeness.py:NAME")),
    (f"{ABLATE} --outcome 'regex:(a'", ("a pattern does not compile", "(a", "character 0")),
    (f"{ABLATE} --outcome gone.py:x", ('there is no file "gone.py"',)),
    (f"{ABLATE} --outcome gone_outcomes:x", ('there is no module "gone_outcomes"', "FILE.py:NAME")),
    (f"{ABLATE} --outcome 'kl_b=regex:a'", ('cannot be named "kl_b"', "small letters")),
    (f"{ABLATE} --outcome classifier:./gone#pos", ('the classifier "./gone" cannot be loaded',)),
    ("run --model demo --outcome refusal --outcome refusal", ("outcomes must be named once each",)),
    ("run --model demo --outcome a=regex:b --outcome a=regex:c", ('two outcomes have the name "a"',)),
    ("patch --model demo --heads 0:0 --outcome nobody", ('outcome "nobody" is not registered',)),
    ("rank nowhere --by size", ('order "size" does not exist', "screen, effect")),
    ("patch --model demo --concept joy", ('concept "joy"',)),
    ("patch --model demo --direction up", ('direction "up" does not exist', "both, sufficiency, necessity")),
    ("patch --model demo --what mlp", ('"mlp" cannot be patched', "z, pattern, v, result, pattern_v, v_only")),
    ("patch --model demo --target first", ('target "first" does not exist', "from_span, span, last, generated")),
    ("patch --model demo --alignment start", ('alignment "start" does not exist', "end, exact")),
    ("patch --model demo --alpha nan", ("alpha is not a finite number",)),
    ("patch --model demo --source nobody-001", ('source "nobody-001" is no prompt',)),
    # options that a request has no use for
    ("screen --model demo --protocol phase6 --chat-template", ("protocol phase6 has no use for --chat-template",)),
    ("screen --model demo --protocol phase6 --chat-template-name rag", ("no use for --chat-template", "matched")),
    ("screen --model demo --protocol phase6 --query after", ("protocol phase6 has no use for --query after",)),
    ("screen --model demo --protocol phase6 --allow-low-coverage", ("no use for --allow-low-coverage",)),
    ("screen --model demo --protocol phase6 --bos never", ("no use for --bos never",)),
    (f"{ABLATE} --no-generate --samples 3", ("--samples is not used with --no-generate",)),
    (f"{ABLATE} --no-generate --scope generated --seed 1", ("--scope is not used with --no-generate",)),
    (f"{ABLATE} --no-generate --stop-token . --greedy", ("--greedy, --stop-token are not used",)),
    (f"{ABLATE} --greedy --temperature 0.5", ("--temperature is not used with --greedy",)),
    (f"{ABLATE} --edit mean --value-bias keep", ("--value-bias is not used without --edit zero",)),
    (f"{ABLATE} --no-generate --outcome refusal", ("--outcome refusal is of text", "with --no-generate")),
    ("sweep --model demo --outcome refusal", ("--outcome refusal is of text", "by a sweep", "headscope ablate")),
    ("patch --model demo --outcome refusal", ("--outcome refusal is of text", "each head is patched alone")),
    ("patch --model demo --heads 0:0 --what v --outcome refusal", ("--outcome refusal is of text", "fixed text only")),
    ("patch --model demo --max-tokens 5", ("--max-tokens is not used where each head is patched alone",)),
    ("patch --model demo --heads 0:0,0:1 --each --n-random 5", ("--n-random is not used where each head",)),
    ("patch --model demo --heads 0:0 --what v --samples 2", ("--samples is not used", "fixed text only")),
    ("patch --model demo --heads 0:0 --no-generate --greedy", ("--greedy is not used with --no-generate",)),
    ("run --model demo --greedy --top-p 0.5", ("--top-p is not used with --greedy",)),
    ("run --model demo --budget fast --share 0.2", ("--share is not used with --budget fast",)),
    ("run --model demo --budget fast --sets", ("--sets is not used with --budget fast",)),
    ("run --model demo --no-sets --share 0.2", ("--share is not used with --no-sets",)),
    ("sweep --model demo --top-k 2 --share 0.3", ("--top-k, --share are not used without --sets",)),
    # the machine
    ("screen --model demo --device abacus", ('device "abacus" does not exist', "auto, cpu")),
    ("screen --model demo --device cuda:99", ('device "cuda:99" is not on this machine',)),
    ("screen --model demo --dtype float12", ('dtype "float12" does not exist', "float32")),
    ("check demo --dtype int8", ('dtype "int8" does not exist',)),
    ("screen --model demo --bos sometimes", ('bos "sometimes" does not exist', "auto, always or never")),
    # models
    ("screen --model ./nowhere", ('there is no folder "./nowhere"', "what to do")),
    ("screen --model ''", ("is no checkpoint", "config.json")),
    ("check ./nowhere", ('there is no folder "./nowhere"',)),
    ("check ./nowhere@main", ('there is no folder "./nowhere@main"', "NAME@REVISION")),
    ("check gpt2@", ('there is no folder "gpt2@"', "NAME@REVISION")),
    (f"check {'x' * 300}", ("no folder can have this name",)),
    ("screen --model demo --tokenizer ./nowhere", ('there is no folder "./nowhere"',)),
    ("screen --model demo --tokenizer .", ("no tokenizer can be loaded",)),
    # prompts
    ("screen --model demo --prompts gratitude", ("--prompts is malformed", "CLASS=FILE")),
    ("screen --model demo --prompts gratitude=", ("--prompts is malformed",)),
    ("screen --model demo --prompts =a.txt", ("--prompts is malformed",)),
    ("screen --model demo --prompts gratitude=a.txt --prompts gratitude=b.txt", ('gives "gratitude" twice',)),
    ("screen --model demo --prompts joy=joy.txt", ('no class "joy"',)),
    ("screen --model demo --prompts gratitude=gone.json", ("does not exist", "gone.json")),
    ("screen --model demo --data-dir nowhere", ('no file for the prompts of "gratitude"', "nowhere")),
    (f"{ABLATE} --prompts-file mine.txt", ("--concept NAME",)),
    # outputs
    ("screen --model demo --output scores.csv", ("ending", ".json")),
    ("screen --model demo --output .", ("is a folder",)),
    ("screen --model demo --output /dev/null", ("ending", "/dev/null")),
    ("screen --model demo --out /dev/null", ("a file", "/dev/null")),
    (f"{ABLATE} --output ablation.txt", ("ending", ".json or .pkl")),
    (f"{ABLATE} --output a.pkl --no-generate", ("--no-generate",)),
    # runs and profiles
    ("show nowhere", ("not a run folder", "manifest.json")),
    ("show /etc/passwd", ("manifest", "/etc/passwd")),
    ("rank nowhere", ("not a run folder",)),
    ("plot nowhere", ("not a run folder",)),
    ("report nowhere", ("not a run folder",)),
    ("show nowhere --top-n 0", ("'--top-n'",)),
    ("profiles show nowhere", ('"nowhere" does not exist', "baseline")),
    ("profiles validate /dev/zero", ("no known form",)),
    ("profiles new con:cept", ('"con:cept" cannot name a concept', "letters")),
    ("profiles new joy --concept neutral", ('"neutral" cannot name a concept',)),
    ("profiles new joy --concept overall", ('"overall" cannot name a concept',)),
    ("profiles new /etc", ("exists already",)),
    ("profiles new ~nobody-of-this-name/joy", ("home folder is not known", "~nobody-of-this-name/joy")),
    ("screen --model demo --out ~nobody-of-this-name/x", ("home folder is not known",)),
    # columns
    ("screen --model demo --text-column body", ("no columns to name", "--text-column")),
    ("run --model demo --label-column mood", ("no columns to name",)),
    ("profiles validate baseline --text-column body", ("no columns to name",)),
    ("profiles check nowhere --model demo", ('"nowhere" does not exist', "baseline")),
    ("profiles check baseline", ("Missing option '--model'",)),
    ("profiles check baseline --model ./nowhere", ('there is no folder "./nowhere"', "what to do")),
    ("profiles check baseline --model demo --seed -1", ("seed",)),
]

MODEL: list[tuple[str, tuple[str, ...]]] = [
    ("run --model demo --edit zero", ('"mean" decides',)),
    ("run --model demo --top-k 17", ("top_k does not fit the model", "1 to 16")),
    ("sweep --model demo --sets --top-k 17", ("top_k does not fit the model", "1 to 16")),
    ("run --model demo --top-n 17", ("top_n does not fit the model", "1 to 16")),
    ("attribute --model demo --verify 17", ("verify does not fit the model", "0 to 16")),
    ("screen --model demo --chat-template-name rag", ("has no chat template",)),
    ("profiles check baseline --model demo --chat-template", ("has no chat template",)),
    (f"{ABLATE} --stop-token 'two words'", ("stop token 'two words' is not one token", "tokenizer_config.json")),
    ("run --model demo --stop-token ''", ("stop token '' is not one token",)),
    ("run --model demo --max-tokens 1000", ("longer than the model's context", "192", "--max-tokens")),
    (f"{ABLATE} --max-tokens 1000", ("longer than the model's context", "192", "--max-tokens")),
    *(
        (f"ablate --model demo --heads '{spec}'", words)
        for spec, words in {
            "": ("is malformed", "1:10"),
            "1;2": ('"1;2" is malformed', '"1:10"'),
            "0": ('"0" is malformed',),
            "0:": ('"0:" is malformed',),
            ":0": ('":0" is malformed',),
            "0:0,": ("is malformed",),
            "a:b": ('"a:b" is malformed',),
            "0:0:0": ('"0:0:0" is malformed',),
            "0:1.5": ('"0:1.5" is malformed',),
            "0:-1": ('"0:-1" is malformed',),
            "٣:٤": ("is malformed",),
            "99:0": ("99:0 does not exist", "4 layers of 4 heads"),
            "0:4": ("0:4 does not exist",),
            "0:2-9": ("0:2-9 does not exist",),
            "0:0,0:0": ("0:0 stands twice",),
            "0:0,L0H0": ("0:0 stands twice",),
            "0:*,0:1": ("0:1 stands twice",),
            "0:1-3,1:0,0:2": ("0:2 stands twice",),
            "3:3-2": ("runs backwards",),
        }.items()
    ),
]


# the chat template of a copy of the bundled model, what is typed after its name, words of the message
TEMPLATES: list[tuple[object, str, tuple[str, ...]]] = [
    ("{{ messages[0].content", "--chat-template", ("chat template cannot be rendered", "TemplateSyntaxError")),
    ("{{ raise_exception('no users') }}", "--chat-template", ("chat template cannot be rendered", "no users")),
    ("{{ messages[0].content + 1 }}", "--chat-template", ("chat template cannot be rendered", "TypeError")),
    ("{{ messages[0].content | upper }}", "--chat-template", ("changes the prompt's text",)),
    ({"rag": "R", "tool_use": "T"}, "--chat-template", ("none is the default", "rag, tool_use")),
    ({"rag": "R", "tool_use": "T"}, "--chat-template-name tool", ('no chat template named "tool"', "rag, tool_use")),
]


def model_with(template: object) -> dict[str, bytes | None]:
    """The bundled checkpoint as the folder ``m``, its tokenizer with this chat template."""
    files = {path.name: path.read_bytes() for path in find_checkpoint("demo").path.iterdir() if path.is_file()}
    tokenizer = json.loads(files["tokenizer_config.json"]) | {"chat_template": template}
    files["tokenizer_config.json"] = json.dumps(tokenizer).encode()
    return {f"m/{name}": content for name, content in files.items()}


def run_manifest(options: Mapping[str, object] | None = None, **changes: object) -> bytes:
    """The manifest of a finished run, with fields changed."""
    asked = Request(verb="run", options=dict(options or {}), model_fingerprint="m", profile_fingerprint="p", seed=0)
    manifest = Manifest(request=asked, request_digest=asked.digest, status="finished")
    return json.dumps({**manifest.model_dump(mode="json"), **changes}).encode()


MINE = b"text,label,mood\nI am glad.,1,joy\nI am glad.,0,joy\n"
ROW = b"concept,heads,k,outcome,estimate,percentile,floor,n_random,layer_matched,note\n"
NO_SCREEN = ",".join(TABLES["screen"].kinds).encode() + b"\n"

# what is typed, files of the run, words of the message
RUNS: list[tuple[str, dict[str, bytes | None], tuple[str, ...]]] = [
    ("show r", {"r/manifest.json": b""}, ("manifest is damaged",)),
    ("show r", {"r/manifest.json": run_manifest()[:-40]}, ("manifest is damaged",)),
    ("show r", {"r/manifest.json": b"\xff\xfe{"}, ("manifest is damaged",)),
    ("show r", {"r/manifest.json": b"[]"}, ("manifest is damaged",)),
    ("show r", {"r/manifest.json": b"[" * 50_000}, ("manifest is damaged",)),
    ("show r", {"r/manifest.json": None}, ("manifest cannot be read", "directory")),
    ("show r", {"r/manifest.json": run_manifest(schema_version=SCHEMA_VERSION + 1)}, ("newer headscope", "update")),
    ("show r", {"r/manifest.json": run_manifest(status="done")}, ("status",)),
    ("show r", {"r/manifest.json": run_manifest(surprise=1)}, ("surprise",)),
    ("show r", {"r/manifest.json": run_manifest(request_digest="0" * 8)}, ("does not agree with itself",)),
    ("show r --table nope", {"r/manifest.json": run_manifest()}, ('no table is called "nope"', "screen")),
    ("show r --table screen", {"r/manifest.json": run_manifest()}, ('table "screen" is missing',)),
    ("show r --table ../../x", {"r/manifest.json": run_manifest()}, ("leads out of the run folder",)),
    ("show r --table screen", {"r/manifest.json": run_manifest(), "r/tables/screen.csv": b"a,b\n"}, ("column",)),
    ("show r --table nulls", {"r/manifest.json": run_manifest(), "r/tables/nulls.csv": b""}, ("nulls",)),
    ("show r --table nulls", {"r/manifest.json": run_manifest(), "r/tables/nulls.csv": b"\xff"}, ("cannot be read",)),
    ("rank r", {"r/manifest.json": run_manifest()}, ("nothing to rank", "screen or effects")),
    *(
        ("rank r", {"r/manifest.json": run_manifest({"criteria": kept}), "r/tables/screen.csv": NO_SCREEN}, words)
        for kept, words in (
            ({"attends_q": 0.05}, ('"attends_q" is no criterion', "minimum_attention_share")),
            ({"minimum_nats": "much"}, ('"minimum_nats" is no criterion',)),
            ({"minimum_attention_share": 2.0}, ("is no share", "above 0 and below 1")),
            ([], ('"criteria" is no criterion',)),
        )
    ),
    ("screen --model demo --out r", {"r/thesis.tex": b"years"}, ("not empty", "thesis.tex")),
    ("run --model demo --out r", {"r/manifest.json": run_manifest()}, ("another request", "there", "here")),
    ("run --model demo --out r", {"r/manifest.json": b"{"}, ("manifest is damaged",)),
    ("run --model demo --out r", {"r": b"notes"}, ("a file", "r")),
    ("sweep --model demo --out r/new", {"r": b"notes"}, ("a file", "r")),
    ("ablate --model demo --heads 0:0 --output r.json", {"r.json": None}, ("is a folder",)),
    ("ablate --model demo --heads @gone.csv", {}, ("file does not exist", "gone.csv")),
    ("ablate --model demo --heads @h.csv", {"h.csv": b"layer,head\n9,9\n"}, ("9:9 does not exist", "h.csv, line 2")),
    ("sweep --model gpt2 --heads @h.csv", {"h.csv": b"name\nx\n"}, ("row names no head", "columns layer and head")),
    ("patch --model demo --heads @r", {"r/notes.txt": b"years"}, ("folder holds no verdicts", "headscope rank")),
    ("profiles new r", {"r/profile.yaml": b"name: r\n"}, ("exists already",)),
    ("profiles new r", {"r": b"notes"}, ("r",)),
    ("show r", {"r/manifest.json": run_manifest(warnings=["\ud83d"])}, ("manifest is damaged", "half of a character")),
    ("report r", {"r/manifest.json": run_manifest(record={"\ud83d": 1})}, ("manifest is damaged",)),
    ("show r", {"r/manifest.json": run_manifest(timings={"a": 10**400})}, ("manifest is damaged",)),
    (
        "show r --table nulls",
        {"r/manifest.json": run_manifest(), "r/tables/nulls.csv": ROW + b"a,0:0," + b"9" * 30 + b",o,1,2,3,4,true,\n"},
        ("does not fit",),
    ),
    ("screen --model demo --text-column body -p m.csv", {"m.csv": MINE}, ('no column "body"', "text, label, mood")),
    ("screen --model demo --label-column moods -p m.csv", {"m.csv": MINE}, ('no column "moods"',)),
    ("sweep --model demo -p m.csv", {"m.csv": MINE}, ("are numbers", "write names in their place")),
    (
        "ablate --model demo --heads 0:0 -p m.csv --label-column mood",
        {"m.csv": MINE},
        ("same text", "--drop-duplicates"),
    ),
    ("run --model demo --prompts anger=m.txt --text-column a", {"m.txt": GOOD_TEXT}, ("file has no columns",)),
    ("attribute --model demo --data-dir d", {"d": None}, ('"gratitude"', "gratitude_prompts.tsv")),
    # each file its own name: this process keeps what it imported
    ("run --model demo --outcome tone_a.py:x", {"tone_a.py": b"y = 1\nx = y / 0\n"}, ("ZeroDivisionError", "line 2")),
    (f"{ABLATE} --outcome tone_b.py:x", {"tone_b.py": b"x = 1\n"}, ("names no outcome", "int")),
    (
        f"{ABLATE} --outcome tone_c.py:x",
        {"tone_c.py": b"def x(texts, prompts):\n    return 1\n"},
        ('outcome "x" must give one number for each text', "2 numbers"),
    ),
]

SCORE = {
    "layer": 0, "head": 0, "delta_attn": 0.1, "emotion_mean_attn": 0.1, "neutral_mean_attn": 0.1,
    "samples_emotion": 3, "samples_neutral": 3, "emotion": "joy",
}  # fmt: skip
METRICS = {"keyword_counts": {"joy": {"mean": 1.0, "std": 0.0, "total": 1}}, "sentiment": {"mean": 0.0, "std": 0.0}}


def _scores(**changes: object) -> bytes:
    scores = {"model": "m", "layers": 1, "heads_per_layer": 1, "scores": [{**SCORE, **changes}]}
    return json.dumps(scores).encode()


def _ablation(**changes: object) -> bytes:
    texts = {"model": "m", "heads": [(0, 0)], "prompts": ["a"], "baseline_texts": ["b"], "ablation_texts": ["c"]}
    return json.dumps({**texts, "baseline_metrics": METRICS, "ablation_metrics": METRICS, **changes}).encode()


# content of the study's two files, as ``head_plots`` reads them, and words of the message
STUDY: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "a layer beyond the model": ("s.json", _scores(layer=10**12), ("wrong shape", "s.json")),
    "a head beyond the model": ("s.json", _scores(head=10**30), ("wrong shape",)),
    "half a character": ("s.json", _scores(emotion="\ud83d"), ("JSON is broken", "half of a character")),
    "no scores": ("s.json", _scores(delta_attn=None), ("holds no measure",)),
    "not JSON": ("s.json", b"{", ("JSON is broken",)),
    "nothing": ("s.json", b"", ("JSON is broken",)),
    "arms that count other words": (
        "a.json",
        _ablation(ablation_metrics={**METRICS, "keyword_counts": {}}),
        ("the same keyword counts in both arms",),
    ),
    "effects of another kind": ("a.json", _ablation(effects="x", concepts=["joy"]), ("cannot be drawn", "a.json")),
    "no effects": ("a.json", _ablation(effects=[], concepts=["joy"]), ("cannot be drawn",)),
    "effects of no concept": ("a.json", _ablation(effects=[{"concept": "joy"}]), ("cannot be drawn", "concepts")),
    "effects without numbers": ("a.json", _ablation(effects=[{"concept": "joy"}], concepts=["joy"]), ("lacks heads",)),
}


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
LLAMA = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 67}


def config(**changes: object) -> bytes:
    """The configuration of a tiny Llama, with values changed."""
    return json.dumps(LLAMA | changes).encode()


# what lies in the folder m that --model names, words of the message
CHECKPOINTS: dict[str, tuple[dict[str, bytes | None], tuple[str, ...]]] = {
    "empty": ({"m": None}, ("is no checkpoint", "config.json")),
    "a file": ({"m": b"text"}, ('"./m" is a file', "give the folder")),
    "the begin of a GGUF file": ({"m": b"GGUF\3\0\0"}, ("truncated or damaged", "download or copy the file again")),
    "a GGUF file by its name": ({"m/model.gguf": b"<html>"}, ("no GGUF file, though it ends so", "model.gguf")),
    "several GGUF files": ({"m/a.gguf": b"GGUF", "m/b.gguf": b"GGUF"}, ("several GGUF files", "a.gguf, b.gguf")),
    "weights only": ({"m/model.safetensors": b""}, ("is no checkpoint", "model.safetensors")),
    "another format": ({"m/config.json": config(), "m/model.onnx": b"ONNX"}, ("another format", "model.onnx")),
    "configuration is a list": ({"m/config.json": b"[]"}, ("no JSON object", "list")),
    "configuration is null": ({"m/config.json": b"null"}, ("no JSON object",)),
    "configuration is deep": ({"m/config.json": b"[" * 50_000}, ("config.json is no JSON",)),
    "configuration in another code": ({"m/config.json": b'{"a": "\xff"}'}, ("config.json is no JSON",)),
    "configuration is a pointer": ({"m/config.json": POINTER}, ("git lfs pull", "config.json")),
    "no model type": ({"m/config.json": b"{}"}, ("a newer transformers may know", "model_type")),
    "unknown model type": ({"m/config.json": config(model_type="zork")}, ("a newer transformers may know",)),
    "a word for a number": ({"m/config.json": config(hidden_size="32")}, ("hidden_size", "config.json that came")),
    "no heads": ({"m/config.json": config(num_attention_heads=0)}, ("config.json that came with these weights",)),
    "an unknown type of numbers": ({"m/config.json": config(dtype="float33")}, ("float33", "config.json that came")),
    "own code": ({"m/config.json": config(auto_map={"AutoConfig": "a.B"})}, ("--trust-remote-code",)),
    "an unknown quantization": (
        {"m/config.json": config(quantization_config={"quant_method": "zork"})},
        ("quantized in a way", "zork"),
    ),
    "ends of text that are no JSON": (
        {"m/config.json": config(), "m/generation_config.json": b"{"},
        ("generation_config.json is no JSON",),
    ),
    "weights are a pointer": ({"m/config.json": config(), "m/model.safetensors": POINTER}, ("git lfs pull",)),
    "weights are a page": ({"m/config.json": config(), "m/pytorch_model.bin": b"<html>"}, ("holds no weights",)),
    "weights are empty": ({"m/config.json": config(), "m/model.safetensors": b""}, ("truncated or corrupt",)),
    "an index of nothing": ({"m/config.json": config(), "m/model.safetensors.index.json": b"{}"}, ("weight_map",)),
    "an index of missing files": (
        {"m/config.json": config(), "m/model.safetensors.index.json": b'{"weight_map": {"a": "b.safetensors"}}'},
        ("weight files are missing", "b.safetensors"),
    ),
    "an adapter without a base": ({"m/adapter_config.json": b"{}"}, ("the base of the adapter", "adapter_config.json")),
    "an adapter whose base is gone": (
        {"m/adapter_config.json": b'{"base_model_name_or_path": "./gone"}'},
        ("the base of the adapter", 'no folder "./gone"'),
    ),
    "an adapter that is its own base": (
        {"m/adapter_config.json": b'{"base_model_name_or_path": "./m"}'},
        ("is an adapter itself",),
    ),
    "a cache of several": (
        {"m/models--a--b/snapshots/1/config.json": b"{}", "m/models--c--d/snapshots/1/config.json": b"{}"},
        ("a folder of several", "a/b, c/d"),
    ),
}


def table() -> dict[str, Wrong]:
    """Every wrong request, by a name that tells it."""
    rows = {typed: Wrong(tuple(shlex.split(typed)), words) for typed, words in (*OPTIONS, *MODEL)}
    for case, (name, content, word) in PROMPT_FILES.items():
        data = content.encode() if isinstance(content, str) else content
        rows[f"file of prompts: {case}"] = Wrong(("screen", "--model", "demo", "-p", name), (word,), {name: data})
    for case, (content, word) in YAMLS.items():
        data = content.encode() if isinstance(content, str) else content
        files: dict[str, bytes | None] = {"mine/profile.yaml": data, "mine/p.txt": GOOD_TEXT, "secret.txt": b"secret\n"}
        rows[f"profile.yaml: {case}"] = Wrong(("screen", "--model", "demo", "--profile", "mine"), (word,), files)
    for template, typed, words in TEMPLATES:
        command = ("screen", "--model", "./m", *shlex.split(typed))
        rows[f"chat template: {template} {typed}"] = Wrong(command, words, model_with(template))
    for number, (typed, files, words) in enumerate(RUNS):
        rows[f"run folder {number}: {typed}"] = Wrong(tuple(shlex.split(typed)), words, files)
    for case, (files, words) in CHECKPOINTS.items():
        rows[f"checkpoint: {case}"] = Wrong(("screen", "--model", "./m"), words, files)
    for case, (typed, words, files) in bad_edits_table.rows().items():
        rows[case] = Wrong(tuple(shlex.split(typed)), words, files)
    return rows
