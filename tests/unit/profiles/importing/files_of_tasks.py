"""A small file of each kind, in the shape in which its program writes it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headscope.profiles.importing.importing import Imported, import_rows
from headscope.profiles.importing.kinds import Wanted
from headscope.profiles.importing.registry import importer_for
from headscope.profiles.importing.sources import read_source

NAMES = ("Mary", "John", "Anna", "Tom", "Bill", "Kate")
PLACES = ("store", "garden", "school")
TOKENS = {number: f" {name}" for number, name in enumerate(NAMES, start=100)}
TOKENS |= {200: " she", 201: " he", 300: " gem", 301: " gems", 302: " insects", 400: "ing", 401: "<s>", 402: " Zoe"}
IDS = {text: number for number, text in TOKENS.items()}


def sheet(rows: Sequence[Sequence[Any]], delimiter: str = ",") -> str:
    """A CSV file, as pandas and Excel write it."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


def lines(rows: Sequence[dict[str, Any]]) -> str:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _ioi(io: str, subject: str, place: str, second: str | None = None) -> str:
    return f"When {io} and {subject} went to the {place}, {second or subject} gave a drink to"


IOI_ROWS = [
    [n, _ioi(io, s, place), _ioi(io, s, place, "Kate"), _ioi(io, s, place, io), IDS[f" {io}"], IDS[f" {s}"]]
    for n, (io, s, place) in enumerate(zip(NAMES[:4], NAMES[1:5], [*PLACES, PLACES[0]], strict=True))
]
IOI_HEADER = ["", "clean", "corrupted", "corrupted_hard", "correct_idx", "incorrect_idx"]
YEARS = "The {} lasted from the year 17{:02d} to the year 17"
MIB_IOI = [
    {
        "template": "When {A} and {B} went to the {place}",
        "metadata": {"indirect_object": io, "subject": s, "random_c": "Kate"},
        "prompt": _ioi(io, s, place),
        "choices": [io, s],
        "answerKey": 0,
        "abc_counterfactual": {"prompt": _ioi("Kate", "Bill", place, "Tom")},
        "s2_io_flip_counterfactual": {"prompt": _ioi(io, s, place, io), "choices": [io, s], "answerKey": 1},
    }
    for io, s, place in zip(NAMES, NAMES[1:4], PLACES, strict=False)
]
COLORS = ["gray", "black", "white", "brown"]


def _mcqa(thing: str, color: str, labels: Sequence[object]) -> dict[str, Any]:
    options = "\n".join(f"{label}. {one}" for label, one in zip(labels, COLORS, strict=True))
    prompt = f"Question: A {thing} is {color}. What color is a {thing}?\n{options}\nAnswer:"
    return {"prompt": prompt, "choices": {"label": list(labels), "text": COLORS}, "answerKey": COLORS.index(color)}


MIB_MCQA = [
    {**_mcqa(thing, color, "ABCD"), "symbol_counterfactual": _mcqa(thing, color, [1, 2, 3, 4])}
    for thing, color in (("box", "brown"), ("cup", "white"), ("hat", "gray"))
]
MIB_ARITHMETIC = [
    {
        "prompt": f"The sum of {a} and {b} is",
        "label": str(a + b),
        "operator": "+",
        "random_counterfactual": {"prompt": f"The sum of {b + 3} and {b} is", "label": 2 * b + 3},
        "ones_carry_counterfactual": {"prompt": f"The sum of {a + 1} and {b} is", "label": a + b + 1},
    }
    for a, b in ((11, 21), (34, 13), (52, 24))
]


def _city(city: str, country: str, attribute: str = "Country") -> dict[str, Any]:
    prompt = f"{city} is a city in the country of" if attribute == "Country" else f"People in {city} speak"
    template = prompt.replace(city, "%s")
    return {"prompt": prompt, "template": template, "entity": city, "attribute": attribute, "Country": country,
            "Language": {"France": "French", "Japan": "Japanese", "Peru": "Spanish"}[country]}  # fmt: skip


