"""Payload structs -> the Arrow columns of their staging tables."""

import types
import typing
from typing import Any, Literal

import msgspec
import pyarrow as pa

from lakehouse.contracts.value_types import PRICE_INTEGER_DIGITS, PRICE_SCALE, Instant, Price

ARROW_TYPES = {
    str: pa.string(),
    msgspec.Raw: pa.string(),
    int: pa.int32(),
    bool: pa.bool_(),
    Instant: pa.timestamp("us", tz="UTC"),
    Price: pa.decimal128(PRICE_INTEGER_DIGITS + PRICE_SCALE, PRICE_SCALE),
}


def columns_of(message: type[msgspec.Struct]) -> list[pa.Field]:
    return [column(name, hint) for name, hint in typing.get_type_hints(message).items()]


def column(name: str, hint: Any) -> pa.Field:
    if typing.get_origin(hint) is Literal:
        hint = str
    required = set(typing.get_args(hint) or (hint,)) - {types.NoneType}
    return pa.field(name, ARROW_TYPES[required.pop()])


KAFKA_COLUMNS = [
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_offset", pa.int64()),
    pa.field("kafka_timestamp", pa.timestamp("us", tz="UTC")),
]
HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
