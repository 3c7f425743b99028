"""Kafka records in Arrow -> the staged columns of those that certainly keep the contract.

A message that is not certain is not rejected here: `parse` takes it, alone, and decides. So a
check may doubt a good message, and must never pass a bad one.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, reduce
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts.parse import EVENT_WINDOW_AHEAD, EVENT_WINDOW_START, unknown_fields
from lakehouse.contracts.rejection import MAX_DEPTH, MAX_VALUE_BYTES
from lakehouse.contracts.strict_json import UNREADABLE, digits, keys_inside, read_json
from lakehouse.contracts.value_columns import Convert, convert, decoded_as

if TYPE_CHECKING:
    from lakehouse.contracts.contract import Contract, Requirement


# Messages whose embedded documents are held at once: more of them leave the processor's cache.
FEW = 200
# Less than any number of keys.
_CLOSER_LOOK = -(2**32)


class Accepted(NamedTuple):
    """Indices of accepted records, and one array per contract column for these alone."""

    indices: np.ndarray
    columns: list[pa.Array]


class _Read(NamedTuple):
    """Messages whose JSON and whose top-level types are in order, side by side."""

    # Values of the top-level fields, by field and message.
    columns: Sequence[Sequence[Any]]
    # Of each known field of the embedded document, what it is in each message: None where absent.
    embedded: list[list[Any]]
    # Number of a message -> its fields that the contract does not know.
    extras: dict[int, str | None]
    # Indices of the other messages.
    others: list[int]


class _NotCertain(Exception):  # noqa: N818 (an outcome, not a failure)
    """A message that needs a closer look."""


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
    def _columns(self) -> list[tuple[str, Convert]]:
        """The names of the top-level fields, and how their values become a column."""
        return [
            (field.name, convert(field, is_checked=True))
            for field in msgspec.structs.fields(self._contract.payload)
        ]

    @cached_property
    def _embedded_columns(self) -> list[tuple[str, str, Convert]]:
        """The document and the name of each of its known fields, and how values become a column."""
        return [
            (name, field.name, convert(field, is_checked=False))
            for name, message in self._contract.embedded.items()
            for field in msgspec.structs.fields(message)
        ]

    @cached_property
    def _decoder(self) -> tuple[Callable[[bytes], Any], list[None]]:
        """Decode as the payload, but leave what Arrow converts better, a whole column at once.

        The list gets one more entry for each field that a message leaves out.
        """
        absent: list[None] = []
        default = msgspec.field(default_factory=lambda: absent.append(None))
        fields: list[Any] = []
        for field in msgspec.structs.fields(self._contract.payload):
            if field.name in self._contract.embedded:
                fields.append(("_document", msgspec.Raw, msgspec.field(name=field.name)))
            elif field.required:
                fields.append((field.name, decoded_as(field.type)))
            else:
                fields.append((field.name, decoded_as(field.type), default))
        message = msgspec.defstruct("_Message", fields, kw_only=True, gc=False)
        return msgspec.json.Decoder(message, float_hook=digits).decode, absent

    def __call__(self, records: pa.RecordBatch) -> Accepted:
        contract = self._contract
        read = self._read(records["value"].fill_null(b""))
        indices = np.delete(np.arange(len(records)), read.others)
        kept = records.select(["key", "timestamp"])
        if len(indices) < len(records):
            kept = kept.take(pa.array(indices))
        columns: dict[str, pa.Array] = {}
        certain: list[pa.Array] = []
        for (name, convert_all), values in zip(self._columns, read.columns, strict=True):
            columns[name], *are_right = convert_all(values)
            certain += are_right
        for (document, name, convert_all), values in zip(
            self._embedded_columns, read.embedded, strict=True
        ):
            columns[f"{document}.{name}"], *are_right = convert_all(values)
            certain += are_right
        certain += [_is_met(requirement, columns) for requirement in contract.requires]
        at = columns[contract.time].fill_null(kept["timestamp"])
        columns[contract.time] = at
        certain.append(_in_window(at, kept["timestamp"]))
        certain.append(_is_key(columns[contract.key], kept["key"]))
        extras = pa.nulls(len(indices), pa.string())
        if read.extras:
            extras = pa.array(map(read.extras.get, range(len(indices))), pa.string())
        arrays = [*columns.values(), extras]
        if contract.tombstones:
            arrays.insert(-1, pa.repeat(False, len(indices)))
        is_certain = reduce(pc.and_, certain)
        if not pc.all(is_certain).as_py():
            arrays = [array.filter(is_certain) for array in arrays]
            indices = indices[is_certain.to_numpy(zero_copy_only=False)]
        return Accepted(indices, arrays)

    def _read(self, values: pa.BinaryArray) -> _Read:
        names = [name for _, name, _ in self._embedded_columns]
        embedded: list[list[Any]] = [[] for _ in names]
        messages: list[tuple[Any, ...]] = []
        extras: dict[int, str | None] = {}
        others: list[int] = []
        more_keys = (_keys(values) - len(self._columns)).tolist()
        pairs = zip(values.to_pylist(), more_keys, strict=True)
        while few := [*islice(pairs, FEW)]:
            documents = self._read_few(few, messages, extras, others)
            for name, column in zip(names, embedded, strict=True):
                column += map(dict.get, documents, repeat(name))
        columns = [*zip(*messages, strict=True)] or [()] * len(self._columns)
        return _Read(columns, embedded, extras, others)

    def _read_few(
        self,
        few: list[tuple[bytes, int]],
        messages: list[tuple[Any, ...]],
        extras: dict[int, str | None],
        others: list[int],
    ) -> list[dict[str, Any]]:
        """Add what these messages hold to the lists, and return their embedded documents."""
        # Each line of the loop costs every message: a call in Python alone is 0.05 us.
        decode, absent = self._decoder
        as_tuple, has_document = msgspec.structs.astuple, bool(self._contract.embedded)
        documents: list[dict[str, Any]] = []
        document: Any = {}
        for value, more in few:
            try:
                message = decode(value)
                if has_document:
                    document = read_json(message._document)
                    if type(document) is not dict:
                        raise _NotCertain
                if absent:
                    more += len(absent)
                    absent.clear()
                if more != len(document) and more != len(document) + keys_inside(document):
                    extras[len(messages)] = self._extra(value, more)
            except (*UNREADABLE, _NotCertain):
                absent.clear()
                others.append(len(messages) + len(others))
                continue
            messages.append(as_tuple(message))
            documents.append(document)
        return documents

    def _extra(self, value: bytes, more_keys: int) -> str | None:
        """Return the unknown fields of a message, if they are why it has more keys."""
        if more_keys < _CLOSER_LOOK // 2 or value.count(b'":') != keys_inside([read_json(value)]):
            raise _NotCertain
        return unknown_fields(value, self._contract.payload)


def _is_met(requirement: "Requirement", columns: dict[str, pa.Array]) -> pa.Array:
    """Whether the fields are there where another field asks for them."""
    asks = pc.is_in(columns[requirement.field], pa.array(sorted(requirement.values)))
    are_there = reduce(pc.and_, (columns[path].is_valid() for path in requirement.fields))
    return pc.or_(pc.invert(asks), are_there)


def _keys(messages: pa.BinaryArray) -> np.ndarray:
    """How often `":` stands in each message: at least once for each key of its objects.

    _CLOSER_LOOK where the message needs one: too large or perhaps too deep, or with blanks before a
    colon, which would hide a key. Where as many distinct keys are found, none stands twice.
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
    # The one is the other plus 32.
    brackets = per_message(np.flatnonzero(text | 32 == ord("{")))
    keys[(np.diff(offsets) > MAX_VALUE_BYTES) | (blanks > 0) | (brackets > MAX_DEPTH)] = (
        _CLOSER_LOOK
    )
    return keys


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
