"""A Python file as a syntax tree, with the queries that checks need."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class SourceFile:
    """A parsed Python file; ``name`` is its name in messages."""

    name: str
    tree: ast.Module
    is_entry: bool

    def at(self, node: ast.AST) -> str:
        """Return ``file:line`` of a node."""
        return f"{self.name}:{getattr(node, 'lineno', 0)}"

    @cached_property
    def text(self) -> str:
        """The code, without comments."""
        return ast.unparse(self.tree)

    @cached_property
    def calls(self) -> tuple[ast.Call, ...]:
        """Every call."""
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    @cached_property
    def nodes_under_if(self) -> frozenset[int]:
        """The ids of nodes that a condition may skip, not counting a test of ``__name__``."""
        found: set[int] = set()
        for node in ast.walk(self.tree):
            branches: list[ast.AST] = []
            if isinstance(node, ast.If) and "__name__" not in ast.unparse(node.test):
                branches = [*node.body, *node.orelse]
            elif isinstance(node, ast.IfExp):
                branches = [node.body, node.orelse]
            found |= {id(child) for branch in branches for child in ast.walk(branch)}
        return frozenset(found)

    @cached_property
    def nodes_in_functions(self) -> frozenset[int]:
        """The ids of nodes that run only if they are called, or if the file is the program."""
        found: set[int] = set()
        for node in ast.walk(self.tree):
            is_main = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
            if is_main or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                found |= {id(child) for child in ast.walk(node)}
        return frozenset(found)

    def names_assigned_from(self, *calls: str) -> set[str]:
        """Return the names that hold the result of a call of one of these functions."""
        return {
            ast.unparse(target)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            if called(node.value) in calls
            for target in node.targets
        }


def called(call: ast.Call) -> str:
    """Return the last part of the called name."""
    node = call.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def find_text(node: ast.AST | None) -> str | None:
    """Return the text of a literal, or the beginning of an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr) and node.values:
        return find_text(node.values[0])
    return None


def list_items(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the items of the lists and tuples in an expression."""
    for child in ast.walk(node):
        if isinstance(child, (ast.List, ast.Tuple)):
            yield from child.elts
