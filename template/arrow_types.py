"""Replaces types that are nested in Arrow types."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa


def replace_types(
    type_: pa.DataType, is_replaced: Callable[[pa.DataType], bool], other: pa.DataType
) -> pa.DataType:
    """Return a type in which ``other`` replaces some types, in lists, maps and structs too.

    It is ``type_`` if nothing is replaced.
    """

    def replace(inner: pa.DataType) -> pa.DataType:
        return replace_types(inner, is_replaced, other)

    if is_replaced(type_):
        return other
    if pa.types.is_list(type_):
        return pa.list_(replace(type_.value_type))
    if pa.types.is_large_list(type_):
        return pa.large_list(replace(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(replace(type_.key_type), replace(type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, replace(field.type)) for field in type_.fields])
    return type_
