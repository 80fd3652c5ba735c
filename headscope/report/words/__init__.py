"""The words of the report and the page: one file a language in this folder, ``<code>.yaml``, and nothing else of it.

An entry is a text with {placeholders}, or two, ``one`` and ``other``, of which the number ``n`` chooses. Entries are
asked for by their path, e.g. ``words("looking.largest", head=..., sized=...)``. A report on tasks says some phrases and
entries otherwise; the section ``tasks`` lists them. What a run calls things (outcomes,
units, verdicts) is looked up by the run's own name, and stays that name where a language has no word for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, cast

import yaml

from headscope.errors import RequestError
from headscope.report.document import Cell, Foreign
from headscope.report.numbers import MISSING

FOLDER: Traversable = resources.files("headscope.report.words")
DEFAULT = ("en", "ja")
_BRACES = re.compile(r"(\{[^{}]*\})")


class Words:
    """The words of one language; see the module."""

    def __init__(self, code: str, entries: Mapping[str, Any]) -> None:
        self.code = code
        self.entries = entries

    def __call__(self, key: str, n: int | str | None = None, **values: object) -> str:
        """The entry at a path, its placeholders filled; KeyError where there is none."""
        entry: Any = self.entries
        for step in key.split("."):
            entry = entry[step]
        if isinstance(entry, Mapping):
            entry = entry["one" if str(n) == "1" else "other"]
        return str(entry).format(n=n, **values)

    def known(self, group: str, name: str) -> str:
        """The word for a run's own ``name``; empty where the language has none."""
        return str(self.entries[group].get(name, ""))

    def named(self, group: str, name: str) -> Cell:
        """The word for a run's own ``name``, else that name."""
        return self.known(group, name) or Foreign(name)

    def outcome(self, name: str) -> Cell:
        """An outcome's name, for a table: ``keywords: anger``, ``lexicon log-odds of anger``."""
        base, _, other = name.partition(":")
        known = self.known("outcomes", base)
        if known:
            joined = "specificity_of" if base == "specificity_nats" else "outcome_of"
            return self._around(joined, Foreign(other), "other", outcome=known) if other else known
        for family in self.entries["outcome_families"]:
            if base.startswith(family):
                return self._around(f"outcome_families.{family}", Foreign(base.removeprefix(family)), "name")
        return Foreign(name)

    def unit(self, name: str) -> str:
        """A unit; with a leading space where it follows its number, without where it explains it in brackets."""
        return self.known("units", name) or (f" {name}" if name else "")

    def answer(self, answer: str) -> str:
        """Whether a head attends to the concept's words, for a table."""
        return self.known("answers", answer) or MISSING

    def file(self, path: str) -> str:
        """What a file of the run folder holds; empty where it is not known."""
        return self.known("files", path.split("/")[-1])

    def figure(self, path: str) -> Cell:
        """Caption of a figure by its file's name: the longest kind that fits, and what else the name says."""
        name = path.split("/")[-1].rsplit(".", 1)[0]
        for kind in sorted(self.entries["figures"], key=len, reverse=True):
            if name == kind:
                return self.known("figures", kind)
            if name.startswith(f"{kind}_"):
                rest = Foreign(name[len(kind) + 1 :].replace("_", " "))
                return self._around("figure_of", rest, "name", caption=self.known("figures", kind))
        return Foreign(name)

    def listed(self, items: Sequence[str], most: int | None = None, by: str = "clauses") -> str:
        """Items one after the other; beyond ``most`` only how many more there are."""
        shown = self(f"glue.{by}").join(items[:most])
        return shown + (self("glue.more", len(items) - most) if most is not None and len(items) > most else "")

    def sentences(self, *sentences: str) -> str:
        """Sentences one after the other; empty ones are left out."""
        return self("glue.sentences").join(filter(None, sentences))

    def _around(self, key: str, foreign: Foreign, name: str, **values: str) -> Cell:
        """An entry with one placeholder for foreign text, as a cell that keeps it apart from our words."""
        before, after = self(key, **{name: "\0"}, **values).split("\0")
        return (before, foreign, after)


def capital(text: str) -> str:
    """A clause as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def languages() -> tuple[str, ...]:
    """The codes of all languages that have a file, those of the reports of a run first."""
    codes = sorted(file.name.removesuffix(".yaml") for file in FOLDER.iterdir() if file.name.endswith(".yaml"))
    return (*(code for code in DEFAULT if code in codes), *(code for code in codes if code not in DEFAULT))


def check_language(*codes: str) -> None:
    """Raise RequestError where a report cannot be written in one of them."""
    for code in codes:
        if code not in languages():
            raise RequestError(f'no report can be written in "{code}"', expected=" or ".join(languages()), got=code)


def words_of(code: str, *, tasks: bool = False) -> Words:
    """The words of a language; ``tasks``: those of a report on tasks.

    Raises:
        RequestError: there is no file of that language.
    """
    check_language(code)
    return _read(FOLDER.joinpath(f"{code}.yaml"), code, tasks)


@lru_cache(maxsize=8)
def _read(file: Traversable, code: str, tasks: bool) -> Words:
    entries = yaml.safe_load(file.read_text("utf-8"))
    said = entries.pop("tasks", {"say": {}, "instead": {}})
    if tasks:
        entries = _said_otherwise(entries, said["say"])
        for path, text in said["instead"].items():
            *groups, name = path.split(".")
            group = entries
            for step in groups:
                group = group[step]
            group[name] = text
    return Words(code, entries)


def _said_otherwise(entry: Any, phrases: Mapping[str, str]) -> Any:
    """An entry, or a section, with phrases replaced; what stands in braces is a name and stays."""
    if isinstance(entry, dict):
        return {key: _said_otherwise(value, phrases) for key, value in cast("dict[str, Any]", entry).items()}
    if not isinstance(entry, str):
        return entry
    parts = _BRACES.split(entry)  # every second part is a placeholder
    for phrase, instead in phrases.items():
        parts[::2] = [part.replace(phrase, instead) for part in parts[::2]]
    return "".join(parts)
