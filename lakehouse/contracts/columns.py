"""Payload structs -> the Arrow columns of their staging tables."""

import msgspec
import pyarrow as pa
from msgspec import inspect

from lakehouse.contracts.value_types import (
    MAX_INTEGER,
    PRICE_INTEGER_DIGITS,
    PRICE_SCALE,
    Instant,
    Price,
    kind_of,
)

INSTANT = pa.timestamp("us", tz="UTC")
PRICE = pa.decimal128(PRICE_INTEGER_DIGITS + PRICE_SCALE, PRICE_SCALE)


def columns_of(message: type[msgspec.Struct]) -> list[pa.Field]:
    return [pa.field(field.name, arrow_type(field)) for field in msgspec.structs.fields(message)]


def arrow_type(field: msgspec.structs.FieldInfo) -> pa.DataType:
    match kind_of(field.type)[0]:
        case inspect.CustomType(cls=cls) if cls is Instant:
            return INSTANT
        case inspect.CustomType(cls=cls) if cls is Price:
            return PRICE
        case inspect.StrType() | inspect.LiteralType() | inspect.RawType() | inspect.AnyType():
            return pa.string()
        case inspect.BoolType():
            return pa.bool_()
        case inspect.IntType(ge=int(low), le=int(high)):
            return pa.int32() if low >= -MAX_INTEGER and high <= MAX_INTEGER else pa.int64()
    raise TypeError(
        f"{field.name}: no column is made of {field.type}. There are str and Id, Literal, bool,"
        " Instant, Price, Integer and Quantity of lakehouse.contracts.value_types, each of these"
        " or None, and Label"
    )


KAFKA_COLUMNS = [
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_offset", pa.int64()),
    pa.field("kafka_timestamp", pa.timestamp("us", tz="UTC")),
]
HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
