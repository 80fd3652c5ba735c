"""Bad input, a table: what the file holds, the words of the message, and that nothing was written."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from headscope.errors import ProfileError
from headscope.profiles import files
from headscope.profiles.loading import load_profile
from headscope.profiles.schema import PromptRow
from headscope.profiles.types import Profile

GOOD = {"text": "I am glad."}
LONG = "x" * 100_001


def row(**fields: object) -> str:
    return json.dumps({**GOOD, **fields})


def said(*turns: tuple[str, str], **fields: object) -> str:
    """A row that is a conversation."""
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in turns], **fields})


def lines(*rows: str) -> str:
    return "\n".join(rows)


# file name, content, words of the message
PROMPT_FILES: dict[str, tuple[str, str | bytes, str]] = {
    # any form
    "empty": ("p.json", b"", "file is empty"),
    "white space only": ("p.jsonl", b" \r\n\t\n", "file is empty"),
    "byte order mark only": ("p.txt", b"\xef\xbb\xbf", "file is empty"),
    "UTF-16 with a mark": ("p.json", '{"prompts": ["a"]}'.encode("utf-16"), "UTF-16"),
    "UTF-16 big end": ("p.txt", b"\xfe\xff\x00a", "UTF-16"),
    "UTF-16 without a mark": ("p.txt", "glad now".encode("utf-16-le"), "zero bytes"),
    "UTF-32": ("p.csv", "text\na\n".encode("utf-32"), "UTF-32"),
    "Latin-1": ("p.txt", "Je suis fâché.".encode("latin-1"), "byte 0xe2 in line 1"),
    "Latin-1 further down": ("p.txt", "one\ntwo\nfâché\n".encode("latin-1"), "line 3"),
    "Shift JIS": ("p.txt", "ありがとう".encode("shift_jis"), "iconv -f CP932"),
    "CP1252 from Excel": ("p.csv", "text\r\nEs ist schön.\r\n".encode("cp1252"), 'Excel: "CSV UTF-8"'),
    "CP1252, converted": ("p.csv", "text\r\nEs ist schön.\r\n".encode("cp1252"), "iconv -f CP1252 -t UTF-8 p.csv"),
    "a workbook": ("p.xlsx", b"PK", 'save the sheet as "CSV UTF-8"'),
    "cut inside a character": ("p.txt", "感謝".encode()[:-1], "not UTF-8"),
    "no suffix": ("prompts", b"glad\n", "no known form"),
    "unknown suffix": ("p.docx", b"PK", "no known form"),
    "pickle": ("p.pkl", b"\x80\x04.", "no known form"),
    "lone surrogate": ("p.json", '{"prompts": ["\\ud83d"]}', "U+D83D"),
    "zero character": ("p.json", '{"prompts": ["a\\u0000b"]}', "U+0000"),
    "zero byte deep inside": ("p.txt", "glad\n" * 2000 + "a\0b", "U+0000"),
    "terminal escape": ("p.txt", "\x1b[31mglad", "U+001B"),
    "1 MB prompt": ("p.txt", "glad " * 210_000, "too long"),
    # the study's JSON
    "broken JSON": ("p.json", '{"prompts": [\n"a",\n"b"\n', "line 4"),
    "JSON with a trailing comma": ("p.json", '{"prompts": ["a",]}', "JSON is broken"),
    "JSON with a comment": ("p.json", '{"prompts": ["a"]} // mine', "JSON is broken"),
    "JSON: a mixed list": ("p.json", '["a", {"text": "b"}]', "[1] has the wrong shape"),
    "JSON: an object and a text": ("p.json", '[{"text": "b"}, "a"]', "an object, as the first one"),
    "JSON: a list of lists": ("p.json", '[["a"], ["b"]]', "a list of 1"),
    "JSON: an empty list": ("p.json", "[]", "holds no prompts"),
    "JSON: by columns": ("p.json", '{"text": {"0": "a"}, "label": {"0": 1}}', 'orient="records"'),
    "JSON lines of lists": ("p.json", '{"text": "a"}\n["b"]', "row has the wrong shape"),
    "JSON: text": ("p.json", '"a"', "text"),
    "JSON: a number": ("p.json", "7", "a number"),
    "JSON: null": ("p.json", "null", "nothing"),
    "JSON: NaN": ("p.json", '{"prompts": NaN}', "NaN"),
    "JSON: other key": ("p.json", '{"texts": ["a"]}', "prompts has the wrong shape"),
    "JSON: key twice": ("p.json", '{"prompts": ["a"], "prompts": ["b"]}', "stands twice"),
    "JSON: no prompts": ("p.json", '{"prompts": []}', "at least 1 item"),
    "JSON: prompts are text": ("p.json", '{"prompts": "a"}', "a valid list"),
    "JSON: a number as prompt": ("p.json", '{"prompts": ["a", 7]}', "prompts[1] has the wrong shape"),
    "JSON: null as prompt": ("p.json", '{"prompts": [null]}', "prompts[0] has the wrong shape"),
    "JSON: true as prompt": ("p.json", '{"prompts": [true]}', "a truth value"),
    "JSON: a row as prompt": ("p.json", '{"prompts": [{"text": "a"}]}', "a mapping with the keys text"),
    "JSON: empty prompt": ("p.json", '{"prompts": ["a", ""]}', "is empty"),
    "JSON: prompt of spaces": ("p.json", '{"prompts": [" \\t "]}', "white space only"),
    "JSON: same prompt twice": ("p.json", '{"prompts": ["Glad.", "b", "Glad."]}', "are the same text"),
    "JSON: nested deeply": ("p.json", '{"prompts":' + "[" * 100_000, "nested too deeply"),
    "JSON: endless number": ("p.json", '{"prompts":' + "9" * 5000 + "}", "JSON is broken"),
    # JSONL
    "JSONL: a broken line": ("p.jsonl", lines(row(), '{"text": "b"', row(text="c")), "line 2"),
    "JSONL: JSON over several lines": ("p.jsonl", json.dumps(GOOD, indent=1), "line 1"),
    "JSONL: a list": ("p.jsonl", lines(row(), '["b"]'), "row has the wrong shape"),
    "JSONL: text": ("p.jsonl", '"b"', "row has the wrong shape"),
    "JSONL: no text": ("p.jsonl", lines(row(), '{"id": "b"}'), "text has the wrong shape"),
    "JSONL: a number as text": ("p.jsonl", row(text=7), "text has the wrong shape"),
    "JSONL: a list in one line": ("p.jsonl", '["a", "b"]', "name it .json"),
    "JSONL: no column of text": ("p.jsonl", '{"id": "b"}', "--text-column NAME"),
    "JSONL: two columns of text": ("p.jsonl", '{"prompt": "a", "content": "b"}', "prompt, content"),
    "JSONL: two columns of labels": ("p.jsonl", row(label="joy", emotion="joy"), "--label-column NAME"),
    "JSONL: labels are numbers": ("p.jsonl", lines(row(label=0), row(text="b", label=1)), "got: 0, 1"),
    "JSONL: labels are truth values": ("p.jsonl", lines(row(label=True), row(text="b", label=False)), "are numbers"),
    "JSONL: a number on some rows": ("p.jsonl", lines(row(label=1), row(text="b")), "are numbers"),
    "JSONL: a label of two words": ("p.jsonl", row(label="great joy"), "concept has the wrong shape"),
    "JSONL: a system message": ("p.jsonl", said(("system", "a")), "a message of a user or an assistant"),
    "JSONL: a system message later": ("p.jsonl", said(("user", "a"), ("system", "b")), "and it comes first"),
    "JSONL: two system messages": ("p.jsonl", said(("system", "a"), ("system", "b"), ("user", "c")), "at most one"),
    "JSONL: an unknown role": ("p.jsonl", said(("user", "a"), ("tool", "b")), "messages[1].role has the wrong shape"),
    "JSONL: no role": ("p.jsonl", '{"messages": [{"content": "a"}]}', "messages[0].role has the wrong shape"),
    "JSONL: a message with a name": (
        "p.jsonl",
        '{"messages": [{"role": "user", "content": "a", "name": "b"}]}',
        "messages[0].name has the wrong shape",
    ),
    "JSONL: no message": ("p.jsonl", '{"messages": []}', "messages has the wrong shape"),
    "JSONL: messages beside text": (
        "p.jsonl",
        lines(row(), row(messages=[{"role": "user", "content": "b"}]), '{"messages": []}'),
        "no text beside messages",
    ),
    "JSONL: empty messages": ("p.jsonl", said(("user", " "), ("assistant", "")), "is empty"),
    "JSONL: the same messages": ("p.jsonl", lines(*[said(("system", "a"), ("user", "b"))] * 2), "are the same text"),
    "JSONL: a span of no message": (
        "p.jsonl",
        said(("system", "a"), ("user", "glad"), span=[3, 7]),
        "a place in it names no message",
    ),
    "JSONL: a span of message 2 of 2": (
        "p.jsonl",
        said(("system", "a"), ("user", "b"), span={"message": 2, "start": 0, "end": 1}),
        "no message 2",
    ),
    "JSONL: a span of message -1": (
        "p.jsonl",
        said(("system", "a"), ("user", "b"), span={"message": -1, "start": 0, "end": 1}),
        "span.message has",
    ),
    "JSONL: a span beyond its message": (
        "p.jsonl",
        said(("system", "a"), ("user", "glad"), span={"message": 1, "start": 0, "end": 5}),
        "outside its message 1",
    ),
    "JSONL: a span that begins before its message": (
        "p.jsonl",
        said(("system", "a"), ("user", "glad"), span={"message": 1, "start": -2, "end": 4}),
        "outside its message 1",
    ),
    "JSONL: half a span in a message": (
        "p.jsonl",
        said(("system", "a"), ("user", "glad"), span={"message": 1, "start": 0}),
        "span.end has the wrong",
    ),
    "JSONL: a named span beyond its message": (
        "p.jsonl",
        said(("system", "a"), ("user", "glad"), spans={"io": {"message": 0, "start": 0, "end": 2}}),
        "outside its message 0",
    ),
    "JSONL: a span in a message that a text is not": (
        "p.jsonl",
        row(span={"message": 1, "start": 0, "end": 1}),
        "no message 1",
    ),
    "JSONL: a message that is a number": ("p.jsonl", '{"messages": [7]}', "a number: 7"),
    "JSONL: a message without content": ("p.jsonl", '{"messages": [{"role": "user"}]}', "messages[0].content has the"),
    "JSONL: a picture as message": (
        "p.jsonl",
        '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}',
        "messages[0].content has the wrong shape",
    ),
    "JSONL: span of one": ("p.jsonl", row(span=[5]), "at least 2 items"),
    "JSONL: span of three": ("p.jsonl", row(span=[5, 9, 10]), "at most 2 items"),
    "JSONL: span of text": ("p.jsonl", row(span=["5", "9"]), "span[0] has the wrong shape"),
    "JSONL: span of fractions": ("p.jsonl", row(span=[5.5, 9]), "span[0] has the wrong shape"),
    "JSONL: span of truth values": ("p.jsonl", row(span=[False, True]), "span[0] has the wrong shape"),
    "JSONL: span is text": ("p.jsonl", row(span="5-9"), "span has the wrong shape"),
    "JSONL: span outside": ("p.jsonl", row(span=[5, 11]), "outside its text"),
    "JSONL: span backwards": ("p.jsonl", row(span=[9, 5]), "outside its text"),
    "JSONL: span empty": ("p.jsonl", row(span=[5, 5]), "outside its text"),
    "JSONL: span negative": ("p.jsonl", row(span=[-4, -1]), "outside its text"),
    "JSONL: span huge": ("p.jsonl", row(span=[0, 10**30]), "outside its text"),
    "JSONL: span on a space": ("p.jsonl", row(span=[4, 5]), "white space"),
    "JSONL: implicit is text": ("p.jsonl", row(implicit="yes"), "implicit has the wrong shape"),
    "JSONL: template is a truth value": ("p.jsonl", row(template=True), "template has the wrong shape"),
    "JSONL: template is a fraction": ("p.jsonl", row(template=3.5), "template has the wrong shape"),
    "JSONL: half a span": ("p.jsonl", row(span_start=3), "half a span"),
    "JSONL: an edge is a list": ("p.jsonl", row(span_start=[3], span_end=4), "no pair of numbers"),
    "JSONL: template is empty": ("p.jsonl", row(template=""), "template has the wrong shape"),
    "JSONL: concept is a path": ("p.jsonl", row(concept="../x"), "concept has the wrong shape"),
    "JSONL: concept is empty": ("p.jsonl", row(concept=""), "concept has the wrong shape"),
    "JSONL: concept is reserved": ("p.jsonl", row(concept="overall"), "cannot name a concept"),
    "JSONL: id twice": ("p.jsonl", lines(row(id="a"), row(id="a", text="b")), "stands 2 times"),
    "JSONL: partner does not exist": ("p.jsonl", row(pair="n-99"), "does not exist"),
    "JSONL: partner is no control": ("p.jsonl", lines(row(pair="b"), row(id="b", text="c")), "no control prompt"),
    "JSONL: partner is itself": ("p.jsonl", row(id="a", pair="a"), "no control prompt"),
    "JSONL: control with a partner": (
        "p.jsonl",
        lines(row(), row(id="n", concept="neutral", text="b"), row(concept="neutral", text="c", pair="n")),
        "names a partner",
    ),
    "JSONL: the same text in two classes": (
        "p.jsonl",
        lines(row(concept="joy"), row(concept="neutral")),
        "are the same text",
    ),
    "JSONL: controls only": ("p.jsonl", row(concept="neutral"), "holds no concept"),
    # CSV
    "CSV: no text column": ("p.csv", "sayings,id\na,b\n", 'no column "text"'),
    "CSV: two text columns": ("p.csv", "prompt;sentence\na;b\n", "prompt, sentence"),
    "CSV: no header": ("p.csv", "I am glad.\n", 'no column "text"'),
    "CSV: labels are numbers": ("p.csv", "text,label\na,1\nb,0\n", 'the column "label" are numbers'),
    "CSV: column twice": ("p.csv", "text,text\na,b\n", "stands twice"),
    "CSV: semicolons in a row of commas": ("p.csv", "text,concept\na;joy\n", "wrong number of cells"),
    "CSV: another delimiter than it says": ("p.csv", "sep=;\ntext,concept\na,joy\n", 'no column "text"'),
    "CSV: only what it is parted by": ("p.csv", "sep=;\n", 'no column "text"'),
    "CSV: a cell beyond the header": ("p.csv", "text,concept,,\na,joy,,x\n", "wrong number of cells"),
    "CSV: a list as span": ("p.csv", 'text,span\nabc,"[0, 1]"\n', "span has the wrong shape"),
    "CSV: a line of its own counted": ("p.csv", "sep=,\ntext,concept\na,joy\nb\n", "line 4"),
    "TSV: commas": ("p.tsv", "text,concept\na,joy\n", 'no column "text"'),
    "CSV: header only": ("p.csv", "text,concept\n", "holds no prompts"),
    "CSV: missing cell": ("p.csv", "text,concept\na,joy\nb\n", "line 3"),
    "CSV: unquoted comma": ("p.csv", "text,concept\nGlad, really,joy\n", "wrong number of cells"),
    "CSV: open quote": ("p.csv", 'text\n"a\n', "CSV is broken"),
    "CSV: text after a quote": ("p.csv", 'text\n"a"b\n', "CSV is broken"),
    "CSV: half a span": ("p.csv", "text,span_start\na,0\n", "half a span"),
    "CSV: span of words": ("p.csv", "text,span_start,span_end\nabc,one,two\n", "no pair of numbers"),
    "CSV: one edge only": ("p.csv", "text,span_start,span_end\nabc,1,\n", "no pair of numbers"),
    "CSV: span outside": ("p.csv", "text,span_start,span_end\nabc,1,9\n", "outside its text"),
    "CSV: implicit is a word": ("p.csv", "text,implicit\nabc,maybe\n", "neither true nor false"),
    "CSV: endless cell": ("p.csv", "text\n" + "x" * 140_000, "CSV is broken"),
    "CSV: empty prompt": ("p.csv", "text,id\n,a\n", "is empty"),
    # text
    "text: same line twice": ("p.txt", "Glad.\nb\nGlad.\n", "are the same text"),
    "text: long prompt": ("p.txt", LONG, "too long"),
}

YAML = """
name: mine
control: neutral
prompts: p.txt
concepts:
  joy:
    lexicon: [glad, happy, joyful]
