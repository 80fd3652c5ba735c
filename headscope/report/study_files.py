"""The Phase 6 study's files as its report reads them: checked once, and nothing in them that was not there.

Beside what ``runs.phase6`` checks, headscope's own files hold more, which the study's do not: the coverage of the
screen, what was done, tested effects. Each is read where it stands, and is None or empty where it does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from headscope.errors import RequestError
from headscope.heads import Head
from headscope.profiles.explaining import fitted
from headscope.runs.phase6 import Ablation, HeadScores, Number, read_ablation, read_head_scores

FIGURES = ("head_reaction_heatmap", "top_heads", "ablation_comparison")


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Covered(_Read):
    """How many of a concept's prompts hold a listed word."""

    n_prompts: int
    n_spans: int
    note: str = ""


class AboutScores(_Read):
    """What headscope adds to head scores."""

    coverage: dict[str, Covered] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class Drawn(_Read):
    """How texts were drawn."""

    max_tokens: int
    temperature: float
    top_p: float
    greedy: bool = False


class Scorer(_Read):
    """Who scored sentiment."""

    name: str


class Tested(_Read):
    """A paired difference, tested."""

    concept: str
    outcome: str
    estimate: Number
    baseline_mean: Number = math.nan
    edited_mean: Number = math.nan
    ci_low: Number = math.nan
    ci_high: Number = math.nan
    p_value: Number = math.nan


class AboutAblation(_Read):
    """What headscope adds to an ablation."""

    edit: str | None = None
    concepts: list[str] = Field(default_factory=list)
    sampling: Drawn | None = None
    seed: int | None = None
    keyword_counting: str | None = None
    sentiment_scorer: Scorer | None = None
    effects: list[Tested] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class AblationRead:
    """One ablation file; ``path`` as the report names it."""

    path: str
    content: Ablation
    about: AboutAblation

    @property
    def heads(self) -> str:
        """``L1H10, L3H2``."""
        return ", ".join(Head(layer, head).name for layer, head in self.content.heads)

    @property
    def tested(self) -> list[Tested]:
        """The tested effects on the prompts that were continued, other concepts' lexicons left out."""
        own = self.about.concepts[:1]
        return [one for one in self.about.effects if [one.concept] == own and ":" not in one.outcome]

    @property
    def tested_metrics(self) -> dict[str, Tested]:
        """Of ``tested`` those that are the study's metrics: of keywords by their name, of sentiment under ``""``."""
        kind = "keyword_count_phase6_" if self.about.keyword_counting == "phase6" else "keyword_count_"
        names = {f"{kind}{name}": name for name in self.content.baseline_metrics.keyword_counts}
        if self.about.sentiment_scorer is not None:
            names[f"sentiment_{self.about.sentiment_scorer.name}"] = ""
        return {names[one.outcome]: one for one in self.tested if one.outcome in names}


@dataclass(frozen=True, kw_only=True)
class StudyFiles:
    """What the report is written from.

    Attributes:
        scores_path: of the head scores, as the report names them.
        scores: their content; ``about_scores`` what headscope adds.
        screen: the scores as a ``screen`` table.
        ablations: ablation files, in the order given.
        figures: pictures: path relative to the report -> path.
        profile: what the files were made of, as the command names it.
        command: the command that writes the report.
    """

    scores_path: str
    scores: HeadScores
    about_scores: AboutScores
    screen: pd.DataFrame
    ablations: Sequence[AblationRead]
    figures: Mapping[str, str]
    profile: str
    command: str

    @property
    def concepts(self) -> list[str]:
        """The concepts that were screened, in order."""
        return list(dict.fromkeys(map(str, self.screen["concept"])))

    @property
    def is_confounded(self) -> bool:
        """Whether the screen is the study's own, unpaired one."""
        return self.scores.protocol == "phase6"


def read_study(
    head_scores: Path, ablations: Sequence[Path], *, figures: Mapping[str, str], profile: str, command: str
) -> StudyFiles:
    """The files of a report.

    Raises:
        RequestError: one is missing, broken or of another shape, holds no scores or a score twice, or an ablation is of
            heads that the scored model does not have.
    """
    scores = read_head_scores(head_scores)
    screen = scores.table()
    if screen["estimate"].notna().sum() == 0:
        raise RequestError(
            "head scores hold no scores", expected="a delta_attn of at least one head", where=str(head_scores)
        )
    twice = screen[screen.duplicated(["concept", "layer", "head"])]
    if len(twice):
        row: Any = twice.iloc[0]
        raise RequestError(
            "head scores hold a head twice", expected="one row for each concept, layer and head",
            got=f"{row['concept']}, {row['layer']}:{row['head']}", where=str(head_scores),
        )  # fmt: skip
    return StudyFiles(
        scores_path=head_scores.as_posix(),
        scores=scores,
        about_scores=fitted(AboutScores, scores.model_extra or {}, str(head_scores), RequestError),
        screen=screen,
        ablations=[_ablation(path, scores) for path in ablations],
        figures=figures,
        profile=profile,
        command=command,
    )


def _ablation(path: Path, scores: HeadScores) -> AblationRead:
    content = read_ablation(path)
    if not content.heads or not content.prompts:
        raise RequestError(
            "ablation is empty", expected="heads that were switched off, and prompts",
            got=f"{len(content.heads)} heads, {len(content.prompts)} prompts", where=str(path),
        )  # fmt: skip
    outside = [
        f"{layer}:{head}" for layer, head in content.heads
        if not (0 <= layer < scores.layers and 0 <= head < scores.heads_per_layer)
    ]  # fmt: skip
    if outside:
        raise RequestError(
            "ablation is of heads that the scored model does not have",
            expected=f"heads of {scores.layers} layers of {scores.heads_per_layer}, as in the head scores",
            got=", ".join(outside[:5]), where=str(path), fix="name the head scores of the same model",
        )  # fmt: skip
    return AblationRead(
        path.as_posix(), content, fitted(AboutAblation, content.model_extra or {}, str(path), RequestError)
    )
