"""A run as a notebook shows it: what was asked, how it went, what the folder holds."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscope.runs.folder import Run


def run_html(run: Run) -> str:
    """A small table; names of models and profiles are text, whatever they hold."""
    request = run.manifest.request
    page = run.path / "report.html"
    rows = {
        "verb": request.verb,
        "model": run.manifest.model.get("name"),
        "profile": run.manifest.profile.get("name"),
        "status": run.manifest.status,
        "request": f"{run.manifest.request_digest}, seed {request.seed}",
        "tables": ", ".join(run.tables) or "none",
        "warnings": len(run.manifest.warnings),
        "folder": run.path,
    }
    cells = "".join(
        f'<tr><th style="text-align:left">{name}</th><td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    link = f'<p><a href="{escape(_link(page))}">report.html</a></p>' if page.is_file() else ""
    return f"<table>{cells}</table>{link}"


def _link(page: Path) -> str:
    return page.resolve().as_uri()
