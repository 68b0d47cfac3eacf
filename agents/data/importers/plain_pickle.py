"""Pickles read without unpickling: numbers, texts, containers and plain numpy arrays, and nothing that runs.

``pickle.load`` runs whatever a file asks for. Here the instructions of the file, as ``pickletools`` lists them, are
followed by an interpreter of our own that knows a handful of numpy's names and builds their arrays itself; every other
name ends it. Being one instruction after the other it can also hand over parts of a file that is larger than memory.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = ["PickledArray", "PlainPickleError", "dictionaries"]

_PUSHED = {
    "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "INT", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "STRING",
    "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PLAIN_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][0-9]{1,5}|O8?")


class PlainPickleError(ValueError):
    """The file holds something else than plain data, or is damaged."""


class PickledArray:
    """An array of the file; ``numpy.asarray`` gives its values, ``None`` until they have been read."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: npt.NDArray[Any] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if self.value is None:
            raise PlainPickleError("an array without values")
        return self.value if dtype is None else self.value.astype(dtype)


class _Name:
    """A name of the file that is known; calling it is up to the interpreter."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Dtype:
    __slots__ = ("dtype",)

    def __init__(self, text: Any) -> None:
        if not isinstance(text, str) or not _PLAIN_DTYPE.fullmatch(text):
            raise PlainPickleError(f"a dtype {text!r}, which is no plain one")
        self.dtype = np.dtype(text)


_MARK = _Name("mark")
_NAMES = {
    (module, name): _Name(name)
    for modules, names in (
        (("numpy",), ("ndarray", "dtype")),
        (("numpy.core.multiarray", "numpy._core.multiarray"), ("_reconstruct", "scalar")),
        (("numpy.core.numeric", "numpy._core.numeric"), ("_frombuffer",)),
        (("collections",), ("OrderedDict",)),
        (("_codecs",), ("encode",)),
    )
    for module in modules
    for name in names
}


def dictionaries(file: BinaryIO, keys: frozenset[str]) -> Iterator[dict[Any, Any]]:
    """Every dictionary of the pickle (protocol 2 or later) in ``file`` that has ``keys``, as soon as it is whole.

    When the next one is asked for it is emptied, and all its values are forgotten: what later parts of the file
    share with it is an array without values there. So memory stays bounded by one dictionary. Raises
    PlainPickleError for a name that is not one of numpy's plain arrays, and for damage; nothing of the file is
    ever run.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(_OnlyRead(file)):  # type: ignore[arg-type]
            if machine.step(opcode.name, argument) and keys <= machine.stack[-1].keys():
                yield machine.stack[-1]
                machine.stack[-1].clear()
                machine.forget()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        if isinstance(error, PlainPickleError):
            raise
        raise PlainPickleError(f"damage ({type(error).__name__}: {error})") from error


class _OnlyRead:
    """Without ``tell``, which would be asked at every instruction."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.readline = file.read, file.readline


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._noted = 0
        self._values: list[int] = []

    def forget(self) -> None:
        for place in self._values:
            self._memo[place] = None
        self._values.clear()

    def step(self, name: str, argument: Any) -> bool:
        """Follow one instruction; True where it has filled a dictionary, which is then on top of the stack."""
        stack = self.stack
        if name in _PUSHED:
            stack.append(argument)
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            value = self._memo[int(argument)]
            stack.append(PickledArray() if value is None else value)
        elif name == "MEMOIZE":
            self._note(self._noted)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._note(int(argument))
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._marked()
            _expect(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
            return True
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._marked()
            _expect(stack[-1], list).extend(items)
        elif name == "REDUCE":
            arguments = _expect(stack.pop(), tuple)
            stack.append(_called(_expect(stack.pop(), _Name).name, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        elif name in ("STACK_GLOBAL", "GLOBAL"):
            module, what = (stack.pop(-2), stack.pop()) if name == "STACK_GLOBAL" else argument.split(" ")
            if (module, what) not in _NAMES:
                raise PlainPickleError(f"{module}.{what}, which could run code; nothing was run")
            stack.append(_NAMES[module, what])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "LIST":
            stack.append(self._marked())
        elif name == "DICT":
            items = self._marked()
            stack.append(dict(zip(items[::2], items[1::2], strict=True)))
            return True
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise PlainPickleError(f"the instruction {name}, which plain data do not need; nothing was run")
        return False

    def _note(self, place: int) -> None:
        value = self.stack[-1]
        self._memo[place] = value
        self._noted += 1
        # Keys, names and dtypes are noted once for the whole file.
        if not isinstance(value, str | _Name | _Dtype):
            self._values.append(place)

    def _marked(self) -> list[Any]:
        """What was put on the stack since the last mark, taken off with it."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found


def _expect(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise PlainPickleError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "_reconstruct":
        if _expect(arguments[0], _Name).name != "ndarray":
            raise PlainPickleError("an array of another class")
        return PickledArray()
    if name == "dtype":
        return _Dtype(arguments[0])
    if name == "scalar":
        return _values(_expect(arguments[0], _Dtype).dtype, (1,), arguments[1], "C")[0]
    if name == "_frombuffer":
        buffer, dtype, shape, order = arguments
        array = PickledArray()
        array.value = _values(_expect(dtype, _Dtype).dtype, shape, buffer, order)
        return array
    if name == "encode" and arguments[1] == "latin1":
        return _expect(arguments[0], str).encode("latin1")
    if name == "OrderedDict" and not arguments:
        return {}
    raise PlainPickleError(f"a call of {name} with {arguments!r}"[:200])


def _build(target: Any, state: Any) -> None:
    if isinstance(target, _Dtype):
        _, order, *structure = _expect(state, tuple)
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure[:3]):
            raise PlainPickleError("a dtype with fields")
        target.dtype = target.dtype.newbyteorder(order)
        return
    _, shape, dtype, by_columns, values = _expect(state, tuple)
    array = _expect(target, PickledArray)
    array.value = _values(_expect(dtype, _Dtype).dtype, shape, values, "F" if by_columns else "C")


def _values(dtype: np.dtype[Any], shape: Any, values: Any, order: str) -> npt.NDArray[Any]:
    if type(shape) is not tuple or any(type(extent) is not int or extent < 0 for extent in shape):
        raise PlainPickleError(f"an array of shape {shape!r}")
    count = math.prod(shape)
    if dtype.hasobject:
        found = np.empty(len(_expect(values, list)), object)
        for place, value in enumerate(values):
            found[place] = value
    else:
        if not isinstance(values, bytes | bytearray) or len(values) != count * dtype.itemsize:
            raise PlainPickleError(f"an array of shape {shape} without as many values")
        found = np.frombuffer(values, dtype)
    if len(found) != count:
        raise PlainPickleError(f"an array of shape {shape} with {len(found)} values")
    return found.reshape(shape, order="F" if order == "F" else "C")
