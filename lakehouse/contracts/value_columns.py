"""Values of a field, as msgspec decodes them -> a column of staging, by the field's type."""

import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import inspect

from lakehouse.contracts.columns import INSTANT, PRICE, arrow_type
from lakehouse.contracts.value_types import (
    PRICE_INTEGER_DIGITS,
    PRICE_SCALE,
    RFC_3339,
    Instant,
    Price,
    RuleError,
    kind_of,
    label_of,
)

# Values, None where absent -> a column; and, if msgspec has not checked them, where they are right.
Convert = Callable[[Sequence[Any]], tuple[pa.Array, ...]]
_Checked = tuple[pa.Array, pa.Array]

_PRICE = f"^[0-9]{{1,{PRICE_INTEGER_DIGITS}}}([.][0-9]{{1,{PRICE_SCALE}}})?$"


def decoded_as(type_: Any) -> Any:
    """Return the type as which msgspec decodes a field that `convert` is to make a column of."""
    kind, is_optional = kind_of(type_)
    if not isinstance(kind, inspect.CustomType):
        return type_
    # A price keeps its digits in a field of any type, as bytes.
    return Any if kind.cls is Price else str | None if is_optional else str


def convert(field: msgspec.structs.FieldInfo, is_checked: bool) -> Convert:
    """Return what makes a column of values, which msgspec has decoded as `decoded_as` or not."""
    match kind_of(field.type)[0]:
        case inspect.RawType():
            return lambda values: (_texts(values),)
        case inspect.AnyType():
            return lambda values: (_labels(values),)
        case inspect.StrType() | inspect.LiteralType() if is_checked:
            return lambda values: (pa.array(values, pa.string()),)
    convert_all = _converter(field)
    if field.required:
        return lambda values: (column := convert_all(values)[0], column.is_valid())
    return convert_all


def _converter(field: msgspec.structs.FieldInfo) -> Convert:
    match kind_of(field.type)[0]:
        case inspect.CustomType(cls=cls):
            return _prices if cls is Price else _instants
        case inspect.IntType(ge=int(low), le=int(high)):
            return partial(_integers, low, high, arrow_type(field))
        case inspect.BoolType():
            return _booleans
        case inspect.StrType(min_length=shortest):
            return partial(_strings, shortest or 0)
        case inspect.LiteralType(values=listed):
            return partial(_listed, pa.array(listed))
    raise TypeError(f"{field.name}: no column is made of {field.type}")


def _only(values: Sequence[Any], type_: type) -> bool:
    """Whether these are values of the type, or absent."""
    return set(map(type, values)) <= {type_, types.NoneType}


def _texts(documents: Sequence[msgspec.Raw]) -> pa.Array:
    """Put together at once, which costs a tenth of an object for each."""
    ends = np.cumsum([0, *map(len, documents)], dtype=np.int32)
    buffers = pa.py_buffer(ends), pa.py_buffer(b"".join(documents))
    return pa.StringArray.from_buffers(len(documents), *buffers)


def _labels(values: Sequence[Any]) -> pa.Array:
    try:
        # Takes the bytes that stand for a number as well.
        return pa.array(values, pa.string())
    except pa.ArrowException:  # one of them is no text
        return pa.array([*map(label_of, values)], pa.string())


def _strings(shortest: int, values: Sequence[Any]) -> _Checked:
    # A half surrogate has no UTF-8; msgspec makes none.
    are_right = [
        value is None or (type(value) is str and len(value) >= shortest) for value in values
    ]
    texts = [text if right else None for text, right in zip(values, are_right, strict=True)]
    return pa.array(texts, pa.string()), pa.array(are_right, pa.bool_())


def _listed(listed: pa.Array, values: Sequence[Any]) -> _Checked:
    column, is_text = _strings(0, values)
    return column, pc.and_(is_text, pc.or_(column.is_null(), pc.is_in(column, listed)))


def _booleans(values: Sequence[Any]) -> _Checked:
    are_right = [value is None or type(value) is bool for value in values]
    flags = [flag if right else None for flag, right in zip(values, are_right, strict=True)]
    return pa.array(flags, pa.bool_()), pa.array(are_right, pa.bool_())


def _integers(
    low: int, high: int, type_: pa.DataType, values: Sequence[Any]
) -> tuple[pa.Array, ...]:
    if _only(values, int):
        with suppress(OverflowError, pa.ArrowInvalid):  # one of them has too many bits
            column = pa.array(values, type_)
            least, most = pc.min_max(column).as_py().values()
            if least is None or (low <= least and most <= high):
                return (column,)
    are_right = [value is None or (type(value) is int and low <= value <= high) for value in values]
    numbers = [number if right else None for number, right in zip(values, are_right, strict=True)]
    return pa.array(numbers, type_), pa.array(are_right, pa.bool_())


def _instants(values: Sequence[str | None]) -> _Checked:
    try:
        texts = pa.array(values, pa.string())
    except pa.ArrowException:  # one of them is no text
        values = [text if text is None or type(text) is str else "" for text in values]
        texts = pa.array(values, pa.string())
    column = pc.if_else(pc.match_substring_regex(texts, f"^{RFC_3339}$"), texts, None)
    try:
        column = column.cast(INSTANT)
    except pa.ArrowInvalid:  # one of them has no such day, and Arrow does not say which
        column = pa.array([_instant(text) for text in values], INSTANT)
    return column, pc.or_(column.is_valid(), texts.is_null())


def _instant(text: str | None) -> Instant | None:
    try:
        return Instant.of(text)
    except RuleError:
        return None


def _prices(values: Sequence[Any]) -> _Checked:
    """Convert numbers as read_json returns them."""
    kinds = set(map(type, values))
    if int in kinds:
        values = [b"%d" % value if type(value) is int else value for value in values]
    if not kinds <= {bytes, int, types.NoneType}:
        # An empty text, for what is no number, is no price.
        values = [value if value is None or type(value) is bytes else b"" for value in values]
    texts = pa.array(values, pa.string())
    is_price = pc.match_substring_regex(texts, _PRICE).fill_null(True)
    return pc.if_else(is_price, texts, None).cast(PRICE), is_price
