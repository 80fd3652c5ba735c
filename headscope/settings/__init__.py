"""What can be asked for: every option once, in groups that travel together, for the library and the command line.

``groups``: what goes with any measurement; ``measuring``: what each verb asks; ``command_line``: what only the command
line asks; ``keywords``: the same groups as keyword arguments; ``option``: how an option is declared.
"""

from headscope.settings.groups import Keeping, Loading, StudySettings, Writing
from headscope.settings.keywords import (
    AblatedWriting,
    AblateOptions,
    PatchingOptions,
    PatchOptions,
    RunOptions,
    SteeringOptions,
    SteerOptions,
    StudyOptions,
    WritingOptions,
)
from headscope.settings.measuring import (
    Ablating,
    Attributing,
    Judging,
    Patching,
    RunSettings,
    Screening,
    Sets,
    Sweeping,
    Texts,
)
from headscope.settings.option import Declared, Option, declared, documented, grouped, keywords, request_options
from headscope.settings.steering import Steering

__all__ = [
    "AblateOptions",
    "AblatedWriting",
    "Ablating",
    "Attributing",
    "Declared",
    "Judging",
    "Keeping",
    "Loading",
    "Option",
    "PatchOptions",
    "Patching",
    "PatchingOptions",
    "RunOptions",
    "RunSettings",
    "Screening",
    "Sets",
    "SteerOptions",
    "Steering",
    "SteeringOptions",
    "StudyOptions",
    "StudySettings",
    "Sweeping",
    "Texts",
    "Writing",
    "WritingOptions",
    "declared",
    "documented",
    "grouped",
    "keywords",
    "request_options",
]  # fmt: skip