"""

# content of profile.yaml, words of the message
YAMLS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "file is empty"),
    "a comment only": ("# nothing\n", "wrong shape"),
    "UTF-16": (YAML.encode("utf-16"), "UTF-16"),
    "broken": (YAML + "  bad: [1\n", "YAML is broken"),
    "tab": ("name:\tmine\n\tprompts: p.txt\n", "YAML is broken"),
    "a list": ("- name\n", "wrong shape"),
    "two documents": (YAML + "---\n" + YAML, "YAML is broken"),
    "unknown field": (YAML + "prompt: p.txt\n", "no field of this name"),
    "unknown format": ("format: headscope-profile/9\n" + YAML, "format has the wrong shape"),
    "no prompts": (YAML.replace("prompts: p.txt\n", ""), "prompts has the wrong shape"),
    "no concepts": ("name: a\nprompts: p.txt\nconcepts: {}\n", "concepts or tasks, one of the two"),
    "no name": (YAML.replace("name: mine\n", ""), "name has the wrong shape"),
    "name is a path": (YAML.replace("mine", "../mine"), "name has the wrong shape"),
    "key twice": (YAML + "name: other\n", 'key "name" stands twice'),
    "concept twice": (YAML + "  joy: {lexicon: [a]}\n", 'key "joy" stands twice'),
    "no lexicon": (YAML.replace("lexicon: [glad, happy, joyful]", "{}"), "lexicon has the wrong shape"),
    "lexicon is text": (YAML.replace("[glad, happy, joyful]", "glad"), "lexicon has the wrong shape"),
    "lexicon is empty": (YAML.replace("[glad, happy, joyful]", "[]"), "lexicon has the wrong shape"),
    "a number as word": (YAML.replace("happy", "7"), "line 7"),
    "no as word": (YAML.replace("happy", "no"), "a truth value"),
    "a word with space around it": (YAML.replace("happy", '" happy"'), "lexicon[1] has the wrong shape"),
    "no as concept": (YAML.replace("joy:", "no:"), "no text"),
    "concept is the control": (YAML.replace("joy:", "neutral:"), "both a concept and the control"),
    "concept is reserved": (YAML.replace("joy:", "overall:"), "cannot name a concept"),
    "concept with a colon": (YAML.replace("joy:", '"a:b":'), "wrong shape"),
    "readout with a lexicon word": (YAML + "readouts: [I am so glad to be]\n", '"glad" in'),
    "readout is a number": (YAML + "readouts: [7]\n", "readouts[0] has the wrong shape"),
    "readout is empty": (YAML + 'readouts: [" "]\n', "readout is empty"),
    "readout twice": (YAML + "readouts: [I am, I am]\n", "stands twice"),
    "control word is a lexicon word": (YAML + "control_lexicon: [Happy, plan, idea]\n", "share words"),
    "prompts of an unknown class": (YAML.replace("p.txt", "{awe: p.txt}"), 'unknown class "awe"'),
    "a concept without prompts": (YAML + "  awe: {lexicon: [wow, ah, oh]}\n", "names no concept"),
    "a file that does not exist": (YAML.replace("p.txt", "q.txt"), "file does not exist"),
    "the folder itself": (YAML.replace("p.txt", '"."'), "no known form"),
    "a file above": (YAML.replace("p.txt", "../secret.txt"), "outside the profile's folder"),
    "an absolute path": (YAML.replace("p.txt", "/etc/passwd"), "outside the profile's folder"),
    "a zero in a path": (YAML.replace("p.txt", '"p\\0.txt"'), "U+0000"),
    "an alias": ("a: &x [1]\nb: *x\n" + YAML, "aliases are not read"),
    "a bomb of aliases": (
        "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)) + YAML,
        "aliases are not read",
    ),
    "an object": (YAML + "description: !!python/object/apply:os.system [touch pwned]\n", "tags are not read"),
    "a module": (YAML + "description: !!python/name:os.system\n", "tags are not read"),
    "a tag of one's own": (YAML + "description: !mine x\n", "tags are not read"),
    "nested deeply": ("[" * 20_000, "YAML"),
    "too large": (YAML + "# " + "x" * 300_000, "too large"),
}


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(path: Path, words: str, root: Path) -> None:
    before = listing(root)
    with pytest.raises(ProfileError) as raised:
        load_profile(path)
    assert words in str(raised.value)
    assert raised.value.exit_code == 2
    assert "Traceback" not in str(raised.value)
    assert listing(root) == before


@pytest.mark.parametrize("case", PROMPT_FILES)
def test_a_bad_file_of_prompts_is_refused(tmp_path: Path, case: str) -> None:
    name, content, words = PROMPT_FILES[case]
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(path, words, tmp_path)


@pytest.mark.parametrize("case", YAMLS)
def test_a_bad_yaml_is_refused(tmp_path: Path, case: str) -> None:
    content, words = YAMLS[case]
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("the secret\n")
    (folder / "p.txt").write_text("I am glad.\nSo happy, all of them.\n")
    (folder / "profile.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    refused(folder, words, tmp_path)


def test_the_good_neighbours_of_the_table_load(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("I am glad.\nSo happy, all of them.\n")
    (tmp_path / "profile.yaml").write_text(YAML)
    assert load_profile(tmp_path).prompts
    (tmp_path / "q.jsonl").write_text(lines(row(), row(text="b", span=[0, 1])))
    assert load_profile(tmp_path / "q.jsonl").prompts


@pytest.mark.parametrize("name", ["profile.yaml", "p.txt"])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    contents = {"profile.yaml": YAML, "p.txt": "the secret, gladly told\n"}
    for file, content in contents.items():
        (tmp_path / file if file == name else folder / file).write_text(content)
    (folder / name).symlink_to(tmp_path / name)
    refused(folder, "outside the profile's folder", tmp_path)


def test_a_link_out_of_a_data_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.json").write_text('{"prompts": ["the secret"]}')
    (folder / "joy_prompts.json").symlink_to(tmp_path / "secret.json")
    refused(folder, "outside the profile's folder", tmp_path)


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("I am glad.\n")
    (tmp_path / "p.txt").symlink_to(tmp_path / "real.txt")
    (tmp_path / "profile.yaml").write_text(YAML)
    assert load_profile(tmp_path).prompts_of("joy")


def test_a_loop_of_links_or_an_endless_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").symlink_to(tmp_path / "q.txt")
    (tmp_path / "q.txt").symlink_to(tmp_path / "p.txt")
    (tmp_path / "profile.yaml").write_text(YAML)
    refused(tmp_path, "p.txt", tmp_path)
    refused(Path("x" * 300), "cannot be read", tmp_path)
    refused(Path("a\0b"), "does not exist", tmp_path)


def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.txt")
    (tmp_path / "profile.yaml").write_text(YAML)
    refused(tmp_path, "a pipe, socket or device", tmp_path)
    (tmp_path / "p.txt").unlink()
    (tmp_path / "p.txt").mkdir()
    refused(tmp_path, "a folder", tmp_path)


def test_an_endless_file_is_read_no_further_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "read_bytes", lambda path, limit, real=files.read_bytes: real(path, min(limit, 1000)))
    (tmp_path / "p.txt").write_bytes(b"x" * 1001)
    refused(tmp_path / "p.txt", "at most 1,000 bytes", tmp_path)


def test_a_file_without_permission_is_refused(tmp_path: Path, project_root: Path) -> None:
    """Root may read everything, so the test asks as another user."""
    if os.geteuid() != 0:
        (tmp_path / "p.txt").write_text("glad\n")
        (tmp_path / "p.txt").chmod(0)
        refused(tmp_path / "p.txt", "cannot be read", tmp_path)
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "p.txt"
        path.write_text("glad\n")
        path.chmod(0o600)
        script = f"""
