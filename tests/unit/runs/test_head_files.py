"""Every form of file gives the heads it names; what names none is refused with the place where it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.errors import RequestError
from headscope.heads import Head, HeadSet
from headscope.runs.head_files import read_heads, rows_of

SHAPE = (12,) * 12
RANKING = """concept,rank,layer,head,score,by
joy,1,9,9,-2.5,effect
joy,2,9,6,1.5,effect
joy,3,0,1,0.1,effect
anger,1,0,1,3.0,effect
anger,2,9,9,0.5,effect
"""
VERDICTS = """concept,heads,verdict,estimate
joy,9:9,carrier,-2.5
joy,9:6,shared carrier,1.5
joy,0:1,no effect,
anger,0:1,carrier,3.0
anger,"1:0,2:0",carrier,4.0
"""
CIRCUIT = {
    "cfg": {"n_layers": 12, "n_heads": 12},
    "nodes": {
        "input": {"in_graph": True},
        "a9.h9": {"in_graph": True, "score": 0.5},
        "a9.h6": {"in_graph": True, "score": 2.5},
        "a0.h0": {"in_graph": False, "score": 9.0},
        "m3": {"in_graph": True},
        "logits": {"in_graph": True},
    },
    "edges": {"a9.h9->logits": {"score": 1.0, "in_graph": True}},
}


@pytest.mark.parametrize(
    ("name", "content", "heads"),
    [
        ("a.txt", "# of the paper\n9:9, L9H6  # movers\n\n3:0-2\r\n", "3:0,3:1,3:2,9:6,9:9"),
        ("a.txt", "9.10\na9.h1\n", "9:1,9:10"),
        ("a.txt", "9:9;9:6\n9:9\n3:*\n3:1\n", "3:*,9:6,9:9"),
        ("no_suffix", "9:9\n", "9:9"),
        ("a.csv", "Layer,Head,note\n9,9,mover\n9,6,\n9,9,again\n", "9:6,9:9"),
        ("a.csv", "\ufefflayer;head\n9;9\n", "9:9"),
        ("a.csv", 'heads,of\n"9:9,9:6",movers\nL0H1,duplicate token\n', "0:1,9:6,9:9"),
        ("a.csv", "head\n9:9\na9.h10\n", "9:9,9:10"),
        ("a.csv", "layer,head\n9.0,10.0\n", "9:10"),
        ("a.tsv", "layer\thead\n9\t9\n", "9:9"),
        ("a.jsonl", '{"layer": 9, "head": 9}\n{"layer": 9, "head": 6}\n', "9:6,9:9"),
        ("a.json", "[[9, 9], [9, 6], [9, 9]]", "9:6,9:9"),
        ("a.json", '["9:9", "L9H6", "9.10"]', "9:6,9:9,9:10"),
        ("a.json", '[{"layer": 9, "head": 9, "score": 1.5}]', "9:9"),
        ("a.json", '{"heads": [[9, 9]], "model": "gpt2"}', "9:9"),
        ("a.json", '{"scores": [{"layer": 9, "head": 9, "delta_attn": 0.5, "emotion": "joy"}]}', "9:9"),
        ("a.json", json.dumps(CIRCUIT), "9:6,9:9"),
        ("a.json", '{"nodes": {"a9.h9": true, "a9.h6": false, "m0": true}}', "9:9"),
        ("a.csv?top=1&sort=score", "layer,head,score\n9,9,0.5\n9,6,-0.75\n0,0,\n", "9:6"),
        ("a.csv?top=1&sort=p_value", "layer,head,p_value\n9,9,0.5\n9,6,0.01\n", "9:6"),
        ("a.json?top=1&sort=score", json.dumps(CIRCUIT), "9:6"),
        ("ranking.csv?concept=joy&top=2", RANKING, "9:6,9:9"),
        ("ranking.csv?Concept=anger", RANKING, "0:1,9:9"),
        ("ranking.csv", RANKING, "0:1,9:6,9:9"),
        ("verdicts.csv?verdict=carrier", VERDICTS, "0:1,9:9"),
        ("verdicts.csv?verdict=carrier&verdict=shared carrier&concept=joy", VERDICTS, "9:6,9:9"),
    ],
)
def test_each_form_gives_its_heads(name: str, content: str, heads: str, tmp_path: Path) -> None:
    (tmp_path / name.partition("?")[0]).write_bytes(content.encode())
    expected = HeadSet.parse(heads, SHAPE)
    assert read_heads(f"@{tmp_path / name}", SHAPE) == expected
    assert read_heads(str(expected), SHAPE) == expected


def test_a_folder_is_a_run_whose_verdicts_choose(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "verdicts.csv").write_text(VERDICTS)
    assert str(read_heads(f" @{tmp_path}?verdict=carrier&concept=joy", SHAPE)) == "9:9"
    with pytest.raises(RequestError, match="verdict=carrier"):
        read_heads(f"@{tmp_path}", SHAPE)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", ("file is empty", "at least one head", "a.txt")),
        ("a.txt", "# nothing yet\n", ("file names no heads", "a.txt")),
        ("a.txt", "9:9\nnine\n", ('"nine" is malformed', "a.txt, line 2")),
        ("a.txt", "9:9\n99:0\n", ("12 layers of 12 heads; 99:0 does not exist", "a.txt, line 2")),
        ("a.txt?concept=joy", "9:9\n", ('file has no column "concept"', "a file with columns")),
        ("a.txt", b"\xff\xfe9:9", ("not UTF-8",)),
        ("a.csv", "name,value\n9,9\n", ("row names no head", "columns layer and head", "name, value", "line 2")),
        ("a.csv", "layer,score\n9,9\n", ("row names no head", "columns layer and head")),
        ("a.csv", "layer,head\n9,\n", ("head is no whole number", "line 2")),
        ("a.csv", "layer,head\n9,1.5\n", ('"1.5"', "line 2")),
        ("a.csv", "head\n9.1\n", ('"9.1"', "line 2")),
        ("a.csv", "layer,head\n9,12\n", ("9:12 does not exist", "line 2")),
        ("a.csv?concept=fear", RANKING, ('concept "fear"', "anger, joy")),
        ("a.csv?mood=joy", RANKING, ('no column "mood"', "concept, rank, layer")),
        ("a.csv?top=2", RANKING, ("several rankings", "concept=NAME")),
        ("a.csv?concept=joy&top=4", RANKING, ("fewer heads", "top=4", "3")),
        ("a.csv?top=0", RANKING, ("from 1",)),
        ("a.csv?top", RANKING, ("malformed", "COLUMN=VALUE")),
        ("a.csv?top=1&top=2", RANKING, ("top stands twice",)),
        ("a.csv?sort=by&top=1", RANKING, ('"by" holds no number', "effect")),
        ("a.csv?top=1", "layer,head\n9,9\n", ('no column "rank"', "sort=COLUMN")),
        ("a.json", "[[9, 9], [9]]", ("names no head here", "a list of 1", "[1]")),
        ("a.json", "[[9, true]]", ("names no head here",)),
        ("a.json", "[9.1]", ("names no head here", "9.1")),
        ("a.json", '{"nodes": []}', ("nodes by name",)),
        ("a.json", '{"nodes": {"a0.h0": {"score": 1}}}', ('"in_graph": true or false', "a0.h0")),
        ("a.json", '{"nodes": {"a0.h0": false}}', ("file names no heads",)),
        ("a.json", '{"circuit": 1}', ("JSON names no heads", "[[1, 10]", "circuit")),
        ("a.json", "[[9, 9]", ("JSON is broken", "line 1")),
        ("a.json", "[" * 50_000, ("nested too deeply",)),
    ],
)
def test_what_names_no_heads_is_refused(
    name: str, content: str | bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name.partition("?")[0]).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RequestError) as refused:
        read_heads(f"@{tmp_path / name}", SHAPE)
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(("spec", "word"), [("@", "@FILE"), ("@gone.csv", "file does not exist"), ("@.", "verdicts")])
def test_a_file_that_is_not_there_is_refused_without_a_model(
    spec: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=word):
        rows_of(spec)


def test_a_typed_spec_has_no_rows_and_keeps_its_rules() -> None:
    assert rows_of("9:9,9:9") == []
    with pytest.raises(RequestError, match="stands twice"):
        read_heads("9:9,9:9", SHAPE)


@given(st.lists(st.builds(Head, st.integers(0, 11), st.integers(0, 11)), min_size=1))
def test_a_list_of_heads_in_any_order_and_number_is_their_set(
    tmp_path_factory: pytest.TempPathFactory, heads: list[Head]
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    (folder / "a.json").write_text(json.dumps([[head.layer, head.head] for head in heads]))
    (folder / "a.csv").write_text("layer,head\n" + "".join(f"{head.layer},{head.head}\n" for head in heads))
    (folder / "a.txt").write_text("\n".join(head.name for head in heads))
    expected = HeadSet.of(set(heads))
    assert {read_heads(f"@{folder / name}", SHAPE) for name in ("a.json", "a.csv", "a.txt")} == {expected}
