"""Pickles that nobody vouches for, read as data by a small machine of our own: text, numbers, lists and dictionaries.

A pickle is a program. Python's own machine calls what it names, and even where every name is refused, three hundred
bytes can keep it busy for hours: a tuple that refers to itself twice, forty times over, used as a key, has to be
hashed. This one knows the names that numpy writes and puts inert stand-ins in their place. It makes a list of every
tuple, so nothing nested is ever hashed, and it counts its steps, the depth and the size of what it builds.
"""

from __future__ import annotations

import pickletools
import re
from typing import IO, Any, NamedTuple

import numpy as np

from nanoemox.files.errors import NanoEmoXError

# Steps of a pickle, and items of what it holds; what is referred to twice is counted twice.
MOST_STEPS = 3_000_000
DEEPEST = 32  # lists and dictionaries within one another
_NUMPY = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}
_KINDS = re.compile(r"[USifub]\d{1,6}")  # text and numbers, as numpy spells them: U12, f8
_LARGEST = 1 << 63  # a whole number beyond it is neither a label nor a count

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORES, _LOADS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


class NotPlainError(NanoEmoXError):
    """A pickle that is damaged, has no end in sight, or holds more than plain data; the message says which."""


class _Name(NamedTuple):
    """Stands for a function or class that a pickle asks for."""

    module: str
    name: str


class _Mark:
    """Stands on the stack where a group of items begins."""


class _Kind:
    """Stands for numpy.dtype: remembers how it was spelt, such as "O8" or "U12"."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"


class _Array:
    """Stands for numpy.ndarray: keeps the items of an object array."""

    def __init__(self) -> None:
        self.shape: list[Any] = []
        self.items: list[Any] = []


def read_pickle(file: IO[bytes]) -> Any:
    """The one value of a pickle: text, bytes, numbers, None, and lists and dictionaries of them, keys as text.

    An array of numpy becomes a list of its items, and one without dimensions the item itself. Tuples become lists.
    Whatever is wrong is a NotPlainError, or an error of `pickletools` or numpy about damaged data.
    """
    return _Plain().of(_Machine(file).run(), 0)[0]


class _Machine:
    """Runs the program of a pickle on stand-ins."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What lies on the stack at the end."""
        for step, (opcode, argument, _) in enumerate(pickletools.genops(self.file)):
            if step > MOST_STEPS:
                raise NotPlainError(f"it takes more than {MOST_STEPS:,} steps to read")
            if opcode.name == "STOP":
                return self.pop()
            self.do(opcode.name, argument)
        raise NotPlainError("it has no end")

    def do(self, name: str, argument: Any) -> None:
        """One step."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _LOADS:
            stack.append(self.memo[int(argument)])
        elif name in _STORES or name == "MEMOIZE":
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self.top(object)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append([self.pop() for _ in range(_TUPLES[name])][::-1])
        elif name == "MARK":
            stack.append(_Mark())
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name in ("LIST", "TUPLE"):
            stack.append(self.group())
        elif name == "DICT":
            items = self.group()
            known: dict[Any, Any] = {}
            _fill(known, items)
            stack.append(known)
        elif name in ("APPEND", "APPENDS"):
            items = [self.pop()] if name == "APPEND" else self.group()
            self.top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.group()
            _fill(self.top(dict), items)
        elif name == "GLOBAL":
            self.ask(*str(argument).split(" ", 1))
        elif name == "STACK_GLOBAL":
            wanted, module = self.pop(), self.pop()
            self.ask(str(module), str(wanted))
        elif name == "REDUCE":
            arguments, function = self.pop(), self.pop()
            stack.append(_called(function, arguments))
        elif name == "BUILD":
            state = self.pop()
            _build(self.top(object), state)
        elif name in ("POP", "DUP"):
            item = self.pop()
            stack.extend([item, item] if name == "DUP" else [])
        elif name == "POP_MARK":
            self.group()
        elif name in ("PERSID", "BINPERSID"):
            raise NotPlainError("it refers to something outside the file")
        elif name in ("EMPTY_SET", "FROZENSET", "ADDITEMS"):
            raise NotPlainError("it holds a set, which is no plain data")
        elif name not in ("PROTO", "FRAME"):
            raise NotPlainError(f"it uses {name}, which plain data does not need")

    def ask(self, module: str, name: str = "") -> None:
        """Put a stand-in for a name of numpy on the stack; every other name is refused."""
        known = module in _NUMPY and name in ("ndarray", "dtype", "_reconstruct", "scalar")
        encode = (module, name) == ("_codecs", "encode")  # how bytes are written in pickles of protocol 2
        empty = module in ("builtins", "__builtin__") and name == "bytes"  # and how no bytes are
        if not (known or encode or empty):
            raise NotPlainError(f"it asks for {module}.{name}, which plain data does not need")
        self.stack.append(_Name(module, name))

    def pop(self) -> Any:
        """The item on top."""
        if not self.stack or isinstance(self.stack[-1], _Mark):
            raise NotPlainError("it takes an item that is not there")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The item on top, which stays there and must be of a kind."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise NotPlainError(f"it takes something for a {kind.__name__} that is none")
        return self.stack[-1]

    def group(self) -> list[Any]:
        """All items above the last mark."""
        items: list[Any] = []
        while self.stack:
            item = self.stack.pop()
            if isinstance(item, _Mark):
                return items[::-1]
            items.append(item)
        raise NotPlainError("it ends a group that it did not begin")


def _fill(known: dict[Any, Any], items: list[Any]) -> None:
    """Set keys, one after another with their values."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | bytes | int | float):
            kind = "tuple" if isinstance(key, list) else type(key).__name__.strip("_")
            raise NotPlainError(f"it holds a key of type {kind}, which is no plain data")
        known[key] = value


