"""Writes the section on tables of docs/run_folder.md from their declarations; a test holds the two together.

python docs/tables.py
"""

from __future__ import annotations

from pathlib import Path

from headscope.tables import COLUMNS, TABLES, Table
from headscope.terms import EDITS, NULLS, OUTCOMES, ROLES, STEERING_EDITS, STEERING_SCOPES, VECTORS

PAGE = Path(__file__).with_name("run_folder.md")
_BEGIN, _END = "<!-- begin: written by docs/tables.py -->\n", "<!-- end -->\n"


def page() -> str:
    """The whole page, with the section as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    return before + _BEGIN + section() + _END + rest.partition(_END)[2]


def section() -> str:
    """Tables with their columns and keys, columns with one sentence each, and the names that stand in cells."""
    lines = ["", "| table | one row for each | other columns |", "|---|---|---|"]
    lines += [_table(table) for table in TABLES.values()]
    lines += ["", "| column | what it holds |", "|---|---|"]
    lines += [f"| `{name}` | {column.says} |" for name, column in COLUMNS.items() if column.says]
    outcomes = {f"{name}…" if outcome.is_family else name: outcome.says for name, outcome in OUTCOMES.items()}
    cells = {
        "outcome": outcomes, "edit": EDITS | STEERING_EDITS, "role": ROLES, "vector": VECTORS,
        "scope of a steering edit": STEERING_SCOPES, "null": NULLS,
    }  # fmt: skip
    for title, names in cells.items():
        lines += ["", f"| `{title}` | |", "|---|---|"]
        lines += [f"| `{name}` | {says} |" for name, says in names.items()]
    return "\n".join([*lines, "", ""])


def _table(table: Table) -> str:
    others = ", ".join(f"`{column}`" for column in table.columns if column not in table.key)
    key = ", ".join(f"`{column}`" for column in table.key)
    if table.unkeyed_roles:
        key += f"; several of roles {', '.join(f'`{role}`' for role in table.unkeyed_roles)}"
    return f"| `{table.name}`: {table.says} | {key} | {others} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