import sys; sys.path[:0] = {[str(project_root), *sys.path]!r}
import headscope.profiles.loading as loading, os
from headscope.errors import ProfileError
os.setuid(65534)
try: loading.load_profile({str(path)!r})
except ProfileError as error: print(error)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "cannot be read" in done.stdout, done.stderr


def test_neither_a_missing_folder_nor_an_empty_one_is_a_profile(tmp_path: Path) -> None:
    refused(tmp_path / "none", "does not exist", tmp_path)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "an empty folder", tmp_path)
    for name in ("joy_prompts.json", "joy_prompts.txt"):
        (tmp_path / "empty" / name).write_text('{"prompts": ["a"]}')
    refused(tmp_path / "empty", "two files hold the prompts of joy", tmp_path)


KEYS = [*PromptRow.model_fields, "span_start", "span_end", "prompts", "prompt", "label", "messages", "role", "content"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "x"]), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=80)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.lists(JSON_VALUES, max_size=3).map(lambda values: "\n".join(map(json.dumps, values)).encode()),
    suffix=st.sampled_from(["json", "jsonl", "csv", "tsv", "parquet", "txt", "yaml"]),
)
def test_any_bytes_give_a_profile_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz.{suffix}"
    path.write_bytes(content)
    try:
        found: object = load_profile(path)
    except ProfileError as error:
        found = error
    assert isinstance(found, Profile) or str(path.name) in str(found) or "fuzz" in str(found)