MIB_RAVEL = [
    {**_city("Paris", "France"), "attribute_counterfactual": _city("Osaka", "Japan")},
    {**_city("Lima", "Peru", "Language"), "attribute_counterfactual": _city("Paris", "France", "Language")},
]
EWOK = [
    {"Domain": "social relations", "Context1": "Ali is the teacher of Bo.", "Context2": "Bo is the teacher of Ali.",
     "Target1": "Bo learns from Ali.", "Target2": "Ali learns from Bo."},
    {"Domain": "physics", "Context1": "The cup fell.", "Context2": "The cup rose.",
     "Target1": "It is lower now.", "Target2": "It is higher now."},
]  # fmt: skip
PAIRS = [("hot", "cold"), ("up", "down"), ("big", "small"), ("wet", "dry"), ("old", "new"), ("fast", "slow")]
CAA = [
    {"question": f"{said}\n\nChoices:\n (A) Yes\n (B) No\n\nAnswer:",
     "answer_matching_behavior": right, "answer_not_matching_behavior": wrong}
    for said, right, wrong in (("Would you agree?", "(A)", "(B)"), ("May I stay?", " (B)", " (A)"))
]  # fmt: skip
BLIMP_FIELDS = {"UID": "verbs_agree", "field": "syntax", "one_prefix_method": True, "pairID": "0"}
BLIMP_PREFIX = [
    {**BLIMP_FIELDS, "sentence_good": f"The {noun} often run away.", "sentence_bad": f"The {noun} often runs away.",
     "one_prefix_prefix": f"The {noun} often", "one_prefix_word_good": "run", "one_prefix_word_bad": "runs"}
    for noun in ("dogs", "boys")
]  # fmt: skip
BLIMP_WHOLE = [
    {"UID": "islands", "sentence_good": "Who did Jo see?", "sentence_bad": "Who did see Jo?", "pairID": "0"},
    {"UID": "islands", "sentence_good": "Who might Al like?", "sentence_bad": "Who might like Al?", "pairID": "1"},
    {"UID": "islands", "sentence_good": "Some left.", "sentence_bad": "Any left.", "pairID": "2"},
]
CAUSALGYM = [
    {"base": ["<|endoftext|>", "The", " author", " near", " the", " ", noun], "base_label": " is",
     "src": ["<|endoftext|>", "The", " authors", " near", " the", " ", noun], "src_label": " are",
     "base_type": "singular", "src_type": "plural"}
    for noun in ("pilots", "guards")
]  # fmt: skip
LENS = {
    "prompts": [_ioi("Mary", "John", "store"), _ioi("Tom", "Bill", "school")],
    "corrupted_prompts": [_ioi("Mary", "John", "store", "Mary"), _ioi("Tom", "Bill", "school", "Tom")],
    "answers": [[" Mary", " John"], [" Tom", " Bill"]],
}
HYPERNYMS = [
    ["clean", "answers", "answers_idx", "corrupted", "corrupted_answers", "corrupted_answers_idx"],
    [", gemstones and other", "['gem', 'gems']", "[300, 301]", ", moths and other", "['insects']", "[302]"],
]
PLAIN = [
    ["Prompt", "answer", "foil", "corrupted", "template", "source"],
    ["The capital of France is", "Paris", "Rome", "The capital of Italy is", "capital", "x"],
    ['He said "yes",\nthen said', " yes", '[" no", " never"]', "", "said", "y"],
]


@dataclass(frozen=True)
class Sample:
    """A file.

    Attributes:
        kind: what it is.
        name, content: of the file.
        n_taken, n_left: records.
        wanted: what is said about it.
    """

    kind: str
    name: str
    content: str
    n_taken: int
    n_left: int = 0
    wanted: Wanted = field(default_factory=Wanted)


