"""The Phase 6 study's two files: head scores and ablations, written and read.

Every key of the study stands where it stood, with its meaning; headscope adds keys and drops none. Here, and only
here, a concept is called "emotion". Rows of head scores are in the study's order, emotion > layer > head. Ablations
are written as JSON or, where the study's command asks for it, as a pickle of plain builtins; pickles are read as data
(``safe_pickle``). Missing numbers are null in JSON and NaN in a pickle and once read.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle  # to write only; read by safe_pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from headscope.errors import RequestError, WorkError
from headscope.heads import HeadSet
from headscope.profiles.explaining import first_misfit, fitted
from headscope.profiles.files import json_of, read_limited
from headscope.runs.atomic import plain, write_bytes_atomic
from headscope.runs.paths import file_part
from headscope.runs.safe_pickle import read_plain_pickle
from headscope.tables import TABLES

JSON_LIMIT_BYTES = 256 * 2**20
HEADS_LIMIT = 1_000_000  # a picture has a cell for each
_LONGEST_SLUG = 120
_INTERVAL = ("ci_low", "ci_high", "p_value", "q_value")

Number = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    WithJsonSchema({"type": ["number", "null"]}),
]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class HeadScore(_Open):
    """One head and emotion."""

    layer: Annotated[int, Field(ge=0)]
    head: Annotated[int, Field(ge=0)]
    delta_attn: Number
    emotion_mean_attn: Number
    neutral_mean_attn: Number
    samples_emotion: int
    samples_neutral: int
    emotion: str
    ci_low: Number = math.nan
    ci_high: Number = math.nan
    p_value: Number = math.nan
    q_value: Number = math.nan


class HeadScores(_Open):
    """``head_scores_*.json``. Of the study's own file ``protocol`` is ``phase6``."""

    model: str
    layers: int
    heads_per_layer: int
    scores: list[HeadScore]
    protocol: str = "phase6"

    @model_validator(mode="after")
    def _heads_are_the_models(self) -> HeadScores:
        if not (self.layers > 0 and self.heads_per_layer > 0 and self.layers * self.heads_per_layer <= HEADS_LIMIT):
            raise ValueError(f"from 1 to {HEADS_LIMIT:,} heads (got {self.layers} x {self.heads_per_layer})")
        for score in self.scores:
            if score.layer >= self.layers or score.head >= self.heads_per_layer:
                raise ValueError(
                    f"scores of the {self.layers} layers of {self.heads_per_layer} heads that the file names (got "
                    f"{score.layer}:{score.head})"
                )
        return self

    def table(self) -> pd.DataFrame:
        """The scores as a ``screen`` table; what the file does not tell is NaN or empty."""
        added = self.model_extra or {}
        is_study = self.protocol == "phase6"
        rows = [
            {
                "concept": score.emotion,
                "layer": score.layer,
                "head": score.head,
                "query": str(added.get("query") or ("phase6" if is_study else "last")),
                "measure": str(added.get("measure") or "attention"),
                "control": str(added.get("control") or ("phase6_unpaired" if is_study else "paired_equal")),
                "estimate": score.delta_attn,
                "unit": "share",
                "concept_mean": score.emotion_mean_attn,
                "control_mean": score.neutral_mean_attn,
                **{name: getattr(score, name) for name in _INTERVAL},
                "n_prompts": score.samples_emotion,
            }
            for score in self.scores
        ]
        kinds = TABLES["screen"].kinds
        missing = {"text": "", "int": pd.NA, "float": math.nan, "bool": False}
        return pd.DataFrame(
            {name: [row.get(name, missing[kind]) for row in rows] for name, kind in kinds.items()},
            columns=list(kinds),
        )


class KeywordCounts(_Open):
    """Counts of one emotion's keywords over the texts of an arm."""

    mean: Number
    std: Number
    total: int


class Sentiment(_Open):
    """Sentiment over the texts of an arm."""

    mean: Number
    std: Number


class Metrics(_Open):
    """The study's metrics of one arm."""

    keyword_counts: dict[str, KeywordCounts]
    sentiment: Sentiment


class Ablation(_Open):
    """The ablation file; where several texts were drawn for a prompt they stand one after the other."""

    model: str
    heads: list[tuple[int, int]]
    prompts: list[str]
    baseline_texts: list[str]
    ablation_texts: list[str]
    baseline_metrics: Metrics
    ablation_metrics: Metrics

    @model_validator(mode="after")
    def _texts_belong_to_prompts(self) -> Ablation:
        n_prompts, n_texts = len(self.prompts), len(self.baseline_texts)
        if len(self.ablation_texts) != n_texts or (n_prompts and n_texts % n_prompts) or (n_texts and not n_prompts):
            raise ValueError(
                f"as many texts in both arms, the same number for each prompt (got {n_prompts} prompts, {n_texts} "
                f"baseline and {len(self.ablation_texts)} ablation texts)"
            )
        return self

    @model_validator(mode="after")
    def _arms_were_measured_alike(self) -> Ablation:
        names = [sorted(arm.keyword_counts) for arm in (self.baseline_metrics, self.ablation_metrics)]
        if names[0] != names[1]:
            raise ValueError(f"the same keyword counts in both arms (got {names[0]} and {names[1]})")
        return self


