"""The scripts of a page share one scope: a name that none of them has, or that none uses, is found in all together."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from headscope.report import compare_page, page

BIOME = Path(sys.executable).parent / "biome"


def lint(folder: Path, scripts: tuple[str, ...], rules: list[str], added: str = "") -> subprocess.CompletedProcess[str]:
    """What biome says of the scripts, put together as the page has them."""
    there = resources.files("headscope.report").joinpath("page")
    text = "".join(there.joinpath(name).read_text(encoding="utf-8") for name in scripts) + added
    (folder / "together.js").write_text(text, encoding="utf-8")
    (folder / "biome.json").write_text('{"root": true, "javascript": {"globals": ["Plotly"]}}', encoding="utf-8")
    only = [f"--only=correctness/{rule}" for rule in rules]
    return subprocess.run(
        [BIOME, "lint", "--error-on-warnings", *only, "."], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("scripts", "rules"),
    [
        (page._SCRIPTS, ["noUndeclaredVariables", "noUnusedVariables"]),
        (compare_page._SCRIPTS, ["noUndeclaredVariables"]),  # it shares files of which it does not use all
    ],
    ids=["page", "compare"],
)
def test_the_scripts_of_a_page_name_what_there_is(scripts, rules, tmp_path):
    said = lint(tmp_path, scripts, rules)
    assert said.returncode == 0, said.stdout + said.stderr
    assert lint(tmp_path, scripts, rules, "speek();\n").returncode != 0
