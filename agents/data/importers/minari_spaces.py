"""Minari's spaces: what metadata.json says of them, and which arrays of an episode become an observation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.errors import DatasetError

if TYPE_CHECKING:
    from gymnasium.spaces import Box, Space

__all__ = ["Leaf", "Observation", "action_bounds", "is_jpeg", "parse_space"]

FLATTEN = "flatten"
_CHANNELS = (1, 3, 4)
_JPEG_FROM = 32


@dataclass(frozen=True)
class Leaf:
    """One array of an observation: its space, and the keys (Dict) and places (Tuple) that lead to it."""

    path: tuple[str | int, ...]
    space: Space[Any]

    @property
    def name(self) -> str:
        """As messages show it: ``observations/achieved_goal``."""
        return "/".join(["observations", *map(str, self.path)])


@dataclass(frozen=True)
class Observation:
    """What is made of an episode's observations: the ``leaves`` that are read, and the frame of each step.

    ``shape`` and ``dtype`` are the frame's. Images with channels last get them first; numbers become float32,
    and what is discrete becomes 0 and 1, as ``gymnasium.spaces.flatten`` writes it.
    """

    leaves: tuple[Leaf, ...]
    shape: tuple[int, ...]
    dtype: str
    flat: bool

    @classmethod
    def of(cls, space: Space[Any], wanted: str | None, name: str) -> Observation:
        """As the option ``observation`` asks: a key, ``flatten``, or nothing where there is one array.

        Raises DatasetError, with the keys, where several arrays leave the choice open, or for one that has no
        numbers.
        """
        leaves = tuple(_leaves(space, ()))
        keys = ", ".join("/".join(map(str, leaf.path)) for leaf in leaves)
        if wanted == FLATTEN:
            widths = [_width(leaf, name) for leaf in leaves]
            return cls(leaves, (sum(widths),), "float32", True)
        if wanted is not None:
            leaves = tuple(leaf for leaf in leaves if "/".join(map(str, leaf.path)) == wanted)
        if len(leaves) != 1 or (wanted is None and leaves[0].path):
            what = f"has no array {wanted!r}" if wanted is not None else "has several arrays"
            raise DatasetError(
                f"{name}: an observation {what}. Choose one of {keys or 'none'} by the option "
                "observation=KEY, or all of them in one vector by observation=flatten."
            )
        leaf = leaves[0]
        width = _width(leaf, name)
        if not _is_box(leaf.space):
            return cls(leaves, (width,), "float32", True)
        shape, dtype = tuple(leaf.space.shape), "uint8" if leaf.space.dtype == np.uint8 else "float32"
        if dtype == "uint8" and len(shape) == 2:
            shape = (1, *shape)
        elif _channels_last(shape, dtype):
            shape = (shape[2], shape[0], shape[1])
        return cls(leaves, shape or (1,), dtype, False)

    def frames(self, read: Callable[[Leaf], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """``[T + 1, *shape]`` from the arrays that ``read`` gives. Raises ValueError where they do not fit."""
        if self.flat:
            columns = [_flattened(leaf.space, read(leaf), leaf.name) for leaf in self.leaves]
            if len({len(column) for column in columns}) > 1:
                raise ValueError(f"arrays of {[len(column) for column in columns]} rows side by side")
            return np.concatenate(columns, axis=1)
        leaf = self.leaves[0]
        values = _shaped(leaf.space, read(leaf), leaf.name)
        if _channels_last(tuple(leaf.space.shape or ()), self.dtype):
            values = values.transpose(0, 3, 1, 2)
        return values.reshape(len(values), *self.shape)


def parse_space(text: str | Mapping[str, Any], name: str) -> Space[Any]:
    """The gymnasium space that metadata.json describes. Raises DatasetError where it is none that is known."""
    try:
        return _parsed(json.loads(text) if isinstance(text, str) else text)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise DatasetError(
            f"{name}: the space {str(text)[:200]} cannot be read ({type(error).__name__}: {error}). Spaces are "
            "Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple and Text."
        ) from error


def is_jpeg(space: Space[Any], jpeg_encoding: bool) -> bool:
    """Whether Minari stores arrays of ``space`` as JPEG pictures: uint8 images from 32 × 32 on."""
    if not (jpeg_encoding and _is_box(space) and space.dtype == np.uint8):
        return False
    shape = tuple(space.shape or ())
    full = bool(np.all(space.low == 0) and np.all(space.high == 255))
    return full and len(shape) in (2, 3) and min(shape[:2]) >= _JPEG_FROM


def action_bounds(space: Box) -> tuple[float, float]:
    """The least and the greatest component; where there is no bound, float32's."""
    most = float(np.finfo(np.float32).max)
    low, high = float(np.min(space.low)), float(np.max(space.high))
    return max(low, -most), min(high, most)