def head_scores_document(
    screen: pd.DataFrame,
    *,
    model: str,
    heads_per_layer: Sequence[int],
    samples_neutral: int | Mapping[str, int],
    protocol: str,
    **added: Any,
) -> dict[str, Any]:
    """The content of ``head_scores.json``.

    Args:
        screen: rows of the ``screen`` table, one for each concept and head: one query, measure and control a concept.
        model: name of the model.
        heads_per_layer: number of heads of each layer; where they differ, the file's number is the largest, and
            ``heads_by_layer`` lists them.
        samples_neutral: number of control prompts, for all concepts or for each.
        protocol: ``matched`` or ``phase6``.
        added: further keys of the file (coverage, versions, fingerprints, …), plain data.

    Raises:
        WorkError: two rows for one concept and head.
    """
    if bool(screen.duplicated(["concept", "layer", "head"]).any()):
        raise WorkError(
            "head scores need one row for each concept and head", got="several queries, measures or controls"
        )
    concepts = {name: index for index, name in enumerate(dict.fromkeys(screen["concept"]))}
    ordered = screen.assign(_order=screen["concept"].map(concepts)).sort_values(["_order", "layer", "head"])
    scores = [
        {
            "layer": int(row["layer"]),
            "head": int(row["head"]),
            "delta_attn": row["estimate"],
            "emotion_mean_attn": row["concept_mean"],
            "neutral_mean_attn": row["control_mean"],
            "samples_emotion": int(row["n_prompts"]),
            "samples_neutral": samples_neutral if isinstance(samples_neutral, int) else samples_neutral[row["concept"]],
            "emotion": row["concept"],
            **{name: row[name] for name in _INTERVAL},
        }
        for row in ordered.to_dict("records")
    ]
    ragged = {"heads_by_layer": list(heads_per_layer)} if len(set(heads_per_layer)) > 1 else {}
    return {
        "model": model,
        "layers": len(heads_per_layer),
        "heads_per_layer": max(heads_per_layer),
        "protocol": protocol,
        **ragged,
        **added,
        "scores": scores,
    }


def head_scores_bytes(document: Mapping[str, Any]) -> bytes:
    """A document of ``head_scores_document`` as the file's bytes."""
    return (json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_head_scores(path: str | Path, document: Mapping[str, Any]) -> Path:
    """Write a document of ``head_scores_document`` in one step."""
    return write_bytes_atomic(path, head_scores_bytes(document))


def read_head_scores(path: str | Path) -> HeadScores:
    """Head scores of the study or of headscope.

    Raises:
        RequestError: missing, broken, or of another shape.
    """
    return fitted(HeadScores, _read_json(Path(path)), str(path), RequestError)


def write_ablation(path: str | Path, content: Ablation | Mapping[str, Any]) -> Path:
    """Write an ablation as ``.json``, or as ``.pkl`` with plain builtins only (heads as tuples, as the study has them).

    Raises:
        RequestError: another suffix, or the path cannot be written.
        WorkError: ``content`` lacks a key of the study.
    """
    path = Path(path)
    given = content.model_dump() if isinstance(content, Ablation) else content
    try:
        Ablation.model_validate(plain(given))
    except ValidationError as error:
        misfit = first_misfit(error, given)
        raise WorkError(f"ablation: {misfit.name} does not fit", expected=misfit.expected, got=misfit.got) from error
    if path.suffix == ".json":
        return write_bytes_atomic(path, head_scores_bytes(given))
    if path.suffix != ".pkl":
        raise RequestError("ablation file has no known form", expected=".json or .pkl", got=path.name)
    # Through JSON and back, so that equal content shares no objects by accident: pickle writes what is shared once.
    values = json.loads(json.dumps(_with_nan(given)))
    values["heads"] = [tuple(head) for head in values["heads"]]
    return write_bytes_atomic(path, pickle.dumps(values, protocol=4))


def read_ablation(path: str | Path) -> Ablation:
    """An ablation of the study or of headscope, ``.json`` or ``.pkl``.

    Raises:
        RequestError: missing, broken, of another shape, or a pickle that holds more than plain data.
    """
    path = Path(path)
    if path.suffix == ".pkl":
        return fitted(Ablation, read_plain_pickle(path), str(path), RequestError)
    if path.suffix == ".json":
        return fitted(Ablation, _read_json(path), str(path), RequestError)
    raise RequestError("ablation file has no known form", expected=".json or .pkl", got=path.name, where=str(path))


def ablation_path(profile: str, model: str, concept: str, heads: HeadSet) -> Path:
    """Where the study's command puts an ablation: ``…/head_ablation/gpt2_gratitude_1_10-3_2.pkl``.

    Sets of very many heads are named by their number and a digest, because a file's name has an end.
    """
    slug = heads.slug
    if len(slug) > _LONGEST_SLUG:
        slug = f"{len(heads)}_heads_{hashlib.sha256(slug.encode()).hexdigest()[:12]}"
    folder = Path("results") / file_part(profile) / "patching" / "head_ablation"
    return folder / f"{file_part(model)}_{file_part(concept)}_{slug}.pkl"


def head_scores_path(profile: str, model: str) -> Path:
    """Where the study's command puts head scores: ``results/baseline/alignment/head_scores_gpt2.json``."""
    return Path("results") / file_part(profile) / "alignment" / f"head_scores_{file_part(model)}.json"


def _with_nan(value: Any) -> Any:
    """``plain``, but with NaN kept for a form that has a word for it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _with_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nan(item) for item in value]
    return plain(value)


def _read_json(path: Path) -> Any:
    try:
        return json_of(read_limited(path, JSON_LIMIT_BYTES, "file"))
    except FileNotFoundError as error:
        raise RequestError("file does not exist", where=str(path)) from error
    except OSError as error:
        raise RequestError("file cannot be read", got=error.strerror, where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise RequestError("JSON is broken", got=str(error)[:200], where=str(path)) from error
