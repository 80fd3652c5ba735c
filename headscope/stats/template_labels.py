"""Templates for prompts that have none, by the similarity of their words.

1. A prompt's frame is the set of its words and word pairs, the span (the slot) left out where it is known. Prompts
   with the same frame are one template, so everything below compares distinct frames, however many prompts there are.
2. A frame joins the known template whose frame has the largest Jaccard index with it, from ``similarity`` on.
3. The other frames, each weighing as many prompts as it has, are clustered by average linkage (UPGMA), cut at
   ``similarity``. The clusters are found by chains of nearest neighbours (Murtagh 1983): two clusters that are each
   other's nearest belong together whatever else is merged, and a cluster whose nearest lies beyond the cut is done.
   Frames are in alphabetical order, so that ties fall the same way in whatever order the prompts come.

Labels come with how many were inferred: such clusters are weaker evidence of independence than known ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import regex
from numpy.typing import NDArray
from scipy.sparse import csr_array

from headscope.errors import RequestError
from headscope.profiles.conversations import told_apart
from headscope.profiles.types import Profile
from headscope.profiles.words import LETTER, seen

FloatArray = NDArray[np.float64]
Frame = frozenset[str]

SAME_TEMPLATE_SIMILARITY = 0.35
_WORD = regex.compile("\N{BULLET}|" + LETTER + "+(?:['\N{RIGHT SINGLE QUOTATION MARK}]" + LETTER + "+)*")
MAX_COMPARISONS = 400_000_000
"""Of two frames, 8 bytes each: what fits most machines."""


@dataclass(frozen=True)
class TemplateLabels:
    """Template ids for all prompts, and how they came about.

    Attributes:
        labels: one id for each prompt.
        n_inferred: prompts whose template was inferred from their text.
        warning: a sentence for the record; None where every prompt came with its id.
    """

    labels: tuple[str, ...]
    n_inferred: int
    warning: str | None


def label_templates(
    templates: Sequence[str | None],
    texts: Sequence[str],
    *,
    spans: Sequence[tuple[int, int] | None] | None = None,
    similarity: float = SAME_TEMPLATE_SIMILARITY,
) -> TemplateLabels:
    """Give prompts without a template id one by the similarity of their texts.

    Similarity is the Jaccard index of the sets of words and word pairs, the span (the slot) left out where it is
    known. A prompt joins the known template of the most similar prompt that has one where that similarity reaches
    ``similarity``; the rest are clustered by average linkage, cut there. Prompts alike in neither become templates of
    one prompt each. The order of the prompts decides names only, and which of two equally similar known templates is
    joined. Time and memory grow with the prompts and with the square of distinct frames.

    Args:
        templates: known ids; None where there is none.
        texts: the prompts.
        spans: character spans of the slots.
        similarity: 0 to 1, from which two texts count as the same template.

    Raises:
        RequestError: the lengths disagree, or there are too many distinct frames to compare.
    """
    slots = spans if spans is not None else [None] * len(texts)
    if not len(templates) == len(texts) == len(slots):
        raise RequestError(
            "templates, texts and spans do not belong together",
            expected="one of each for each prompt",
            got=f"{len(templates)} template ids, {len(texts)} texts, {len(slots)} spans",
        )
    unknown = [i for i, template in enumerate(templates) if template is None]
    if not unknown:
        return TemplateLabels(tuple(str(template) for template in templates), 0, None)
    frames = [_frame(text, span) for text, span in zip(texts, slots, strict=True)]
    known: dict[Frame, str] = {}
    for frame, template in zip(frames, templates, strict=True):
        if template is not None:
            known.setdefault(frame, str(template))
    joined = _joined(_in_order(frames[i] for i in unknown), known, similarity)
    labels = [str(name) if name is not None else joined.get(frames[i]) for i, name in enumerate(templates)]
    counts = Counter(frames[i] for i in unknown if labels[i] is None)
    cluster_of = _clusters(_in_order(counts), counts, similarity)
    taken = {name for name in labels if name is not None}
    names: dict[int, str] = {}
    found: list[str] = []
    for frame, label in zip(frames, labels, strict=True):
        if label is None:
            cluster = cluster_of[frame]
            # Numbered in order of first appearance.
            label = names[cluster] = names.get(cluster) or _free_name(f"inferred-{len(names) + 1:03d}", taken)
        found.append(label)
    n_labels = len({found[i] for i in unknown})
    warning = (
        f"{len(unknown)} of {len(texts)} prompts have no template id; they were put into {n_labels} templates by the "
        "similarity of their texts. Give template ids in the profile where you know them: every interval and p-value "
        "rests on templates being independent."
    )
    return TemplateLabels(tuple(found), len(unknown), warning)


def _frame(text: str, span: tuple[int, int] | None) -> Frame:
    if span is not None:
        text = f"{text[: span[0]]} \N{BULLET} {text[span[1] :]}"
    words = ["^", *_WORD.findall(seen(text).casefold()), "$"]
    return frozenset(words[1:-1]) | {f"{a} {b}" for a, b in pairwise(words)}


def _in_order(frames: Iterable[Frame]) -> list[Frame]:
    """Each frame once, by its words."""
    return sorted(set(frames), key=sorted)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}-text"
    return name


def _joined(frames: Sequence[Frame], known: dict[Frame, str], similarity: float) -> dict[Frame, str]:
    """The known template of every frame that is similar enough to one; of equally similar ones the first."""
    if not known:
        return {}
    names = list(known.values())
    alike = _jaccard(frames, list(known))
    best = alike.argmax(axis=1)
    reached = alike[np.arange(len(frames)), best] >= similarity
    return {frame: names[best[i]] for i, frame in enumerate(frames) if reached[i]}


def _jaccard(these: Sequence[Frame], those: Sequence[Frame]) -> FloatArray:
    """[len(these), len(those)] shared words and word pairs over all of both."""
    if len(these) * len(those) > MAX_COMPARISONS:
        raise RequestError(
            "there are too many different texts without a template id to compare them all",
            expected=f"at most {MAX_COMPARISONS:,} comparisons",
            got=f"{len(these):,} x {len(those):,}",
            fix="give template ids in the profile",
        )
    columns = {word: column for column, word in enumerate(sorted(frozenset().union(*these, *those)))}
    shared = (_table(these, columns) @ _table(those, columns).T).toarray()
    sizes = np.array([len(frame) for frame in these], dtype=np.float64)
    union = sizes[:, None] + np.array([len(frame) for frame in those], dtype=np.float64) - shared
    return shared / np.maximum(union, 1.0)


def _table(frames: Sequence[Frame], columns: dict[str, int]) -> csr_array:
    places = [columns[word] for frame in frames for word in frame]
    starts = np.cumsum([0, *(len(frame) for frame in frames)])
    return csr_array((np.ones(len(places)), places, starts), shape=(len(frames), len(columns)))


def _clusters(frames: Sequence[Frame], counts: Counter[Frame], similarity: float) -> dict[Frame, int]:
    """A number for each frame, the same for all frames of a cluster."""
    if not frames:
        return {}
    distance = 1.0 - _jaccard(frames, frames)
    np.fill_diagonal(distance, np.inf)
    sizes = np.array([counts[frame] for frame in frames], dtype=np.float64)
    cluster = np.arange(len(frames))
    for start in range(len(frames)):
        # What was merged into another, or is done, is infinitely far from everything.
        chain = [start]
        while chain:
            last, former = chain[-1], chain[-2] if len(chain) > 1 else None
            nearest = int(distance[last].argmin())
            if distance[last, nearest] > 1.0 - similarity:
                distance[last] = distance[:, last] = np.inf
                chain.pop()
            elif former is not None and distance[last, former] <= distance[last, nearest]:
                cluster[cluster == last] = former
                _merge(distance, sizes, last, former)
                chain = chain[:-2] or [former]
            else:
                chain.append(nearest)
    return dict(zip(frames, map(int, cluster), strict=True))


def _merge(distance: FloatArray, sizes: FloatArray, gone: int, kept: int) -> None:
    """The distance of a union is the mean over its prompts."""
    share = sizes[gone] / (sizes[gone] + sizes[kept])
    mean = share * distance[gone] + (1.0 - share) * distance[kept]
    distance[kept] = distance[:, kept] = mean
    distance[gone] = distance[:, gone] = np.inf
    distance[kept, kept] = np.inf
    sizes[kept] += sizes[gone]


def templates_of(profile: Profile) -> tuple[dict[str, str], tuple[str, ...]]:
    """Prompt id -> template, inferred from the texts where the profile gives none, and what is to be said about it.

    All prompts of the profile are labelled together, whichever of its concepts are asked for: which prompts are alike
    depends on what they are compared with, and a prompt must be the same unit in everything that is said of it.
    """
    prompts = profile.prompts
    texts, spans = zip(*told_apart(prompts), strict=True) if prompts else ((), ())
    labels = label_templates([prompt.template for prompt in prompts], texts, spans=spans)
    of = {prompt.id: label for prompt, label in zip(prompts, labels.labels, strict=True)}
    return of, () if labels.warning is None else (labels.warning,)
