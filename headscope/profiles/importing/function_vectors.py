"""Function vectors' lists of ``{"input": …, "output": …}``: few-shot prompts are built of them.

1. Each pair is asked once, after ``n_shots`` other pairs drawn by the seed and the pair's place in the file.
2. The corrupted prompt has the same examples with their outputs moved on by one place in an order that is drawn, so
   that none stands beside its own input.
3. With ``n_frames`` above 1 the prompts take turns in that many frames; the frame is the template.
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.errors import ProfileError
from headscope.profiles.columns import Table
from headscope.profiles.importing.cells import following, text_of
from headscope.profiles.importing.kinds import Found, Importer, Left, Span, TaskRow, Wanted
from headscope.random_streams import generator

# What stands before an input, between it and its output, and between two examples.
FRAMES = (
    ("Q: ", "\nA:", "\n\n"),
    ("Input: ", "\nOutput:", "\n\n"),
    ("Question: ", "\nAnswer:", "\n\n"),
    ("", " ->", "\n"),
    ("x: ", "\ny:", "\n"),
    ("Text: ", "\nLabel:", "\n\n"),
    ("", " =", "\n"),
    ("Word: ", " | Result:", "\n"),
)
Pair = tuple[str, str]


def read(table: Table, wanted: Wanted) -> Found:
    """Prompts built of the pairs of a table.

    Raises:
        ProfileError: it has too few pairs, or there are not so many frames.
    """
    if not 1 <= wanted.n_frames <= len(FRAMES):
        raise ProfileError("there are not so many frames", expected=f"1 to {len(FRAMES)}", got=str(wanted.n_frames))
    pairs: dict[str, Pair] = {}
    rows: list[tuple[str, TaskRow | Left]] = []
    for at, cells in table.records:
        said, result = text_of(cells.get("input")), text_of(cells.get("output"))
        if said is None or result is None:
            rows.append((at, Left("it has no input or no output")))
        elif any(said == known for known, _ in pairs.values()):
            rows.append((at, Left("its input stands in an earlier pair", said)))
        else:
            pairs[at] = (said, result)
    if len(pairs) <= wanted.n_shots or wanted.n_shots < 2:
        raise ProfileError(
            "too few pairs to build prompts of",
            expected=f"more than the {wanted.n_shots} examples of a prompt, and two examples or more",
            got=f"{len(pairs)} pairs",
            where=table.path,
            fix="--shots N sets the number of examples",
        )
    rows += [(at, _built(index, [*pairs.values()], wanted)) for index, at in enumerate(pairs)]
    built = f"prompts are built: each pair is asked after {wanted.n_shots} others"
    return Found(rows, [f"{built}, in {wanted.n_frames} frames; corrupted: their outputs stand beside other inputs"])


def _built(index: int, pairs: Sequence[Pair], wanted: Wanted) -> TaskRow:
    random = generator(wanted.seed, "function vectors", index)
    others = [pair for place, pair in enumerate(pairs) if place != index]
    shown = [others[place] for place in random.choice(len(others), wanted.n_shots, replace=False)]
    order = random.permutation(wanted.n_shots)
    moved = [*shown]
    for place, following_place in zip(order, [*order[1:], order[0]], strict=True):
        moved[following_place] = (shown[following_place][0], shown[place][1])
    number = index % wanted.n_frames
    question, answer = pairs[index]
    clean, spans = _prompt(shown, question, FRAMES[number])
    corrupted, corrupted_spans = _prompt(moved, question, FRAMES[number])
    answers, template = (following(clean, answer),), f"frame-{number + 1}"
    return TaskRow(clean, answers, (), spans, corrupted, corrupted_spans, template)


def _prompt(examples: Sequence[Pair], question: str, frame: tuple[str, str, str]) -> tuple[str, dict[str, Span]]:
    """The prompt, and where its last example's output and its question stand."""
    before, between, after = frame
    text, last = "", (0, 0)
    for said, result in examples:
        text += before + said + between
        output = following(text, result)
        last = (len(text) + len(output) - len(output.lstrip()), len(text) + len(output.rstrip()))
        text += output + after
    start = len(text) + len(before)
    return text + before + question + between, {"last_output": last, "question": (start, start + len(question))}


FUNCTION_VECTORS = Importer(
    "function-vectors",
    "input and output",
    ("input",),
    lambda table: {"input", "output"} <= {*table.columns},
    read,
    frozenset({"n_shots", "n_frames", "seed"}),
)
