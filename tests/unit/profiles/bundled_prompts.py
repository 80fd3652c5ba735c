"""A bundled profile as its files hold it, read without headscope, and the counts that the laws are stated in.

The files are parsed with PyYAML and json alone, so that a loader that repairs or drops a row cannot hide it from the
laws.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BUILTIN = Path(__file__).resolve().parents[3] / "headscope" / "profiles" / "builtin"
CONTROL = "neutral"
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def words_of(text: str) -> list[str]:
    """The words of a text, lower-cased, without punctuation."""
    return WORD.findall(text.lower())


@dataclass(frozen=True, repr=False)
class BundledProfile:
    """The two files of a bundled profile: the parsed YAML and the JSONL's rows in order."""

    settings: dict[str, Any]
    rows: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, name: str) -> BundledProfile:
        folder = BUILTIN / name
        settings = yaml.safe_load((folder / "profile.yaml").read_text(encoding="utf-8"))
        lines = (folder / settings["prompts"]).read_text(encoding="utf-8").splitlines()
        return cls(settings, tuple(json.loads(line) for line in lines))

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(self.settings["concepts"])

    @property
    def classes(self) -> tuple[str, ...]:
        return (*self.concepts, CONTROL)

    def of(self, name: str) -> list[dict[str, Any]]:
        """Rows of one class, in order."""
        return [row for row in self.rows if row["concept"] == name]

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.rows}

    @property
    def lexicons(self) -> dict[str, dict[str, list[str]]]:
        """Class -> part of speech -> words; the control lexicon stands under ``neutral``."""
        concepts = {name: dict(concept["lexicon"]) for name, concept in self.settings["concepts"].items()}
        return concepts | {CONTROL: dict(self.settings["control_lexicon"])}

    def lexicon(self, name: str) -> set[str]:
        return {word for words in self.lexicons[name].values() for word in words}

    @property
    def lexicon_words(self) -> set[str]:
        """Words of all lexicons, the control's among them."""
        return {word for name in self.classes for word in self.lexicon(name)}

    @property
    def pairs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Every concept prompt with its matched neutral prompt."""
        return [(row, self.by_id[row["pair"]]) for row in self.rows if row["concept"] != CONTROL]


def span_text(row: dict[str, Any]) -> str:
    return row["text"][row["span"][0] : row["span"][1]]


def frame(row: dict[str, Any]) -> tuple[str, str]:
    """What stands before and after the slot."""
    return row["text"][: row["span"][0]], row["text"][row["span"][1] :]


def templates(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Template id -> its rows."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["template"]].append(row)
    return dict(grouped)


def slot_place_share(row: dict[str, Any]) -> float:
    """Where the slot stands among the prompt's words: 0 is the first word, 1 the last."""
    before, _ = frame(row)
    return len(words_of(before)) / (len(words_of(row["text"])) - 1)


def repeated(keys: Iterable[Hashable]) -> list[Hashable]:
    """The keys that occur more than once."""
    return [key for key, count in Counter(keys).items() if count > 1]


def equal_pair_shares(profile: BundledProfile, tokenize: Callable[[str], list[int]]) -> dict[str, float]:
    """For each concept, the share of pairs whose token counts agree up to the slot's end and in all."""
    equal: dict[str, list[bool]] = {name: [] for name in profile.concepts}
    for row, control in profile.pairs:
        lengths = [(len(tokenize(one["text"][: one["span"][1]])), len(tokenize(one["text"]))) for one in (row, control)]
        equal[row["concept"]].append(lengths[0] == lengths[1])
    return {name: sum(found) / len(found) for name, found in equal.items()}