@settings(max_examples=150, deadline=None)
@given(
    header=st.lists(
        st.sampled_from(["text", "Text", "prompt", "label", "concept", "", "id", "span_start", "x"]), max_size=5
    ),
    rows=st.lists(st.lists(st.text(st.sampled_from(' ab1;,|\t"\r\n\0é🙂'), max_size=4), max_size=5), max_size=4),
    sign=st.sampled_from(",;\t|"),
    said=st.sampled_from(["", "sep=;\n", "sep=,\r\n", "sep=\t\n", 'sep="\n', "sep=\n", "\ufeff"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_table_gives_a_profile_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory,
    header: list[str],
    rows: list[list[str]],
    sign: str,
    said: str,
    quoting: Literal[0, 1],
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=sign, quoting=quoting).writerows([header, *rows])
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_text(said + buffer.getvalue(), encoding="utf-8", newline="")
    try:
        found: object = load_profile(path)
    except ProfileError as error:
        found = error
    assert isinstance(found, Profile) or "fuzz" in str(found)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_a_good_yaml_gives_a_profile_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "p.txt").write_text("I am glad.\n")
    start = data.draw(st.integers(0, len(YAML)))
    end = data.draw(st.integers(start, min(len(YAML), start + 20)))
    filler = data.draw(st.text(st.sampled_from(" \n\t:-[]{}&*!|>'\"%@`#,?aé0.~"), max_size=6))
    (folder / "profile.yaml").write_text(YAML[:start] + filler + YAML[end:], encoding="utf-8")
    try:
        assert isinstance(load_profile(folder), Profile)
    except ProfileError as raised:
        assert raised.exit_code == 2  # noqa: PT017 - either outcome is right
