"""What a verb gives back: tables for people, named arrays for further work, and a record for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr


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
