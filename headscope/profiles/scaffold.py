"""``headscope profiles new``: a folder to fill in that already runs.

It holds a commented ``profile.yaml`` and five prompts. Control prompts, control words and readouts are left to the
bundled profile; the comments say how to give one's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import regex
import yaml

from headscope.errors import ProfileError
from headscope.profiles.files import expanded
from headscope.profiles.schema import FORMAT
from headscope.profiles.validation import RESERVED_NAMES

EXAMPLE_WORDS = ("joyful", "delighted", "cheerful", "joy", "delight")
EXAMPLE_FRAMES = (
    "I am {} about the news today.",
    "We left the house {} and ready for the trip.",
    "She sounded {} on the phone last night.",
    "They were {} when the letter came.",
    "He looked {} after the long meeting.",
)

_CONCEPT = regex.compile(r"^[^\W_][\w\p{M}-]{0,63}$")
_YAML = """\
# A headscope profile: what is looked for, and the prompts that carry it. docs/profiles.md explains every field.
#   check it:  headscope profiles validate FOLDER
#   run it:    headscope run --profile FOLDER
format: {format}
name: {name}
description: {concept} against neutral text.
language: en

# One prompt a line; .csv, .txt and the {{"prompts": ["..."]}} JSON are read too.
# The span of a prompt (where the concept's word stands) is found with the lexicon; "span": [start, end] gives it
# where the word is another one. "template" names the frame: prompts of one frame count as one observation, and
# fewer than 6 frames are described, not tested. "pair" names a control prompt of the same frame.
prompts: prompts.jsonl

concepts:
  {name}:
    # Words that say the concept. Only words whose first token begins no other word count, so give several.
    lexicon:
{lexicon}
# Left out, these come from the bundled profile. To give your own, remove the "#":
# control_lexicon:            # words of the same kinds that do not carry the concept
#   adjective: [busy, hungry, sleepy, ready]
#   noun: [opinion, plan, idea, view]
# readouts:                   # continuations after which the next word tells; no concept word in them
#   - All I can say is that I am so
# Control prompts are rows of the class "neutral" in prompts.jsonl.
"""


def new_profile(folder: str | Path, concept: str | None = None, words: Sequence[str] = ()) -> Path:
    """Make a profile folder to fill in; its path.

    ``concept`` is the folder's name if left out; ``words`` are its lexicon, words of joy to be replaced if left out.

    Raises:
        ProfileError: the folder holds files, cannot be written, or the name cannot name a concept.
    """
    folder = expanded(folder)
    name = concept if concept is not None else folder.resolve().name
    if not _CONCEPT.match(name):
        raise ProfileError(
            f'"{name}" cannot name a concept', expected='letters, digits, "-" and "_"', got=name, fix="--concept NAME"
        )
    if name in {*RESERVED_NAMES, "neutral"}:
        raise ProfileError(f'"{name}" cannot name a concept', got=name, fix="choose another name")
    bad = [word for word in words if not word or word != word.strip()]
    if bad:
        raise ProfileError("a lexicon word is empty or has space around it", expected="words", got=repr(bad[0]))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProfileError(
            "profile folder exists already", expected="a new or an empty folder", got=str(folder), fix="choose another"
        )
    chosen = tuple(dict.fromkeys(words)) or EXAMPLE_WORDS
    lexicon = f"      [{', '.join(map(_quoted, chosen))}]\n"
    text = _YAML.format(format=FORMAT, name=_quoted(name), concept=name, lexicon=lexicon)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "profile.yaml").write_text(text, encoding="utf-8")
        (folder / "prompts.jsonl").write_text(_rows(name, chosen), encoding="utf-8")
    except OSError as error:
        raise ProfileError("profile folder cannot be written", got=error.strerror, where=str(folder)) from error
    return folder


def _quoted(word: str) -> str:
    """A word as YAML reads it back: in quotes only where it would be a number, a truth value or markup."""
    plain = word.replace("-", "").isalpha() and yaml.safe_load(word) == word
    return word if plain else json.dumps(word, ensure_ascii=False)


def _rows(name: str, words: Sequence[str]) -> str:
    rows: list[str] = []
    for number, frame in enumerate(EXAMPLE_FRAMES, start=1):
        word = words[(number - 1) % min(len(words), 3)]
        row = {"id": f"{name}-{number:03d}", "concept": name, "text": frame.format(word), "template": f"f{number:02d}"}
        rows.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(rows) + "\n"
