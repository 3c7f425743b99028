"""Kafka records in Arrow -> the staged columns of those that certainly keep the contract.

A message that is not certain is not rejected here: `parse` takes it, alone, and decides. So a
check may doubt a good message, and must never pass a bad one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts.columns import ARROW_TYPES
from lakehouse.contracts.document import UNREADABLE, keys_inside, read_json
from lakehouse.contracts.parse import EVENT_WINDOW_AHEAD, EVENT_WINDOW_START, unknown_fields
from lakehouse.contracts.payloads import (
    MAX_QUANTITY,
    PRICE_INTEGER_DIGITS,
    PRICE_SCALE,
    PRICED_EVENT_TYPES,
    RFC_3339,
    Instant,
    Price,
    RuleError,
    UserEvent,
)
from lakehouse.contracts.rejection import MAX_DEPTH, MAX_VALUE_BYTES

_FIELDS = msgspec.structs.fields(UserEvent)
# As UserEvent, but an instant stays text, which Arrow converts a whole column at once, and a
# field that may be absent is UNSET then, so that keys can be counted.
_TEXT_FIELDS: list[Any] = [
    (field.name, str if field.type is Instant else field.type)
    + (() if field.required else (msgspec.UNSET,))
    for field in _FIELDS
]
_event: Callable[[bytes], Any] = msgspec.json.Decoder(
    msgspec.defstruct("_Event", _TEXT_FIELDS, kw_only=True, gc=False)
).decode
_PRICE = f"^[0-9]{{1,{PRICE_INTEGER_DIGITS}}}([.][0-9]{{1,{PRICE_SCALE}}})?$"


class Accepted(NamedTuple):
    """Indices of accepted records, and one array per contract column for these alone."""

    indices: np.ndarray
    columns: list[pa.Array]


class _WellFormed(NamedTuple):
    """Events whose JSON and whose types are in order, side by side."""

    indices: list[int]
    events: list[Any]
    prices: list[bytes | None]
    quantities: list[int | None]
    extras: list[str | None]


def accept_user_events(records: pa.RecordBatch) -> Accepted:
    """The columns are those of USER_EVENTS."""
    found = _well_formed(records["value"])
    indices = np.array(found.indices, np.int64)
    kept = records.select(["key", "timestamp"])
    if len(indices) < len(records):
        kept = kept.take(pa.array(indices))
    event_timestamp = _instants([event.event_timestamp for event in found.events])
    price, is_price = _prices(found.prices)
    user_id = pa.array([event.user_id or None for event in found.events], pa.string())
    columns = [
        pa.array([event.event_id for event in found.events], pa.string()),
        user_id,
        pa.array([event.product_id for event in found.events], pa.string()),
        pa.array([event.event_type for event in found.events], pa.string()),
        event_timestamp,
        _texts([event.event_data for event in found.events]),
        price,
        pa.array(found.quantities, pa.int32()),
        pa.array(found.extras, pa.string()),
    ]
    certain = pc.and_(is_price, _in_window(event_timestamp, kept["timestamp"]))
    certain = pc.and_(certain, _is_key(user_id, kept["key"]))
    if not pc.all(certain).as_py():
        columns = [column.filter(certain) for column in columns]
        indices = indices[certain.to_numpy(zero_copy_only=False)]
    return Accepted(indices, columns)


def _well_formed(messages: pa.BinaryArray) -> _WellFormed:
    indices, events, prices, quantities, extras = found = _WellFormed([], [], [], [], [])
    for index, (value, keys) in enumerate(zip(messages.to_pylist(), _keys(messages), strict=True)):
        if not keys:
            continue
        try:
            event = _event(value)
            data = read_json(event.event_data)
            if type(data) is not dict:
                continue
            distinct = len(_FIELDS) - (event.user_id is msgspec.UNSET) + len(data)
            extra = None
            if keys != distinct and keys != distinct + keys_inside(data):
                if keys != keys_inside([read_json(value)]):
                    continue
                extra = unknown_fields(value, UserEvent)
        except UNREADABLE:
            continue
        price, quantity = data.get("price"), data.get("quantity")
        if (price is None or quantity is None) and event.event_type in PRICED_EVENT_TYPES:
            continue
        if quantity is not None and not (type(quantity) is int and 1 <= quantity <= MAX_QUANTITY):
            continue
        if type(price) is int:
            price = b"%d" % price
        elif price is not None and type(price) is not bytes:
            continue
        indices.append(index)
        events.append(event)
        prices.append(price)
        quantities.append(quantity)
        extras.append(extra)
    return found


def _keys(messages: pa.BinaryArray) -> list[int]:
    """How often `":` stands in each message: at least once for each key of its objects.

    0 where the message needs a closer look: too large or perhaps too deep, or with blanks before
    a colon, which would hide a key. Where as many distinct keys are found, none stands twice.
    """
    _, offsets_buffer, bytes_buffer = messages.buffers()
    first, count = messages.offset, len(messages)
    offsets = np.frombuffer(offsets_buffer, np.int32)[first : first + count + 1]
    text = np.frombuffer(bytes_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]

    def per_message(positions: np.ndarray) -> np.ndarray:
        return np.diff(np.searchsorted(positions, offsets))

    before_colons = np.flatnonzero(text[1:] == ord(":"))
    before = text[before_colons]
    keys = per_message(before_colons[before == ord('"')])
    blanks = per_message(before_colons[before <= ord(" ")])
    brackets = sum(per_message(np.flatnonzero(text == ord(bracket))) for bracket in "{[")
    keys[(np.diff(offsets) > MAX_VALUE_BYTES) | (blanks > 0) | (brackets > MAX_DEPTH)] = 0
    found: list[int] = keys.tolist()
    return found


def _texts(documents: list[msgspec.Raw]) -> pa.Array:
    """Put together at once, which costs a tenth of an object for each."""
    ends = np.cumsum([0, *map(len, documents)], dtype=np.int32)
    buffers = pa.py_buffer(ends), pa.py_buffer(b"".join(documents))
    return pa.StringArray.from_buffers(len(documents), *buffers)


def _instants(texts: list[str]) -> pa.Array:
    """Null where a text is none."""
    array = pa.array(texts, pa.string())
    array = pc.if_else(pc.match_substring_regex(array, f"^{RFC_3339}$"), array, None)
    try:
        return array.cast(ARROW_TYPES[Instant])
    except pa.ArrowInvalid:  # one of them has no such day, and Arrow does not say which
        return pa.array([_instant(text) for text in texts], ARROW_TYPES[Instant])


def _instant(text: str) -> Instant | None:
    try:
        return Instant.of(text)
    except RuleError:
        return None


def _prices(texts: list[bytes | None]) -> tuple[pa.Array, pa.Array]:
    """Parse prices as decimals, null where invalid; also return where each is valid or absent."""
    array = pa.array(texts, pa.string())
    is_price = pc.match_substring_regex(array, _PRICE).fill_null(True)
    return pc.if_else(is_price, array, None).cast(ARROW_TYPES[Price]), is_price


def _is_key(ids: pa.Array, keys: pa.Array) -> pa.Array:
    same = pc.equal(ids.cast(pa.binary()), keys).fill_null(False)
    return pc.or_(same, pc.and_(ids.is_null(), keys.is_null()))


def _in_window(at: pa.Array, kafka_timestamps: pa.Array) -> pa.Array:
    """Compared a day earlier, because a day after the latest Kafka time has no number."""
    not_early = pc.greater_equal(at, pa.scalar(EVENT_WINDOW_START, at.type))
    not_late = pc.less_equal(
        pc.subtract(at, pa.scalar(EVENT_WINDOW_AHEAD, pa.duration("us"))), kafka_timestamps
    )
    return pc.and_(not_early, not_late).fill_null(False)
