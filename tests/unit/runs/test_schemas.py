"""The JSON Schemas of ``docs/schema`` are current, and files that headscope writes fit them."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jsonschema
import yaml

from headscope.profiles.loading import BUILTIN
from headscope.profiles.scaffold import new_profile
from headscope.runs.folder import Run
from headscope.runs.phase6 import write_ablation, write_head_scores
from headscope.runs.schemas import json_schemas, write_schemas
from tests.unit.runs.test_folder import request
from tests.unit.runs.test_phase6 import ablation, document, screen


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json_schemas()[f"{name}.schema.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def fits(name: str, content: object) -> bool:
    validator(name).validate(content)
    return True


def test_the_schemas_in_the_documents_are_current(tmp_path: Path, project_root: Path) -> None:
    write_schemas(tmp_path)
    there = {path.name: path.read_text() for path in (project_root / "docs" / "schema").iterdir()}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == there


def test_what_headscope_writes_fits_the_schemas(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request(), model={"name": "demo"}) as run:
        pass
    assert fits("manifest", json.loads((run.path / "manifest.json").read_text()))
    assert fits("head_scores", json.loads(write_head_scores(tmp_path / "s.json", document(screen())).read_text()))
    assert fits("ablation", json.loads(write_ablation(tmp_path / "a.json", ablation()).read_text()))


def test_profiles_fit_the_schemas(tmp_path: Path) -> None:
    for folder in (new_profile(tmp_path / "joy"), *(entry.parent for entry in BUILTIN.glob("*/profile.yaml"))):
        assert fits("profile", yaml.safe_load((folder / "profile.yaml").read_text(encoding="utf-8")))
        for line in (folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines():
            assert fits("prompt_row", json.loads(line))
    assert fits("prompt_list", {"prompts": ["Thank you."]})
