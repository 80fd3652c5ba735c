"""The kinds of files that are known, and which of them a file is."""

from __future__ import annotations

from headscope.errors import ProfileError, one_of
from headscope.profiles.columns import Table
from headscope.profiles.explaining import some_of
from headscope.profiles.importing.blimp import BLIMP
from headscope.profiles.importing.caa import CAA
from headscope.profiles.importing.causalgym import CAUSALGYM
from headscope.profiles.importing.eap_ig import EAP_IG
from headscope.profiles.importing.function_vectors import FUNCTION_VECTORS
from headscope.profiles.importing.kinds import Importer
from headscope.profiles.importing.mib import MIB
from headscope.profiles.importing.plain_table import TABLE
from headscope.profiles.importing.refusal import REFUSAL
from headscope.profiles.importing.transformer_lens import TRANSFORMER_LENS

# Known by columns that no other program writes; then what any program may write, in this order.
_SPECIFIC = (EAP_IG, MIB, FUNCTION_VECTORS, CAA, BLIMP, TRANSFORMER_LENS, CAUSALGYM)
_GENERAL = (TABLE, REFUSAL)
IMPORTERS = {importer.kind: importer for importer in (*_SPECIFIC, *_GENERAL)}
COLUMNS = tuple(dict.fromkeys(name for importer in IMPORTERS.values() for name in importer.columns))
"""Names of which every file that is known has one."""


def importer_for(table: Table, kind: str | None) -> Importer:
    """The importer asked for, else the one that knows the table.

    Raises:
        RequestError: there is no such kind.
        ProfileError: no kind, or more than one, knows the table.
    """
    if kind is not None:
        return IMPORTERS[one_of("kind", kind, IMPORTERS)]
    found = [importer for importer in _SPECIFIC if importer.recognises(table)]
    if not found:
        found = [importer for importer in _GENERAL if importer.recognises(table)][:1]
    if len(found) == 1:
        return found[0]
    kinds = found or list(IMPORTERS.values())
    raise ProfileError(
        "file could be of several kinds" if found else "file is of no known kind",
        expected="; ".join(f"{importer.kind}: {importer.looks_for}" for importer in kinds),
        got=f"the columns {some_of([name for name in table.columns if name])}",
        where=table.path,
        fix="--as KIND says which" if found else "name its columns like those of the kind table",
    )
