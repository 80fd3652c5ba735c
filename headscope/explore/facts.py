"""What the page knows before it asks anything: the model's heads, the profile's examples, a run's maps and verdicts.

The run's numbers are those of its own page (``report.page_data``), under the names that its maps have there; a head
that was not measured is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from headscope.chat import DEFAULT, named_templates
from headscope.errors import RequestError
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile, Prompt
from headscope.report.page_data import page_data
from headscope.report.run_report import content_of
from headscope.report.words import Words, words_of
from headscope.runs.folder import Run
from headscope.terms import AGREEING_EDIT, DECIDING_EDIT

EXAMPLES_COUNT = 12
"""So many prompts of each concept are offered."""
PAGE_FOLDER = resources.files("headscope.explore").joinpath("page")
_REPORT_WORDS = ("verdicts", "name")
_MAPS = {
    "screen": ("screen", "attention"),
    "value": ("screen", "value_weighted"),
    "brings": ("patch", "sufficiency"),
    "takes": ("patch", "necessity"),
    "predicted": ("score", "attribution_patching"),
}
"""Word of a map -> kind and name of what it shows, beside the effects."""


def facts_of(
    model: HeadModel, profile: Profile | None, run: Run | None, *, keep: Path, language: str = "en"
) -> dict[str, Any]:
    """Everything that the page begins with, as JSON holds it. ``keep``: the folder that prompts are added to."""
    words = page_words()
    return {
        "model": {
            "name": model.name,
            "n_layers": len(model.heads_per_layer),
            "heads_per_layer": list(model.heads_per_layer),
            "context_length": model.context_length,
            "chat": DEFAULT in named_templates(model.tokenizer),
            "bos": model.bos == "always",
        },
        "language": language,
        "words": words,
        "profile": None if profile is None else _profile(profile),
        "run": None if run is None else _run(run, model, [words_of(code) for code in ("en", "ja")]),
        "keep": str(keep),
        "sentence": {code: entries["sentence"] for code, entries in words.items() if "sentence" in entries},
    }


def page_words() -> dict[str, dict[str, Any]]:
    """The page's words by language: its own, and those of the report that it says too; empty where there are none."""
    folder = PAGE_FOLDER.joinpath("words")
    files = sorted(folder.iterdir(), key=lambda file: file.name) if folder.is_dir() else []
    own = {file.name.removesuffix(".yaml"): file for file in files if file.name.endswith(".yaml")}
    return {
        code: yaml.safe_load(file.read_text("utf-8")) | {key: words_of(code).entries[key] for key in _REPORT_WORDS}
        for code, file in own.items()
    }


def profile_of(run: Run) -> Profile:
    """The profile that a run asked.

    Raises:
        ProfileError: it is no longer where it was.
        RequestError: it was changed since.
    """
    kept, asked = run.manifest.profile, run.manifest.request.profile_fingerprint
    name, source = str(kept.get("name", "")), str(kept.get("source", ""))
    profile = load_profile(name if source == "bundled" else source)
    if profile.fingerprint != asked:
        raise RequestError(
            "the run asked another profile than the one that lies there now",
            expected=f"a profile with the fingerprint {asked[:8]}",
            got=profile.fingerprint[:8],
            where=source,
            fix="name the profile yourself (--profile)",
        )
    return profile


def check_run(run: Run, model: HeadModel) -> str | None:
    """A sentence where a run's model is perhaps not this one; None where it is.

    Raises:
        RequestError: it has other heads.
    """
    heads = run.manifest.model.get("heads_per_layer")
    if heads != list(model.heads_per_layer):
        raise RequestError(
            "the run is of a model with other heads",
            expected=f"heads in each layer: {list(model.heads_per_layer)}",
            got=str(heads),
            where=str(run.path),
            fix="name a run of this model",
        )
    if not _has_other_weights(run, model):
        return None
    return f"{run.path} is a run of {run.manifest.model.get('name')}, whose weights are not those of {model.name}"


def _has_other_weights(run: Run, model: HeadModel) -> bool:
    return run.manifest.request.model_fingerprint != model.fingerprint


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "concepts": list(profile.concepts),
        "control": profile.control,
        "steerable": bool(profile.concepts),
        "examples": [
            _example(prompt) for name in profile.concepts for prompt in profile.prompts_of(name)[:EXAMPLES_COUNT]
        ],
    }


def _example(prompt: Prompt) -> dict[str, Any]:
    turns = [{"role": role, "content": content} for role, content in prompt.turns]
    return {
        "id": prompt.id,
        "concept": prompt.concept,
        "text": prompt.text,
        "span": None if prompt.span is None else list(prompt.span),
        "messages": turns if prompt.messages else None,
    }


def _run(run: Run, model: HeadModel, words: Sequence[Words]) -> dict[str, Any]:
    content = content_of({name: run.table(name) for name in run.tables}, run.manifest.model_dump(mode="json"))
    data = page_data(content, {}, words)
    primary = data["primary_outcome"]
    maps = [
        ("effect", ("effect", primary), DECIDING_EDIT),
        ("zero", ("effect", primary), AGREEING_EDIT),
        *((word, named, None) for word, named in _MAPS.items()),
    ]
    found = [
        _measure(word, one, model.heads_per_layer, words)
        for word, named, edit in maps
        for one in data["measures"]
        if (one["kind"], one["name"]) == named and edit in (None, one["edit"])
    ]
    return {
        "path": str(run.path),
        "other_model": run.manifest.model.get("name") if _has_other_weights(run, model) else None,
        "measures": found,
        "verdicts": _verdicts(data["verdicts"], words),
        "top_sets": [{"concept": one["concept"], "heads": one["heads"], "label": one["title"]} for one in data["sets"]],
    }


def _measure(
    word: str, one: Mapping[str, Any], heads_per_layer: Sequence[int], words: Sequence[Words]
) -> dict[str, Any]:
    return {
        "key": ":".join(filter(None, (one["kind"], one["name"], one["edit"]))),
        "label": {each.code: each(f"maps.{word}") for each in words},
        "unit": one["unit"],
        "diverging": True,  # each is a difference, or a change
        "by_concept": {concept: _grid(rows, heads_per_layer) for concept, rows in one["by_concept"].items()},
    }


def _grid(rows: Mapping[str, Sequence[Any]], heads_per_layer: Sequence[int]) -> list[list[float | None]]:
    """[L][H] estimates, in the shape of the model; None where a head was not measured."""
    grid: list[list[float | None]] = [[None] * count for count in heads_per_layer]
    for layer, head, estimate in zip(rows["layer"], rows["head"], rows["estimate"], strict=True):
        grid[int(layer)][int(head)] = estimate
    return grid


def _verdicts(table: Mapping[str, Sequence[Any]], words: Sequence[Words]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    names = ("concept", "heads", "verdict", "estimate")
    if not all(name in table for name in names):
        return found
    for concept, heads, verdict, estimate in zip(*(table[name] for name in names), strict=True):
        label = {each.code: each.known("verdicts", verdict) or verdict for each in words}
        row = {"heads": heads, "verdict": verdict, "label": label, "estimate": estimate}
        found.setdefault(concept, []).append(row)
    return found
