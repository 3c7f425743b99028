"""Kafka records in Arrow -> the staged columns of those that certainly keep the contract.

A message that is not certain is not rejected here: `parse` takes it, alone, and decides. So a
check may doubt a good message, and must never pass a bad one.
"""

import types
import typing
from collections.abc import Callable
from functools import cached_property, reduce
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from lakehouse.contracts.columns import ARROW_TYPES
from lakehouse.contracts.document import UNREADABLE, keys_inside, read_json
from lakehouse.contracts.parse import EVENT_WINDOW_AHEAD, EVENT_WINDOW_START, unknown_fields
from lakehouse.contracts.rejection import MAX_DEPTH, MAX_VALUE_BYTES
from lakehouse.contracts.value_types import (
    PRICE_INTEGER_DIGITS,
    PRICE_SCALE,
    RFC_3339,
    Instant,
    Price,
    RuleError,
)

if TYPE_CHECKING:
    from lakehouse.contracts.contract import Contract, Requirement

_PRICE = f"^[0-9]{{1,{PRICE_INTEGER_DIGITS}}}([.][0-9]{{1,{PRICE_SCALE}}})?$"


class Accepted(NamedTuple):
    """Indices of accepted records, and one array per contract column for these alone."""

    indices: np.ndarray
    columns: list[pa.Array]


class _WellFormed(NamedTuple):
    """Messages whose JSON and whose top-level types are in order, side by side."""

    indices: list[int]
    messages: list[Any]
    # The values of the embedded document's known fields, None where absent.
    documents: list[list[Any]]
    extras: list[str | None]


class FastPath:
    """Kafka records of a contract -> those that certainly keep it, a whole column at a time."""

    def __init__(self, contract: "Contract"):
        if len(contract.embedded) > 1:
            raise ValueError(f"{contract.topic}: is_fast takes one embedded document at most")
        self._contract = contract

    def __getstate__(self) -> dict[str, Any]:
        """Decoders are not sent to a task: it makes its own."""
        return {"_contract": self._contract}

    @cached_property
    def _embedded(self) -> Callable[[Any], msgspec.Raw] | None:
        return attrgetter(*self._contract.embedded) if self._contract.embedded else None

    @cached_property
    def _inner_fields(self) -> list[tuple[str, Any]]:
        """The path and the type of each known field of the embedded document."""
        return [
            (f"{name}.{field.name}", field.type)
            for name, message in self._contract.embedded.items()
            for field in msgspec.structs.fields(message)
        ]

    @cached_property
    def _names(self) -> list[str]:
        return [path.rpartition(".")[2] for path, _ in self._inner_fields]

    @cached_property
    def _fields(self) -> tuple[msgspec.structs.FieldInfo, ...]:
        return msgspec.structs.fields(self._contract.payload)

    @cached_property
    def _decode(self) -> Callable[[bytes], Any]:
        """As the payload, but an instant stays text, which Arrow converts a whole column at once.

        A field that may be absent is UNSET then, so that keys can be counted.
        """
        fields: list[Any] = [
            (field.name, str if field.type is Instant else field.type)
            + (() if field.required else (UNSET,))
            for field in self._fields
        ]
        message = msgspec.defstruct("_Message", fields, kw_only=True, gc=False)
        return msgspec.json.Decoder(message).decode

    @cached_property
    def _optional(self) -> list[Callable[[Any], Any]]:
        return [attrgetter(field.name) for field in self._fields if not field.required]

    def __call__(self, records: pa.RecordBatch) -> Accepted:
        contract = self._contract
        found = self._well_formed(records["value"])
        indices = np.array(found.indices, np.int64)
        kept = records.select(["key", "timestamp"])
        if len(indices) < len(records):
            kept = kept.take(pa.array(indices))
        columns: dict[str, pa.Array] = {}
        certain: list[pa.Array] = []
        for field in self._fields:
            columns[field.name] = _top_level(field, [*map(attrgetter(field.name), found.messages)])
        inner = zip(*found.documents, strict=True) if found.documents else [()] * len(self._names)
        for (path, type_), values in zip(self._inner_fields, inner, strict=True):
            columns[path], is_right = _checked(type_, list(values))
            certain.append(is_right)
        certain += [_is_met(requirement, columns) for requirement in contract.requires]
        certain.append(_in_window(columns[contract.time], kept["timestamp"]))
        certain.append(_is_key(columns[contract.key], kept["key"]))
        arrays = [*columns.values(), pa.array(found.extras, pa.string())]
        is_certain = reduce(pc.and_, certain)
        if not pc.all(is_certain).as_py():
            arrays = [array.filter(is_certain) for array in arrays]
            indices = indices[is_certain.to_numpy(zero_copy_only=False)]
        return Accepted(indices, arrays)

    def _well_formed(self, values: pa.BinaryArray) -> _WellFormed:
        # Each line here costs every message: a generator or a call alone is 0.2 us.
        decode, optional, fields = self._decode, self._optional, len(self._fields)
        embedded, names = self._embedded, self._names
        indices, messages, documents, extras = found = _WellFormed([], [], [], [])
        document: Any = {}
        for index, (value, keys) in enumerate(zip(values.to_pylist(), _keys(values), strict=True)):
            if not keys:
                continue
            try:
                message = decode(value)
                if embedded:
                    document = read_json(embedded(message))
                    if type(document) is not dict:
                        continue
                distinct = fields + len(document)
                for get in optional:
                    if get(message) is UNSET:
                        distinct -= 1
                extra = None
                if keys != distinct and keys != distinct + keys_inside(document):
                    if keys != keys_inside([read_json(value)]):
                        continue
                    extra = unknown_fields(value, self._contract.payload)
            except UNREADABLE:
                continue
            indices.append(index)
            messages.append(message)
            documents.append([*map(document.get, names)])
            extras.append(extra)
        return found


