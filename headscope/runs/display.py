"""A run as a notebook shows it: what was asked, how it went, what the folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from headscope.runs.manifest import Manifest


def run_html(path: Path, manifest: Manifest, tables: Sequence[str]) -> str:
    """A small table; names of models and profiles are text, whatever they hold."""
    request = manifest.request
    page = path / "report.html"
    rows = {
        "verb": request.verb,
        "model": manifest.model.get("name"),
        "profile": manifest.profile.get("name"),
        "status": manifest.status,
        "request": f"{manifest.request_digest}, seed {request.seed}",
        "tables": ", ".join(tables) or "none",
        "warnings": len(manifest.warnings),
        "folder": path,
    }
    cells = "".join(
        f'<tr><th style="text-align:left">{name}</th><td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    link = f'<p><a href="{escape(page.resolve().as_uri())}">report.html</a></p>' if page.is_file() else ""
    return f"<table>{cells}</table>{link}"
