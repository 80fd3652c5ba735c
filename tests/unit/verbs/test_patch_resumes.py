"""A patch that is cut off goes on from its pieces, and ends with what an undisturbed one gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headscope.api import patch
from headscope.engines.engine import Engine
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.runs.shards import Shards
from headscope.verbs.patch import PatchResult


class CutOff(Exception):  # noqa: N818 - no error
    """Ends the work between two pieces."""


class CutAfter:
    """A runner that is cut off after so many pieces of all stages together."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, pieces: Sequence[Any], run: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
        for index, piece in enumerate(pieces):
            if not self.left:
                raise CutOff
            self.left -= 1
            yield index, run(piece)


@pytest.mark.parametrize("source", ["partner", "mean"])
def test_a_patch_cut_off_half_way_ends_as_if_undisturbed(tmp_path: Path, source: str) -> None:
    model, whole = load_model("demo"), load_profile("baseline")
    concepts = [prompts for name in ("gratitude", "anger") for prompts in whole.prompts_of(name)[::24]]
    pairs = {prompt.pair for prompt in concepts}
    controls = [prompt for prompt in whole.controls if prompt.id in pairs]
    profile = replace(whole, prompts=(*concepts, *controls))

    def patched(engine: Engine) -> PatchResult:
        return patch(
            model, profile, "1:0,2:1", concepts=["gratitude", "anger"], source=source, n_random=1, max_tokens=3,
            batch_tokens=256, engine=engine,
        )  # fmt: skip

    shards = Shards(tmp_path / "clean", "request")
    clean = patched(Engine(shards))
    n_pieces = shards.n_written
    stages = {path.name.rsplit("-", 1)[0] for path in shards.folder.iterdir()}
    assert stages == {"edited", "patch", "patched_texts"}
    assert len(shards) == n_pieces  # no two pieces share a name
    shards, n_done = Shards(tmp_path / "cut", "request"), n_pieces // 2
    with pytest.raises(CutOff):
        patched(Engine(shards, CutAfter(n_done)))
    assert len(shards) == n_done
    found = patched(Engine(shards))
    assert (shards.n_reused, shards.n_written) == (n_done, n_pieces)
    assert found.values.identical(clean.values)
    assert found.record == clean.record
    for name, table in clean.tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table, check_exact=True)