def _top_level(field: msgspec.structs.FieldInfo, values: list[Any]) -> pa.Array:
    """Make a column of values whose types msgspec has checked."""
    if field.type is Instant:
        return _instants(values)
    if field.type is msgspec.Raw:
        return _texts(values)
    if field.required:
        return pa.array(values, pa.string())
    return pa.array([value or None for value in values], pa.string())


def _checked(type_: Any, values: list[Any]) -> tuple[pa.Array, pa.Array]:
    """Make a column of values of any type; also return where each is right or absent."""
    (kind,) = (set(typing.get_args(type_)) or {type_}) - {types.NoneType}
    return _prices(values) if kind is Price else _integers(values, *_limits(kind))


def _limits(kind: Any) -> tuple[int, int]:
    meta = next(each for each in kind.__metadata__ if isinstance(each, msgspec.Meta))
    return meta.ge, meta.le


def _are_all(values: list[Any], type_: type) -> bool:
    return set(map(type, values)) <= {type_, types.NoneType}


def _integers(values: list[Any], low: int, high: int) -> tuple[pa.Array, pa.Array]:
    wrong = low - 1
    if not _are_all(values, int):
        values = [value if value is None or type(value) is int else wrong for value in values]
    try:
        column = pa.array(values, pa.int64())
    except OverflowError:  # one of them has more than 64 bits
        values = [value if value is None or low <= value <= high else wrong for value in values]
        column = pa.array(values, pa.int64())
    is_right = pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
    is_right = is_right.fill_null(True)
    return pc.if_else(is_right, column, None).cast(pa.int32()), is_right


def _is_met(requirement: "Requirement", columns: dict[str, pa.Array]) -> pa.Array:
    """Whether the fields are there where another field asks for them."""
    asks = pc.is_in(columns[requirement.field], pa.array(sorted(requirement.values)))
    are_there = reduce(pc.and_, (columns[path].is_valid() for path in requirement.fields))
    return pc.or_(pc.invert(asks), are_there)


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


def _prices(values: list[Any]) -> tuple[pa.Array, pa.Array]:
    """Parse prices as decimals, null where invalid; also return where each is valid or absent."""
    texts = [b"%d" % value if type(value) is int else value for value in values]
    if not _are_all(texts, bytes):
        # An empty text, for what is no number, is no price.
        texts = [text if text is None or type(text) is bytes else b"" for text in texts]
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
