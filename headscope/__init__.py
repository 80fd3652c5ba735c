"""headscope: which attention heads carry a concept, and what the model says without them.

The public names, resolved on first use: importing this package imports neither torch nor transformers, so
``headscope --help`` and the verbs that only read a run folder start at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscope import errors as errors
    from headscope.api import Study as Study
    from headscope.api import ablate as ablate
    from headscope.api import attribute as attribute
    from headscope.api import check_profile as check_profile
    from headscope.api import curves as curves
    from headscope.api import patch as patch
    from headscope.api import probe as probe
    from headscope.api import run as run
    from headscope.api import screen as screen
    from headscope.api import steer as steer
    from headscope.api import sweep as sweep
    from headscope.explore.notebook import explore as explore
    from headscope.heads import Head as Head
    from headscope.heads import HeadSet as HeadSet
    from headscope.measure.benchmarks import eval_model as eval_model
    from headscope.measure.edit_kinds import edit_kind as edit_kind
    from headscope.measure.outcomes import outcome as outcome
    from headscope.models.edit_files import load_edit as load_edit
    from headscope.models.editing import HeadEdit as HeadEdit
    from headscope.models.editing import add as add
    from headscope.models.editing import mean as mean
    from headscope.models.editing import replace as replace
    from headscope.models.editing import scale as scale
    from headscope.models.editing import zero as zero
    from headscope.models.exporting import export as export
    from headscope.models.loading import load_model as load_model
    from headscope.profiles.loading import load_profile as load_profile
    from headscope.report.showing import show as show
    from headscope.runs.folder import Run as Run
    from headscope.verbs.inspect import inspect as inspect
    from headscope.verbs.rank import rank as rank
    from headscope.verbs.steer_request import steering_edit as steering_edit

__version__ = "0.1.0"

# Public name -> the module that holds it.
_HOME = {
    "Head": "headscope.heads",
    "HeadSet": "headscope.heads",
    "HeadEdit": "headscope.models.editing",
    "edit_kind": "headscope.measure.edit_kinds",
    "eval_model": "headscope.measure.benchmarks",
    "outcome": "headscope.measure.outcomes",
    "add": "headscope.models.editing",
    "load_edit": "headscope.models.edit_files",
    "mean": "headscope.models.editing",
    "replace": "headscope.models.editing",
    "scale": "headscope.models.editing",
    "zero": "headscope.models.editing",
    "explore": "headscope.explore.notebook",
    "export": "headscope.models.exporting",
    "load_model": "headscope.models.loading",
    "load_profile": "headscope.profiles.loading",
    "ablate": "headscope.api",
    "attribute": "headscope.api",
    "check_profile": "headscope.api",
    "curves": "headscope.api",
    "inspect": "headscope.verbs.inspect",
    "patch": "headscope.api",
    "probe": "headscope.api",
    "rank": "headscope.verbs.rank",
    "screen": "headscope.api",
    "steer": "headscope.api",
    "steering_edit": "headscope.verbs.steer_request",
    "sweep": "headscope.api",
    "run": "headscope.api",
    "Study": "headscope.api",
    "show": "headscope.report.showing",
    "Run": "headscope.runs.folder",
}
_MODULES = ("errors",)


def __getattr__(name: str) -> Any:
    """Import a public name where it is first asked for; any other name is an AttributeError."""
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"headscope.{name}")
    else:
        raise AttributeError(f"module 'headscope' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
