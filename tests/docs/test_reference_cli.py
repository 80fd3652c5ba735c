"""The page of the command line says what the command line says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_written_from_the_command_line_as_it_is() -> None:
    spec = importlib.util.spec_from_file_location("reference_cli", DOCS / "reference_cli.py")
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert writer.PAGE.read_text(encoding="utf-8") == writer.page(), "python docs/reference_cli.py writes it anew"
