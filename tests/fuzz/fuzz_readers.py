"""Drives a reader with bytes that a coverage-guided fuzzer makes up: ``python fuzz_readers.py READER FOLDER -runs=N``.

Whatever the bytes, a reader gives a value or one of headscope's own errors of the request. Anything else ends the
program with the bytes that did it.
"""

import sys
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["headscope.heads", "headscope.profiles", "headscope.runs"]):
    from headscope.heads import HeadSet
    from headscope.profiles.importing.importing import import_rows
    from headscope.profiles.importing.kinds import Wanted
    from headscope.profiles.importing.registry import importer_for
    from headscope.profiles.importing.sources import read_source
    from headscope.profiles.loading import load_profile
    from headscope.runs.head_files import read_heads
    from headscope.runs.manifest import read_manifest
    from headscope.runs.phase6 import read_head_scores
    from headscope.runs.safe_pickle import plain_pickle
    from headscope.runs.tables import read_table

from headscope.errors import RequestError

FOLDER = Path(sys.argv[2])


def _file(data: bytes, name: str) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def _profile(data: bytes) -> None:
    suffix = ("json", "jsonl", "csv", "txt", "yaml", "tsv")[data[0] % 6] if data else "json"
    if suffix == "yaml":
        folder = FOLDER / "profile"
        folder.mkdir(exist_ok=True)
        (folder / "p.txt").write_text("I am glad.\n")
        (folder / "profile.yaml").write_bytes(data[1:])
        load_profile(folder)
    else:
        load_profile(_file(data[1:], f"prompts.{suffix}"))


def _tasks(data: bytes) -> None:
    suffix = ("json", "jsonl", "csv")[data[0] % 3] if data else "json"
    table, _, name = read_source(str(_file(data[1:], f"tasks.{suffix}")))
    import_rows(table, importer_for(table, None), Wanted(lambda token: f" w{token}", n_shots=2), name=name)


def _head_file(data: bytes) -> None:
    suffix = ("txt", "csv", "tsv", "json", "jsonl")[data[0] % 5] if data else "txt"
    file = _file(data[1:], f"heads.{suffix}")
    for choice in ("", "?concept=a", "?top=1", "?top=1&sort=score"):
        with suppress(RequestError):
            read_heads(f"@{file}{choice}", (4, 3))


def _planted(data: bytes) -> None:
    if data[:1] == b"L":
        raise KeyError("the planted fault")


READERS = {
    "planted": _planted,
    "heads": lambda data: HeadSet.parse(data.decode("utf-8", "replace"), (4, 3)),
    "head_file": _head_file,
    "profile": _profile,
    "tasks": _tasks,
    "manifest": lambda data: read_manifest(_file(data, "manifest.json")),
    "table": lambda data: read_table(_file(data, "nulls.csv"), "nulls"),
    "head_scores": lambda data: read_head_scores(_file(data, "head_scores.json")),
    "pickle": lambda data: plain_pickle(data, "here"),
}


def main() -> None:
    """Fuzz the reader that the first argument names."""
    reader = READERS[sys.argv[1]]

    def one(data: bytes) -> None:
        with suppress(RequestError):
            reader(data)

    atheris.Setup([sys.argv[0], *sys.argv[3:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
