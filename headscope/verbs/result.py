"""What a verb gives back: tables for people, named arrays for further work, and a record for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

if TYPE_CHECKING:  # tables of a finished run are ranked without the model's libraries
    from headscope.measure.layout import PromptLayout
    from headscope.profiles.types import Prompt
    from headscope.study import Study


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of one verb.

    Attributes:
        tables: name -> table; the columns are described in ``docs/run_folder.md``.
        values: arrays with named axes; every variable says its unit in ``attrs["unit"]``.
        record: JSON-able facts: what was asked, what was done, warnings.
        main: name of the table that answers the question.
    """

    tables: Mapping[str, pd.DataFrame]
    values: xr.Dataset
    record: Mapping[str, Any]
    main: str

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question."""
        return self.tables[self.main]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the numbers must know, in plain sentences."""
        return tuple(self.record.get("warnings", ()))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(table)} rows" for name, table in self.tables.items())
        return f"<{type(self).__name__} {sizes}>"

    def _repr_html_(self) -> str:
        return self.table.to_html(max_rows=20)


def prompt_coords(study: Study, prompts: Sequence[Prompt | PromptLayout], **axes: Any) -> dict[str, Any]:
    """Coordinates of arrays by prompt: the prompts' ids, further ``axes``, and what each prompt belongs to."""
    return {
        "prompt": [one.id for one in prompts],
        **axes,
        "concept": ("prompt", [one.concept for one in prompts]),
        "template": ("prompt", [study.templates[one.id] for one in prompts]),
        "pair": ("prompt", [study.pair_of[one.id] or "" for one in prompts]),
    }