def _parsed(content: Mapping[str, Any]) -> Space[Any]:
    # gymnasium takes a second to import.
    from gymnasium import spaces

    kind = content["type"]
    if kind == "Box":
        dtype = np.dtype(content["dtype"])
        low, high = np.array(content["low"], dtype), np.array(content["high"], dtype)
        return spaces.Box(low, high, tuple(content["shape"]), dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(int(content["n"]), start=int(content.get("start", 0)))
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(np.array(content["nvec"]), start=np.array(content["start"]))
    if kind == "MultiBinary":
        return spaces.MultiBinary(content["n"])
    if kind == "Dict":
        return spaces.Dict({key: _parsed(one) for key, one in content["subspaces"].items()})
    if kind == "Tuple":
        return spaces.Tuple([_parsed(one) for one in content["subspaces"]])
    if kind == "Text":
        return spaces.Text(
            content["max_length"], min_length=content["min_length"], charset=content["charset"]
        )
    raise ValueError(f"unknown type {kind!r}")


def _leaves(space: Space[Any], path: tuple[str | int, ...]) -> Iterator[Leaf]:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        for key, one in space.spaces.items():
            yield from _leaves(one, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for place, one in enumerate(space.spaces):
            yield from _leaves(one, (*path, place))
    else:
        yield Leaf(path, space)


def _is_box(space: Space[Any]) -> bool:
    from gymnasium import spaces

    return isinstance(space, spaces.Box)


def _channels_last(shape: tuple[int, ...], dtype: str) -> bool:
    return dtype == "uint8" and len(shape) == 3 and shape[2] in _CHANNELS and shape[0] not in _CHANNELS


def _width(leaf: Leaf, name: str) -> int:
    from gymnasium import spaces

    if isinstance(leaf.space, spaces.Text):
        raise DatasetError(
            f"{name}: {leaf.name} is text, which no network here reads. Choose another array by the option "
            "observation=KEY."
        )
    return int(spaces.flatdim(leaf.space))


def _shaped(space: Space[Any], values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    shape = tuple(space.shape or ())
    if values.shape[1:] != shape:
        raise ValueError(f"{name} has rows of shape {values.shape[1:]}, the space {shape}")
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {values.dtype}; numbers are needed")
    return values


def _flattened(space: Space[Any], values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    from gymnasium import spaces

    values = _shaped(space, values, name)
    if isinstance(space, spaces.Discrete):
        return _one_hot(values[:, None], np.array([space.n]), np.array([space.start]), name)
    if isinstance(space, spaces.MultiDiscrete):
        rows = values.reshape(len(values), -1)
        return _one_hot(rows, space.nvec.reshape(-1), space.start.reshape(-1), name)
    return values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float32)


def _one_hot(
    values: npt.NDArray[Any], sizes: npt.NDArray[Any], starts: npt.NDArray[Any], name: str
) -> npt.NDArray[np.float32]:
    places = values.astype(np.int64) - starts
    if ((places < 0) | (places >= sizes)).any():
        raise ValueError(f"{name} has a value outside its space")
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    shown = np.zeros((len(values), int(sizes.sum())), np.float32)
    np.put_along_axis(shown, places + offsets, 1.0, axis=1)
    return shown
