"""``classifier_<model>``: what a transformers text classifier says of a text, the prompt left out.

A classifier that cannot be loaded, that lacks a weight, or that has no labels to choose from is an error: its numbers
must be its judgement. ``classifier:MODEL#LABEL`` is the probability of that label. Without a label every label must be
positive, negative or neutral by its name; the value is then P(positive) - P(negative).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.errors import ModelError, RequestError
from headscope.measure.outcomes.outcome import Outcome
from headscope.terms import CLASSIFIER, OUTCOMES
from headscope.vocabulary import tokenizer_fingerprint

FloatArray = npt.NDArray[np.float64]

LABEL_SIGNS = {"positive": 1.0, "pos": 1.0, "negative": -1.0, "neg": -1.0, "neutral": 0.0, "neu": 0.0}
"""What a label counts, whatever its case."""

_ONE_OF_SEVERAL = "multi_label_classification"


@dataclass(frozen=True)
class Classifier:
    """A loaded classifier.

    Attributes:
        name: as it was asked for, a folder or a name on the hub.
        version: its revision on the hub, or the version of transformers.
        fingerprint: SHA-256 of weights, configuration and tokenizer.
        labels: in the order of its outputs.
        probabilities: texts -> [n, n_labels] in [0, 1]; a row sums to 1 but where several labels may hold at once, and
            is NaN where the tokenizer finds nothing in the text.
    """

    name: str
    version: str
    fingerprint: str
    labels: tuple[str, ...]
    probabilities: Callable[[Sequence[str]], FloatArray]

    def signs(self, problem: str, fix: str) -> FloatArray:
        """[n_labels] what each label counts; RequestError that says ``problem`` and ``fix`` where one is not known."""
        unknown = sorted(label for label in self.labels if label.casefold() not in LABEL_SIGNS)
        if unknown:
            raise RequestError(
                problem,
                expected="labels among " + ", ".join(sorted(LABEL_SIGNS)) + " (in any case)",
                got=", ".join(unknown),
                fix=fix,
            )
        return np.array([LABEL_SIGNS[label.casefold()] for label in self.labels])


def load_classifier(name: str, what: str, otherwise: str) -> Classifier:
    """The text classifier in a folder, or of that name on the hub.

    ``what`` names it in errors, e.g. "the classifier"; ``otherwise`` is what to do without one.

    Raises:
        RequestError: it cannot be loaded, lacks a weight, or has one label only.
    """
    from headscope.models.loading import fingerprint

    problem = f'{what} "{name}" cannot be loaded'
    model, tokenizer, folder = _loaded(name, problem, otherwise)
    labels = tuple(str(model.config.id2label[index]) for index in range(model.config.num_labels))
    may_be_several = model.config.problem_type == _ONE_OF_SEVERAL
    if len(labels) < 2 and not may_be_several:
        raise RequestError(
            f'{what} "{name}" has one label, whose probability is 1 for every text',
            expected='two labels or more, or one that may hold or not ("problem_type": "multi_label_classification")',
            got=", ".join(labels),
            where=str(folder),
        )
    from_hub = folder.name if folder.parent.name == "snapshots" else None
    version = str(from_hub or f"transformers {metadata.version('transformers')}")
    whole = hashlib.sha256(f"{fingerprint(model)} {tokenizer_fingerprint(tokenizer)}".encode()).hexdigest()
    return Classifier(name, version, whole, labels, partial(_probabilities, model, tokenizer, may_be_several))


def _loaded(name: str, problem: str, otherwise: str) -> tuple[Any, Any, Path]:
    """Model, tokenizer and folder."""
    import torch  # imported where used: --help stays quick
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from headscope.models.checkpoints import existing_folder, hub_name
    from headscope.models.hub import hub_folder
    from headscope.models.interface import quiet_transformers
    from headscope.models.others_errors import OTHERS_ERRORS, naming_plain_errors, refusal

    try:
        folder = existing_folder(name) or hub_folder(hub_name(name))
    except ModelError as error:
        raise RequestError(
            problem,
            expected="a transformers text classifier: a folder, or a name on the hub that can be reached",
            got=error.problem,
            fix=f"download it first, give its folder, or {otherwise}",
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
            fix=f"name a model that was trained to classify texts, or {otherwise}",
        )
    return model.eval(), tokenizer, folder


def _probabilities(model: Any, tokenizer: Any, may_be_several: bool, texts: Sequence[str]) -> FloatArray:
    """[n, n_labels]; NaN for a text without a token. What is longer than the classifier reads is cut at its end."""
    import torch

    rows: list[FloatArray] = []
    with torch.inference_mode():
        for text in texts:
            encoded = tokenizer(text or " ", return_tensors="pt", truncation=True)
            if encoded["input_ids"].shape[1] == 0:
                rows.append(np.full(model.config.num_labels, np.nan))
                continue
            logits = model(**encoded).logits[0].double()
            rows.append((logits.sigmoid() if may_be_several else logits.softmax(-1)).cpu().numpy())
    return np.array(rows).reshape(len(texts), -1)


def classifier_outcome(asked: str, name: str = "") -> Outcome:
    """The outcome that ``MODEL`` or ``MODEL#LABEL`` asks for; ``name`` by default made of the two.

    Raises:
        RequestError: the classifier cannot be loaded, has no such label, or its labels do not say what they count.
    """
    model, _, label = asked.rpartition("#") if "#" in asked else (asked, "", "")
    loaded = load_classifier(model, "the classifier", "leave the outcome out")
    if label:
        weights = _only(loaded, label)
    else:
        weights = loaded.signs(
            f'which label of the classifier "{model}" is measured is not said',
            f"name one: classifier:{model}#{loaded.labels[-1]}",
        )
    facts = {
        "classifier": loaded.name, "version": loaded.version, "fingerprint": loaded.fingerprint,
        "label_weights": dict(zip(loaded.labels, weights.tolist(), strict=True)),
    }  # fmt: skip
    own = CLASSIFIER + "_".join(_slug(part) for part in (model, label) if part)
    return Outcome.of(
        OUTCOMES[CLASSIFIER], partial(_weighted, loaded, weights), "text", name=name or own, rests_on=facts
    )


def _only(loaded: Classifier, label: str) -> FloatArray:
    """[n_labels] 1 for ``label``, whatever its case, and 0 for the others."""
    mine = np.array([one.casefold() == label.casefold() for one in loaded.labels], dtype=np.float64)
    if mine.sum() != 1:
        raise RequestError(
            f'the classifier "{loaded.name}" has no label "{label}"', expected=", ".join(loaded.labels), got=label
        )
    return mine


def _weighted(loaded: Classifier, weights: FloatArray, texts: Sequence[str], prompts: Sequence[str]) -> FloatArray:
    return loaded.probabilities(texts) @ weights


def _slug(part: str) -> str:
    """The last part of a path or name, as part of an outcome's name."""
    return "".join(c if c.isalnum() else "_" for c in part.rstrip("/").split("/")[-1]).lower()
