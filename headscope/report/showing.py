"""A run before the eyes of whoever made it: its page, in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from headscope.report.writing import PAGE, write_report
from headscope.runs.folder import Run


def show(run: Run | str | Path) -> Path:
    """Open a run's page in the browser, made first where the folder has none.

    Args:
        run: a run, or its folder.

    Returns:
        The page. Where no browser can be opened (a remote notebook), open or download this file.

    Raises:
        RequestError: the folder holds no run, or another process is writing it.
    """
    path = run.path if isinstance(run, Run) else Path(run)
    page = path / PAGE
    if not page.is_file():
        with Run.open(path, write=True) as opened:
            write_report(opened, languages=())
    webbrowser.open(page.resolve().as_uri())
    return page
