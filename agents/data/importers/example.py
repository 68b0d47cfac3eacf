"""``tf.train.Example`` without TensorFlow: parsed by the protobuf library, from a descriptor built here.

Messages and field numbers: tensorflow/core/example/feature.proto and example.proto.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BadValue", "Example"]


class BadValue(ValueError):
    """A record's value under ``key`` cannot be used, and ``why``."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key, self.why = key, why


class Example:
    """The lists of one record by key. Every method raises BadValue, naming the key."""

    def __init__(self, data: bytes) -> None:
        message, error = _message()
        try:
            self._features = message.FromString(data).features.feature
        except error as problem:
            raise BadValue(
                "(all)", f"{len(data):,} bytes are no tf.train.Example ({_brief(problem)})"
            ) from problem

    def ints(self, key: str, count: int | None = None) -> npt.NDArray[np.int64]:
        """The integers under ``key``, int64 ``[count]``."""
        return np.array(self._list(key, "int64_list", count), np.int64)

    def floats(self, key: str, count: int | None = None) -> npt.NDArray[np.float32]:
        """The numbers under ``key``, float32 ``[count]``."""
        return np.array(self._list(key, "float_list", count), np.float32)

    def strings(self, key: str, count: int | None = None) -> list[bytes]:
        """The byte strings under ``key``."""
        return list(self._list(key, "bytes_list", count))

    def integer(self, key: str) -> int:
        """The single integer under ``key``."""
        return int(self._list(key, "int64_list", 1)[0])

    def number(self, key: str) -> float:
        """The single number under ``key``."""
        return float(self._list(key, "float_list", 1)[0])

    def _list(self, key: str, kind: str, count: int | None) -> Any:
        # Indexing a protobuf map makes what is missing.
        if key not in self._features:
            there = ", ".join(sorted(self._features)) or "no key at all"
            raise BadValue(key, f"is missing; the record has {there}")
        feature = self._features[key]
        found = feature.WhichOneof("kind")
        if found not in (kind, None):
            raise BadValue(key, f"is a {found}; a {kind} is needed")
        values = getattr(feature, kind).value
        if count is not None and len(values) != count:
            raise BadValue(key, f"has {len(values):,} values; {count:,} are needed")
        return values


def _brief(error: Exception) -> str:
    return str(error).split("\n")[0][:100]


@cache
def _message() -> tuple[Any, type[Exception]]:
    """The class of the message and the error that parsing raises. Loaded late: listings do without."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="rankscope/example.proto", package="rankscope.example", syntax="proto3"
    )

    def message(name: str) -> Any:
        return file.message_type.add(name=name)

    def add(to: Any, name: str, number: int, kind: int, **more: Any) -> None:
        more.setdefault("label", field.LABEL_OPTIONAL)
        to.field.add(name=name, number=number, type=kind, **more)

    lists = (
        ("BytesList", "bytes_list", field.TYPE_BYTES),
        ("FloatList", "float_list", field.TYPE_FLOAT),
        ("Int64List", "int64_list", field.TYPE_INT64),
    )
    for name, _, kind in lists:
        add(message(name), "value", 1, kind, label=field.LABEL_REPEATED)
    feature = message("Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, list_name, _) in enumerate(lists, start=1):
        add(
            feature, list_name, number, field.TYPE_MESSAGE,
            type_name=f".rankscope.example.{name}", oneof_index=0,
        )  # fmt: skip
    features = message("Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field.TYPE_STRING)
    add(entry, "value", 2, field.TYPE_MESSAGE, type_name=".rankscope.example.Feature")
    add(
        features, "feature", 1, field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED, type_name=".rankscope.example.Features.FeatureEntry",
    )  # fmt: skip
    add(message("Example"), "features", 1, field.TYPE_MESSAGE, type_name=".rankscope.example.Features")
    # A pool of its own: TensorFlow, in the same process, has messages of these names in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("rankscope.example.Example")
    return message_factory.GetMessageClass(found), DecodeError
