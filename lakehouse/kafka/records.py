"""Kafka messages -> Arrow."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from lakehouse.contracts import HEADERS

# What Spark's Kafka source calls KAFKA_COLUMNS and MESSAGE_COLUMNS.
SOURCE_COLUMNS = ("partition", "offset", "timestamp", "timestampType", "key", "value", "headers")
# What stands in raw for headers that could not be read: one header without a name, which no message
# has. With it a replay from raw comes to the same verdict.
UNREADABLE_HEADERS = [(None, None)]
# Microseconds of the years 1 to 9999: Python knows no others, and Trino fails on a whole file that
# holds a later one (trinodb/trino#25837).
_READABLE = pa.array([datetime.min, datetime.max], pa.timestamp("us")).cast(pa.int64()).to_pylist()


def record_batch(partition: int, messages: list[Message]) -> pa.RecordBatch:
    count = len(messages)
    stamps = [message.timestamp() for message in messages]
    headers = _headers(messages)
    columns = [
        pa.array(np.full(count, partition, np.int32)),
        pa.array([message.offset() for message in messages], pa.int64()),
        readable(np.array([at for _, at in stamps], np.int64)),
        # Kafka's client counts from 1, and 0 is that there is none: Kafka itself has 0 and -1.
        pa.array(np.array([kind for kind, _ in stamps], np.int32) - 1),
        pa.array([message.key() for message in messages], pa.binary()),
        pa.array([message.value() for message in messages], pa.binary()),
        pa.array(map(_named, headers), HEADERS) if any(headers) else pa.nulls(count, HEADERS),
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(SOURCE_COLUMNS))


def _headers(messages: list[Message]) -> list[Any]:
    """The headers of each message, or UNREADABLE_HEADERS.

    Kafka's client (2.16) returns names that are null pointers of C after an error, beside the
    error. `map` notices that error; a call in a loop does not always, as Python takes a short way
    to a method that it has called often. And a message must not be asked again.
    """
    found: list[Any] = []
    # Without a look-up for each message, which takes three times as long.
    read = map(type(messages[0]).headers, messages)
    with _names_of_any_bytes():
        while len(found) < len(messages):
            try:
                for headers in read:
                    found.append(headers)
            except Exception:
                found.append(UNREADABLE_HEADERS)
    return found


@contextmanager
def _names_of_any_bytes() -> Iterator[None]:
    r"""Meanwhile each byte of a header's name that is not UTF-8 becomes \xNN instead of an error.

    Kafka's client decodes names strictly, within C, with no other way to their bytes. What is
    strict is changed for the process, so nothing else may happen within.
    """
    strict = codecs.lookup_error("strict")
    codecs.register_error("strict", codecs.backslashreplace_errors)
    try:
        yield
    finally:
        codecs.register_error("strict", strict)


def _named(headers: Any) -> list[dict[str, Any]] | None:
    return [{"key": key, "value": value} for key, value in headers] if headers else None


def readable(milliseconds: np.ndarray) -> pa.Array:
    """Times of Kafka, brought into the years that Python, Spark and Trino can all read."""
    first, last = (limit // 1000 for limit in _READABLE)
    microseconds = np.clip(milliseconds, first, last) * 1000
    return pa.array(microseconds).cast(pa.timestamp("us", tz="UTC"))
