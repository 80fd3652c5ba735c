"""Rivals and the virtual environments they live in: ``.rivals/NAME``, made from the package index once."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RIVALS = {
    "transformer_lens 2": ("transformer_lens==2.18.0", "pyarrow<22"),  # the line of the Phase 6 study; it needs numpy 1
    "transformer_lens 4": ("transformer_lens==4.3.0",),
    "nnsight": ("nnsight==0.8.1",),
}


def python_of(name: str) -> Path:
    """The Python of a rival's environment, made where it is missing."""
    folder = ROOT / ".rivals" / RIVALS[name][0].replace("==", "-")
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.is_file():
        print(f"installing {RIVALS[name][0]} into {folder.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        torch = f"torch=={version('torch').split('+')[0]}"  # the same kernels for all
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *RIVALS[name], torch], check=True)
        stamp.touch()
    return python
