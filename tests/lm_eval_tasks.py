"""Tasks of lm-evaluation-harness written by tests: YAML and JSONL in a folder, read without a network."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


@contextmanager
def offline(cache: Path) -> Iterator[None]:
    """Inside the block the package datasets keeps what it reads in ``cache``, and nothing of it fetches anything."""
    with warnings.catch_warnings():  # imports of lm-eval's add filters
        import datasets.config
    with (
        mock.patch.object(datasets.config, "HF_DATASETS_CACHE", str(cache)),
        mock.patch.object(datasets.config, "HF_DATASETS_OFFLINE", True),
        mock.patch.object(datasets.config, "HF_HUB_OFFLINE", True),
    ):
        yield


def write_task(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], **config: Any) -> None:
    """A task of rows with ``text``, ``target`` and, of a multiple choice, ``choices``; ``config`` is lm-eval's."""
    folder.mkdir(exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "doc_to_text": "{{text}}",
        "doc_to_target": "{{target}}",
        "metadata": {"version": 1.0},
        **config,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(content))  # JSON is YAML


def metric(name: str, **more: Any) -> dict[str, Any]:
    """One metric of a task, with all that lm-eval asks for."""
    return {"metric": name, "aggregation": "mean", "higher_is_better": True, **more}


def write_choices(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], **config: Any) -> None:
    """A multiple choice."""
    fixed = {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "metric_list": [metric("acc")]}
    write_task(folder, name, rows, **{**fixed, **config})


def write_texts(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], n_tokens: int = 3, **config: Any) -> None:
    """A text that must match exactly."""
    fixed = {
        "output_type": "generate_until",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": n_tokens, "do_sample": False},
        "metric_list": [metric("exact_match")],
    }
    write_task(folder, name, rows, **{**fixed, **config})
