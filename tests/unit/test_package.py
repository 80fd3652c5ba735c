"""The package as a user gets it: what importing it costs, which names it has, and what its wheel holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest

import headscope

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "torch",
    "transformers",
    "pandas",
    "numpy",
    "matplotlib",
    "scipy",
    "xarray",
    "safetensors",
    "plotly",
    "ray",
)
MODULES_OF_HELP = 420
"""354 were counted with Python 3.11: Typer with Rich (which draws the help) and its Markdown 180, our own 28, the rest
Python's own, whose number differs between versions. One science library alone brings more than the room left."""


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _imported_by(code: str) -> set[str]:
    return set(_python(f"{code}\nimport sys\nprint(*sys.modules)").split()) & set(LIBRARIES)


def test_importing_the_package_imports_no_library() -> None:
    assert _imported_by("import headscope, headscope.cli") == set()


def test_help_imports_no_library_and_few_modules() -> None:
    """What a start costs is what it imports; a module is counted alike on every machine, a second is not."""
    code = """
        import sys
        from headscope.cli import main
        try:
            main(["--help"])
        except SystemExit as end:
            assert not end.code, end.code
        print("modules:", *sys.modules)
    """
    help_text, _, modules = _python(textwrap.dedent(code)).rpartition("modules:")
    assert "Which attention heads carry a concept" in help_text
    imported = set(modules.split())
    assert imported & set(LIBRARIES) == set()
    assert len(imported) <= MODULES_OF_HELP, f"{len(imported)} modules"


@pytest.mark.parametrize("name", sorted(set(dir(headscope)) - set(vars(headscope))))
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(headscope, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scren'"):
        headscope.scren  # noqa: B018
    assert not hasattr(headscope, "loda_model")


def test_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == headscope.__version__  # type: ignore[index]
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == headscope.__version__  # type: ignore[index]


def test_every_requirement_is_pinned_for_make() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    wanted = {_canonical(requirement) for requirement in requirements}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    names = {_canonical(line) for line in pinned.splitlines() if re.fullmatch(r"[\w.-]+==[\w.]+", line)}
    assert wanted <= names, f"without a pinned version: {sorted(wanted - names)}"


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[><=\[]", requirement)[0]).lower()


def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "headscope", source / "headscope", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size <= 8_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"headscope", f"headscope-{headscope.__version__}.dist-info"}
    carried = {
        str(path.relative_to(source))
        for path in (source / "headscope").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert carried <= names, f"left out of the wheel: {sorted(carried - names)}"
