"""Prompts made from one template are one observation: template means, and templates for prompts that have none.

1. The estimand is the mean over templates of the template's mean effect: every template weighs the same, however many
   prompts it has. ``template_means`` does the inner mean, for all tests at once.
2. Blocks of prompts (concepts) that share templates are laid out on one common list of templates by ``stack``, so
   that a shared template is one unit of resampling for all of them.
3. ``split_templates`` halves the templates for whatever is chosen from the data and must be measured elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array

from headscope.errors import RequestError, WorkError
from headscope.random_streams import generator

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MIN_TEMPLATES = 6  # with fewer, a sign-flip test cannot reach p < .05 (2 / 2^5 = .0625)


@dataclass(frozen=True)
class TemplateMeans:
    """Effects averaged within templates.

    Attributes:
        means: NaN where a template has no value for a test.
        counts: the prompts behind each mean.
        labels: the templates, sorted; the rows of both arrays.
    """

    means: Float[FloatArray, "templates tests"]
    counts: Int[IntArray, "templates tests"]
    labels: tuple[str, ...]

    @property
    def n_templates(self) -> Int[IntArray, " tests"]:
        """Templates with at least one value."""
        return np.sum(self.counts > 0, axis=0)

    @property
    def n_prompts(self) -> Int[IntArray, " tests"]:
        """Prompts with a value."""
        return np.sum(self.counts, axis=0)

    def select(self, tests: Bool[BoolArray, " tests"]) -> TemplateMeans:
        """The same templates, only the tests where ``tests`` is True."""
        return TemplateMeans(self.means[:, tests], self.counts[:, tests], self.labels)


@dataclass(frozen=True)
class FamilyBlock:
    """The tests of one family that are measured on the same prompts.

    Attributes:
        deltas: [n_prompts, n_tests], edited - baseline (or concept - control) of each prompt; NaN is missing.
        templates: template id of each prompt; ids are global, so blocks that name the same template share it.
        keys: for each test the columns that identify its row, e.g. ``{"concept": "anger", "layer": 1, "head": 3}``.
    """

    deltas: NDArray[np.floating]
    templates: Sequence[str | None]
    keys: Sequence[Mapping[str, object]]


def template_means(values: NDArray[np.floating], templates: Sequence[str | None]) -> TemplateMeans:
    """Average the prompts of each template.

    ``values`` is [n_prompts, n_tests]; NaN is missing and left out of its mean.

    Raises:
        RequestError: the shapes disagree, or a prompt has no template id.
        WorkError: a value is infinite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(templates) != table.shape[0]:
        raise RequestError(
            "effects and templates do not belong together",
            expected="effects [n_prompts, n_tests] and one template id for each prompt",
            got=f"effects of shape {table.shape} and {len(templates)} template ids",
        )
    names = [name for name in templates if name is not None]
    if len(names) < len(templates):
        raise RequestError(
            f"{len(templates) - len(names)} of {len(templates)} prompts have no template id",
            expected="a template id for each prompt, because the template is the unit of independence",
            fix="give ids in the profile, or cluster by text first: stats.label_templates(templates, texts)",
        )
    if np.isinf(table).any():
        row, column = np.argwhere(np.isinf(table))[0]
        raise WorkError(
            "an effect is infinite",
            expected="finite numbers, NaN where a value is missing",
            where=f"prompt {row}, test {column}",
            fix="a probability has underflowed to 0: widen the lexicon or use a higher precision",
        )
    labels, codes = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    # Sparse: with a template for each prompt it has as many rows as columns.
    member = csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(len(labels), len(codes)))
    present = ~np.isnan(table)
    counts = np.rint(member @ present).astype(np.int64)
    # The mean is taken around the template's first value, so that a constant effect has a mean of exactly that value
    # and a standard deviation of exactly zero.
    first = np.full((len(labels), table.shape[1]), np.nan)
    for row in range(table.shape[0] - 1, -1, -1):
        first[codes[row]] = np.where(present[row], table[row], first[codes[row]])
    offsets = member @ np.where(present, table - first[codes], 0.0)
    with np.errstate(invalid="ignore"):
        means = first + offsets / np.where(counts > 0, counts, 1)
    return TemplateMeans(means, counts, tuple(str(label) for label in labels))


def stack(blocks: Sequence[FamilyBlock]) -> TemplateMeans:
    """Template means of all blocks side by side, on the common sorted list of templates.

    A template that a block does not have is NaN for that block's tests.

    Raises:
        RequestError: there is no block, or a block has not one key for each test.
    """
    if not blocks:
        raise RequestError("a family of tests is empty", expected="at least one block of effects")
    parts: list[TemplateMeans] = []
    for block in blocks:
        part = template_means(block.deltas, block.templates)
        if len(block.keys) != part.means.shape[1]:
            raise RequestError(
                "a block of a family has not one key for each test",
                expected=f"{part.means.shape[1]} keys",
                got=f"{len(block.keys)}",
            )
        parts.append(part)
    labels = tuple(sorted({label for part in parts for label in part.labels}))
    place = {label: row for row, label in enumerate(labels)}
    n_tests = sum(part.means.shape[1] for part in parts)
    means = np.full((len(labels), n_tests), np.nan)
    counts = np.zeros((len(labels), n_tests), dtype=np.int64)
    column = 0
    for part in parts:
        rows = [place[label] for label in part.labels]
        width = part.means.shape[1]
        means[rows, column : column + width] = part.means
        counts[rows, column : column + width] = part.counts
        column += width
    return TemplateMeans(means, counts, labels)


def equal_weight_mean(means: Float[FloatArray, "templates tests"]) -> Float[FloatArray, " tests"]:
    """The mean over templates, NaN where a test has none."""
    present = ~np.isnan(means)
    count = present.sum(axis=0)
    if means.shape[0] == 0:
        return np.full(means.shape[1], np.nan)
    anchor = means[np.argmax(present, axis=0), np.arange(means.shape[1])]  # NaN only where all are
    total = np.where(present, means - anchor, 0.0).sum(axis=0)
    return np.where(count > 0, anchor + total / np.where(count > 0, count, 1), np.nan)


def standard_deviation(means: Float[FloatArray, "templates tests"]) -> Float[FloatArray, " tests"]:
    """The standard deviation over templates (n - 1), NaN below two templates; exactly 0 for a constant."""
    present = ~np.isnan(means)
    count = present.sum(axis=0)
    center = equal_weight_mean(means)
    squares = np.where(present, (means - center) ** 2, 0.0).sum(axis=0)
    deviation = np.sqrt(squares / np.where(count > 1, count - 1, 1))
    # Rounding leaves about 1e-16 of the mean where every template has the same value: that is no spread.
    deviation = np.where(deviation <= 1e-12 * np.abs(center), 0.0, deviation)
    return np.where(count > 1, deviation, np.nan)


def split_templates(
    templates: Sequence[str], *, seed: int, name: str = "halves"
) -> tuple[Bool[BoolArray, " prompts"], Bool[BoolArray, " prompts"]]:
    """Two disjoint halves of the prompts that share no template: choose on one, measure on the other, then swap.

    Returns two masks. With an odd number of templates the first half has one more.

    Raises:
        RequestError: fewer than two templates.
    """
    labels, codes = np.unique(np.asarray(templates, dtype=np.str_), return_inverse=True)
    if len(labels) < 2:
        raise RequestError("templates cannot be halved", expected="at least two templates", got=f"{len(labels)}")
    order = generator(seed, "split_templates", name).permutation(len(labels))
    first = np.isin(codes, order[: (len(labels) + 1) // 2])
    return first, ~first
