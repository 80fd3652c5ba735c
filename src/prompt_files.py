"""The study's options for prompt files: one for each of its four classes, before --data-dir, before --profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.settings import Option


@dataclass(frozen=True, kw_only=True)
class PromptFiles:
    """A file for each class of the study."""

    gratitude_prompts: Annotated[Path | None, Option("File of gratitude prompts.", "")] = None
    anger_prompts: Annotated[Path | None, Option("File of anger prompts.", "")] = None
    apology_prompts: Annotated[Path | None, Option("File of apology prompts.", "")] = None
    neutral_prompts: Annotated[Path | None, Option("File of neutral prompts.", "")] = None

    def given(self) -> dict[str, Path]:
        """The files that were named, by class."""
        return {name.removesuffix("_prompts"): path for name, path in vars(self).items() if path is not None}
