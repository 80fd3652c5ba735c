"""Every function and record of headscope that annotates arrays with their shapes is checked, in every test.

A module that imports names from ``jaxtyping`` is compiled with a decorator on its functions, methods and records whose
annotations name a shape: beartype then compares arguments and results with them. jaxtyping's own hook would check all
functions of a module, and functions made inside others anew each time they are made, which doubles the tests' time.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from beartype import beartype
from jaxtyping import jaxtyped

CHECK = "_shapes_checked"


class ShapeLoader(SourceFileLoader):
    """Compiles a module with the check in it, past the cache of compiled modules."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        names = {
            alias.name
            for line in tree.body
            if isinstance(line, ast.ImportFrom) and line.module == "jaxtyping"
            for alias in line.names
        }
        _decorate(tree.body, names)
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, CHECK, jaxtyped(typechecker=beartype))
        super().exec_module(module)


class ShapeFinder(MetaPathFinder):
    """Gives that loader to the modules that speak of shapes."""

    def find_spec(self, name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name.startswith("headscope.") else None
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        if b"\nfrom jaxtyping import " in spec.loader.get_data(spec.loader.path):
            spec.loader = ShapeLoader(name, spec.loader.path)
        return spec


def install() -> None:
    """Begin to check; modules that are imported already stay as they are."""
    sys.meta_path.insert(0, ShapeFinder())


def _decorate(body: Iterable[ast.stmt], names: set[str]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            if any(isinstance(field, ast.AnnAssign) and _speaks(field.annotation, names) for field in node.body):
                node.decorator_list.insert(0, ast.copy_location(ast.Name(CHECK, ast.Load()), node))
            _decorate(node.body, names)
        elif isinstance(node, ast.FunctionDef) and any(_speaks(part, names) for part in (node.args, node.returns)):
            node.decorator_list.append(ast.copy_location(ast.Name(CHECK, ast.Load()), node))


def _speaks(annotation: ast.AST | None, names: set[str]) -> bool:
    parts = ast.walk(annotation) if annotation is not None else ()
    return any(isinstance(part, ast.Name) and part.id in names for part in parts)
