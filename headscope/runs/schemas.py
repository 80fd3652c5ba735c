"""JSON Schemas of everything headscope writes for others or reads from them; ``docs/schema/`` holds them.

``python -m headscope.runs.schemas docs/schema`` writes them anew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from headscope.profiles.schema import ProfileFile, PromptList, PromptRow
from headscope.runs.atomic import plain, write_json_atomic
from headscope.runs.manifest import Manifest
from headscope.runs.phase6 import Ablation, HeadScores

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, type[BaseModel]] = {
    "profile": ProfileFile,
    "prompt_row": PromptRow,
    "prompt_list": PromptList,
    "manifest": Manifest,
    "head_scores": HeadScores,
    "ablation": Ablation,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """File name -> JSON Schema."""
    return {
        f"{name}.schema.json": {"$schema": DIALECT, **plain(model.model_json_schema())}
        for name, model in MODELS.items()
    }


def write_schemas(folder: str | Path) -> None:
    """Write every schema into ``folder``."""
    for name, schema in json_schemas().items():
        write_json_atomic(Path(folder) / name, schema)


if __name__ == "__main__":
    write_schemas(sys.argv[1])
