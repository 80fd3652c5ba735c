"""With what a run was made: package versions, the state of the source, the machine.

Nothing here imports the packages it tells about; device and threads are handed in by who knows them.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import headscope

PACKAGES = (
    *("torch", "transformers", "tokenizers", "safetensors", "peft", "numpy", "scipy", "statsmodels", "pandas"),
    *("xarray", "pydantic", "matplotlib", "vaderSentiment"),
)
_GIT_SECONDS = 5


def package_versions() -> dict[str, str]:
    """Versions of headscope, Python, and those of ``PACKAGES`` that are installed."""
    versions = {"headscope": headscope.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit of the checkout that ``folder`` (headscope's own source by default) lies in, and whether it was changed.

    None where headscope was installed from a package, or git is missing or refuses.
    """
    folder = folder or Path(headscope.__file__).parent
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py") if (folder / "__init__.py").exists() else ""
    commit = None if tracked is None else _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": None if changes is None else bool(changes)}


def machine(*, device: str, threads: int | None) -> dict[str, Any]:
    """The platform, the number of processors this process may use, and the device and threads it was given."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "processors": usable,
        "device": device,
        "threads": threads,
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, None where it fails. The folder's own hooks and pagers are not run by these verbs."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
