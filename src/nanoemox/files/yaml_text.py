"""YAML of strangers: plain values only, in bounded time, and everything that is wrong is one line with its place."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from nanoemox.files.errors import NanoEmoXError

LONGEST = 1 << 20  # characters
DEEPEST = 32  # lists and mappings within one another
MOST_VALUES = 100_000  # with everything that an alias repeats counted each time
_DIGITS = 20  # of a whole number
_MERGE = "tag:yaml.org,2002:merge"


class YamlError(NanoEmoXError):
    """Text that is no YAML, or no plain YAML. One line: what is wrong and where; the file is for the caller to name."""


def read_yaml(text: str) -> Any:
    """The value of a YAML document: mappings, lists, text, numbers, true, false, null and dates.

    A key that stands twice in one mapping, a tag that asks for an object, and what is nested or repeated without
    measure are refused. Raises: YamlError.
    """
    if len(text) > LONGEST:
        raise YamlError(f"it is longer than {LONGEST:,} characters")
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"{where}{' '.join(str(error.problem or error.context).split())[:200]}") from error
    except yaml.YAMLError as error:  # a character that no YAML may hold
        raise YamlError(" ".join(str(error).split())[:200]) from error


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses what is doubled, deep, or exploding."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        if parent and self.depth > DEEPEST:
            raise ComposerError(None, None, f"it is nested more than {DEEPEST} deep", parent.start_mark)
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_document(self, node: Node) -> Any:
        _check_size(node)
        return super().construct_document(node)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            if isinstance(key, ScalarNode) and key.tag != _MERGE:
                if key.value in lines:
                    problem = f"the key {key.value[:60]!r} is also on line {lines[key.value]}"
                    raise ConstructorError(None, None, problem, key.start_mark)
                lines[key.value] = key.start_mark.line + 1
        known: dict[Any, Any] = super().construct_mapping(node, deep)
        return known

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if isinstance(node, ScalarNode) and node.tag.endswith(":int") and len(node.value) > _DIGITS:
            problem = f"a whole number has {len(node.value)} digits"
            raise ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            # Of a value that is not what its tag says, such as a thirteenth month.
            problem = f"{str(getattr(node, 'value', ''))[:60]!r} cannot be read ({error})"
            raise ConstructorError(None, None, problem, node.start_mark) from error


def _check_size(root: Node) -> None:
    """Refuse a document that, with its aliases written out, is too large or holds itself."""
    sizes: dict[int, int] = {}

    def size(node: Node, above: frozenset[int]) -> int:
        if not isinstance(node, CollectionNode):
            return 1
        if id(node) in above:
            raise ComposerError(None, None, "an alias stands within what it stands for", node.start_mark)
        if id(node) not in sizes:
            pairs = node.value if isinstance(node, MappingNode) else [(part,) for part in node.value]
            inside = above | {id(node)}
            sizes[id(node)] = 1 + sum(size(part, inside) for pair in pairs for part in pair)
        if sizes[id(node)] > MOST_VALUES:
            problem = f"its aliases stand for more than {MOST_VALUES:,} values"
            raise ComposerError(None, None, problem, node.start_mark)
        return sizes[id(node)]

    size(root, frozenset())