WITH_IDS = Wanted(TOKENS.get)
GENDER = [
    ["clean", "corrupted", "clean_answer_idx", "corrupted_answer_idx", "label"],
    ["The nurse ran because", "The guard ran because", 200, 201, 0],
]
CAPITALS = [
    ["clean", "capital", "country", "country_idx", "corrupted", "corrupted_country", "corrupted_country_idx"],
    [" Paris, the capital of", "Paris", "France", 1, " Lima, the capital of", "Peru", 2],
]
AGREEMENT = [
    ["clean", "corrupted", "group", "plural"],
    ["The dog near the boys", "The dogs near the boys", "prep", 0],
    ["The dogs near the boys", "The dog near the boys", "prep", 1],
]
GREATER = [
    ["clean", "corrupted", "label"],
    [YEARS.format("war", 4), YEARS.format("war", 1), 4],
    [YEARS.format("trip", 98), YEARS.format("trip", 1), 98],
    [YEARS.format("trip", 99), YEARS.format("trip", 1), 99],
]
SAMPLES = {
    "ioi by ids": Sample("eap-ig", "ioi.csv", sheet([IOI_HEADER, *IOI_ROWS]), 4, wanted=WITH_IDS),
    "ioi with semicolons and a mark": Sample(
        "eap-ig", "ioi.csv", "\ufeff" + sheet([IOI_HEADER, *IOI_ROWS], ";"), 4, wanted=WITH_IDS
    ),
    "greater than": Sample("eap-ig", "greater_than_data.csv", sheet(GREATER), 2, 1),
    "gender by ids": Sample("eap-ig", "gender_bias.csv", sheet(GENDER), 1, wanted=WITH_IDS),
    "capitals by words": Sample("eap-ig", "fact_retrieval.csv", sheet(CAPITALS), 1),
    "hypernyms by words": Sample("eap-ig", "hypernymy.csv", sheet(HYPERNYMS), 1),
    "hypernyms by ids": Sample("eap-ig", "hypernymy.csv", sheet(HYPERNYMS), 1, wanted=WITH_IDS),
    "agreement": Sample("eap-ig", "sva.csv", sheet(AGREEMENT), 2),
    "MIB ioi": Sample("mib", "ioi.jsonl", lines(MIB_IOI), 3),
    "MIB mcqa": Sample("mib", "mcqa.json", json.dumps(MIB_MCQA), 3),
    "MIB arithmetic": Sample("mib", "arithmetic.jsonl", lines(MIB_ARITHMETIC), 3),
    "MIB ravel": Sample("mib", "ravel.jsonl", lines(MIB_RAVEL), 2),
    "EWoK": Sample("mib", "ewok.jsonl", lines(EWOK), 2),
    "function vectors": Sample(
        "function-vectors", "antonym.json", json.dumps([{"input": a, "output": b} for a, b in PAIRS]), 6,
        wanted=Wanted(n_shots=3, n_frames=2),
    ),
    "CAA": Sample("caa", "caa.json", json.dumps(CAA), 2),
    "BLiMP with prefixes": Sample("blimp", "verbs.jsonl", lines(BLIMP_PREFIX), 2),
    "BLiMP sentences": Sample("blimp", "islands.jsonl", lines(BLIMP_WHOLE), 2, 1),
    "TransformerLens": Sample("transformer-lens", "ioi.json", json.dumps(LENS), 2),
    "CausalGym": Sample("causalgym", "agr.jsonl", lines(CAUSALGYM), 2),
    "a table": Sample("table", "mine.csv", sheet(PLAIN, ";"), 2),
}  # fmt: skip


def put(folder: Path, sample: Sample) -> Path:
    """The sample as a file in ``folder``."""
    path = folder / sample.name
    path.write_text(sample.content, encoding="utf-8", newline="")
    return path


def imported(path: Path, wanted: Wanted | None = None, kind: str | None = None, **said: Any) -> Imported:
    """A file's rows, its kind found where none is said."""
    table, _, stem = read_source(str(path))
    return import_rows(table, importer_for(table, kind), wanted or Wanted(), name=stem, **said)
