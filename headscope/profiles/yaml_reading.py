"""YAML into plain data, with the line of every value.

PyYAML's safe loader, narrowed: a key that stands twice, an alias (a few hundred bytes of aliases unfold into
gigabytes), a tag, a second document and a key that is no text are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from headscope.errors import ProfileError
from headscope.profiles.explaining import Place
from headscope.profiles.files import YAML_LIMIT_BYTES, read_text

_KEY = "(key)"
_DEEPEST = 20
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))


def read_yaml(path: Path) -> tuple[Any, dict[Place, int]]:
    """The content of a YAML file and the line (from 1) on which each of its values begins, by place.

    Raises:
        ProfileError: the file cannot be read, is no YAML, or uses what the module's docstring says is refused.
    """
    text = read_text(path, YAML_LIMIT_BYTES)
    try:
        _refuse_aliases_and_depth(text, path)
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            lines: dict[Place, int] = {}
            data = _Reader(loader, path, lines).value(root, ()) if root is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise ProfileError("YAML is broken", got=error.problem, where=f"{path}{line}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ProfileError("YAML is broken", got=str(error).splitlines()[0], where=str(path)) from error
    return data, lines


def _refuse_aliases_and_depth(text: str, path: Path) -> None:
    """Events come one by one, so this stops before PyYAML spends time or memory on what is to be refused."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{path}, line {event.start_mark.line + 1}" if event.start_mark else str(path)
        if isinstance(event, yaml.AliasEvent):
            raise ProfileError(
                "YAML aliases are not read", expected="each value written out", got=f"*{event.anchor}", where=where
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ProfileError("YAML is nested too deeply", expected=f"at most {_DEEPEST} levels", where=where)


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, path: Path, lines: dict[Place, int]) -> None:
        self.loader = loader
        self.path = path
        self.lines = lines

    def value(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines[place] = line
        if node.tag not in _PLAIN_TAGS and not node.tag.endswith((":timestamp", ":merge", ":value")):
            raise ProfileError("YAML tags are not read", got=node.tag, where=f"{self.path}, line {line}")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        # A date or a lone "=" is text here, as its author wrote it.
        return self.loader.construct_object(node) if node.tag in _PLAIN_TAGS else node.value

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node, (*place, _KEY))
            where = f"{self.path}, line {key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise ProfileError(
                    "YAML key is no text", expected='text, in quotes if need be: "yes"', got=str(key), where=where
                )
            if key in content:
                raise ProfileError(f'key "{key}" stands twice', expected="each key once", where=where)
            content[key] = self.value(value_node, (*place, key))
        return content