def _called(function: Any, arguments: Any) -> Any:
    """The stand-in for what a function of numpy would return."""
    if not isinstance(function, _Name) or not isinstance(arguments, list):
        raise NotPlainError("it calls something that is no function")
    if function.name == "_reconstruct":
        return _Array()
    if function.name == "dtype" and arguments:
        return _Kind(str(arguments[0]))
    if function.name == "scalar" and len(arguments) == 2:
        (item,) = _decoded(*arguments)
        return item
    if function.name == "encode" and arguments:
        return str(arguments[0]).encode("latin-1")
    if function.name == "bytes" and not arguments:
        return b""
    raise NotPlainError(f"it calls {function.name} with {len(arguments)} arguments")


def _build(item: Any, state: Any) -> None:
    """Give an array its items, and a kind its byte order."""
    if isinstance(item, _Kind) and isinstance(state, list) and len(state) > 1:
        item.order = ">" if state[1] == ">" else "<"
    elif isinstance(item, _Array) and isinstance(state, list) and len(state) == 5:
        _, item.shape, kind, _, items = state
        item.items = items if isinstance(items, list) else _decoded(kind, items)
    else:
        raise NotPlainError("it sets attributes of something that has none")


def _decoded(kind: Any, data: Any) -> list[Any]:
    """Items of an array of text or numbers that lies inside the pickle."""
    code = kind.code if isinstance(kind, _Kind) else ""
    if not _KINDS.fullmatch(code) or not isinstance(data, bytes):
        raise NotPlainError(f"expected text or numbers, found an array of {code[:20] or 'unknown kind'}")
    form = np.dtype(kind.order + code)
    if len(data) > MOST_STEPS * form.itemsize:
        raise NotPlainError(f"it holds more than {MOST_STEPS:,} items")
    return list(np.frombuffer(data, dtype=form).tolist())


class _Plain:
    """Turns stand-ins into lists, and refuses what is no plain data, too deep or, written out, too large.

    What has been turned is remembered by identity: a small pickle can refer to one list a billion times. Its size is
    counted each time, since whoever goes through it would meet it each time.
    """

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, int]] = {}

    def of(self, value: Any, depth: int) -> tuple[Any, int]:
        """The plain value, and how many items it has in all."""
        if isinstance(value, _Array):
            value = value.items if value.shape else _only(value.items)
        if value is None or isinstance(value, str | bytes | int | float):
            return check_plain(value), 1
        if depth > DEEPEST:
            raise NotPlainError(f"it is nested more than {DEEPEST} deep, or holds itself")
        if id(value) not in self.done:
            if isinstance(value, dict):
                parts = [self.of(item, depth + 1) for item in value.values()]
                keys = [str(check_plain(key)) for key in value]
                found: Any = {key: part for key, (part, _) in zip(keys, parts, strict=True)}
            elif isinstance(value, list):
                parts = [self.of(item, depth + 1) for item in value]
                found = [part for part, _ in parts]
            else:
                raise NotPlainError(f"it holds a {type(value).__name__.strip('_')}, which is no plain data")
            size = 1 + sum(size for _, size in parts)
            if size > MOST_STEPS:
                raise NotPlainError(f"it holds more than {MOST_STEPS:,} items")
            self.done[id(value)] = found, size
        return self.done[id(value)]


def _only(items: list[Any]) -> Any:
    """The item of an array without dimensions."""
    if len(items) != 1:
        raise NotPlainError(f"an array of one item has {len(items)}")
    return items[0]


def check_plain(value: Any) -> Any:
    """The value; refused if it is text that cannot be written, or a number that cannot be one of a corpus."""
    if isinstance(value, str) and not value.isascii():
        value.encode()  # a half of a pair of surrogates fails here
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise NotPlainError("it holds a whole number of more than 64 bits")
    return value
