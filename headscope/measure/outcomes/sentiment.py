"""``sentiment_<scorer>``: the sentiment of a text, the prompt left out.

A scorer that cannot be loaded, or whose labels are not understood, is an error: a sentiment of 0 must mean a neutral
text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.errors import ModelError, RequestError
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import OUTCOMES

FloatArray = npt.NDArray[np.float64]

_SIGNS = {"positive": 1.0, "pos": 1.0, "negative": -1.0, "neg": -1.0, "neutral": 0.0, "neu": 0.0}


@dataclass(frozen=True)
class SentimentScorer:
    """A scorer of sentiment.

    Attributes:
        name: ``vader``, or a transformers classifier's name or folder.
        version: of the package or, for a classifier, its revision or fingerprint.
        label_signs: how labels count; VADER's compound score has none.
        score: texts -> [n] in [-1, 1].
    """

    name: str
    version: str
    label_signs: dict[str, float]
    score: Callable[[Sequence[str]], FloatArray]

    @property
    def outcome(self) -> Outcome:
        """The outcome, e.g. ``sentiment_vader``."""
        name = "sentiment_" + "".join(c if c.isalnum() else "_" for c in self.name.rstrip("/").split("/")[-1])
        return Outcome.of(OUTCOMES["sentiment_"], lambda texts, _: self.score(texts), "text", name=name)

    def record(self) -> dict[str, Any]:
        """JSON-able facts for the manifest."""
        return {"name": self.name, "version": self.version, "label_signs": self.label_signs}


def load_sentiment(name: str) -> SentimentScorer:
    """The scorer ``vader``, or a transformers text classifier by name or folder.

    Raises:
        RequestError: the classifier cannot be loaded, lacks a weight, or has a label whose sign is unknown.
    """
    return _vader() if name == "vader" else _classifier(name)


def _vader() -> SentimentScorer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # imported where used: --help stays quick

    analyzer = SentimentIntensityAnalyzer()

    def score(texts: Sequence[str]) -> FloatArray:
        return np.array([analyzer.polarity_scores(text)["compound"] for text in texts], dtype=np.float64)

    return SentimentScorer("vader", metadata.version("vaderSentiment"), {}, score)


def _classifier(name: str) -> SentimentScorer:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from headscope.models.checkpoints import existing_folder, hub_name
    from headscope.models.hub import hub_folder
    from headscope.models.interface import quiet_transformers
    from headscope.models.others_errors import OTHERS_ERRORS, naming_plain_errors, refusal

    problem = f'the sentiment classifier "{name}" cannot be loaded'
    try:
        folder = existing_folder(name) or hub_folder(hub_name(name))
    except ModelError as error:
        raise RequestError(
            problem,
            expected='"vader", or a transformers text classifier: a folder, or a name on the hub that can be reached',
            got=error.problem,
            fix="download it first, give its folder, or use --sentiment vader",
        ) from error
    options: dict[str, Any] = {"local_files_only": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        with naming_plain_errors(), quiet_transformers():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(folder, **options)
    except OTHERS_ERRORS as error:
        raise refusal(problem, error, where=str(folder)) from error
    model, info = loaded
    if missing := sorted(map(str, info["missing_keys"])):  # transformers would fill it with noise
        raise RequestError(
            problem,
            expected=f"every weight of {type(model).__name__}",
            got=f"{len(missing)} missing: {', '.join(missing[:3])}",
            where=str(folder),
            fix="name a model that was trained to classify texts, or use --sentiment vader",
        )
    model.eval()
    labels = {int(index): str(label) for index, label in model.config.id2label.items()}
    unknown = sorted(label for label in labels.values() if label.casefold() not in _SIGNS)
    if unknown:
        raise RequestError(
            f'the classifier "{name}" has labels whose sign is unknown',
            expected="labels among " + ", ".join(sorted(_SIGNS)) + " (in any case)",
            got=", ".join(unknown),
            fix="set id2label in the classifier's config.json",
        )
    signs = torch.tensor([_SIGNS[labels[index].casefold()] for index in range(len(labels))])

    def score(texts: Sequence[str]) -> FloatArray:
        values: list[float] = []
        with torch.inference_mode():
            for text in texts:
                encoded = tokenizer(text or " ", return_tensors="pt", truncation=True)
                values.append(float((model(**encoded).logits[0].softmax(-1) * signs).sum()))
        return np.array(values, dtype=np.float64)

    from_hub = folder.name if folder.parent.name == "snapshots" else None
    version = str(from_hub or f"transformers {metadata.version('transformers')}")
    return SentimentScorer(name, version, {label: _SIGNS[label.casefold()] for label in labels.values()}, score)
