"""``headscope.explore``: the live view from Python; in a notebook it stands below the cell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.explore.extra import require_extra
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.report.words import check_language
from headscope.runs.folder import Run

if TYPE_CHECKING:
    from headscope.explore.serving import Explorer

HEIGHT_PIXELS = 900


def explore(
    model: HeadModel,
    run: Run | str | Path | None = None,
    profile: Profile | str | None = None,
    *,
    keep: str | Path = "explored",
    port: int = 0,
    language: str = "en",
    height: int = HEIGHT_PIXELS,
) -> Explorer:
    """Serve the live view of a model on this machine, and show it where IPython runs.

    A thread of its own answers it until ``stop()``, or until its ``with`` block ends, or Python does. That thread and
    yours share the model: a pass of one while the other's runs is refused.

    Args:
        model: the model.
        run: a run, or its folder: its maps and verdicts, and its profile where none is named.
        profile: what edits and log-odds are made of; the bundled ``baseline`` by default.
        keep: the profile folder that prompts are added to.
        port: on 127.0.0.1; 0 for any that is free.
        language: that the page begins in.
        height: of the view below a notebook's cell, in pixels.

    Returns:
        What is served, with its ``address`` (which holds a secret token) and ``stop()``.

    Raises:
        RequestError: Starlette or uvicorn is not installed, the port is taken, or run and model do not fit.
        ProfileError: no such profile, or the run's cannot be read any more.
    """
    require_extra()
    check_language(language)
    from headscope.explore.serving import Explorer

    opened = run if run is None or isinstance(run, Run) else Run.open(run)
    asked = load_profile(profile) if isinstance(profile, str) else profile
    served = Explorer(model, run=opened, profile=asked, keep=Path(keep), port=port, language=language)
    served.start()
    shell = _shell()
    if shell is None:
        print(*served.warnings, served.address, sep="\n")  # noqa: T201 - who called it has no page
    else:
        _show(served, height)
    return served


def _shell() -> Any:
    """The IPython that runs; None elsewhere. Nothing is imported: where it runs, it is there."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _show(served: Explorer, height: int) -> None:
    from IPython.display import IFrame, display

    for warning in served.warnings:
        print(warning)  # noqa: T201 - below the cell
    display(IFrame(served.address, width="100%", height=height))
