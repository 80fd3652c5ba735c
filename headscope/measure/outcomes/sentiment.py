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

from headscope.measure.outcomes.classifiers import load_classifier
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import OUTCOMES

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SentimentScorer:
    """A scorer of sentiment.

    Attributes:
        name: ``vader``, or a transformers classifier's name or folder.
        version: of the package or, for a classifier, its revision on the hub.
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
    loaded = load_classifier(name, "the sentiment classifier", "use --sentiment vader")
    signs = loaded.signs(
        f'the classifier "{name}" has labels whose sign is unknown', "set id2label in the classifier's config.json"
    )
    of_labels = dict(zip(loaded.labels, signs.tolist(), strict=True))
    return SentimentScorer(name, loaded.version, of_labels, lambda texts: loaded.probabilities(texts) @ signs)
