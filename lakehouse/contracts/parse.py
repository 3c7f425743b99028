"""Bytes of a Kafka message -> one value per staged column, or the rule that it breaks."""

import re
import typing
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from lakehouse.contracts.rejection import UNKNOWN_VALUE, Rejected
from lakehouse.contracts.strict_json import checked_document, digits
from lakehouse.contracts.value_types import Price, kind_of, label_of

if TYPE_CHECKING:
    from lakehouse.contracts.contract import Contract, Requirement

EVENT_WINDOW_START = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_WINDOW_AHEAD = timedelta(days=1)


def _custom(type_: Any, value: Any) -> Any:
    return type_.of(value)


def _decoder(message: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(message, dec_hook=_custom, float_hook=digits)


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# An integer that msgspec does not take: more than 64 bits.
_TOO_LONG = "TOO_LONG"
# What msgspec says -> the class that we give it; the first match wins. The first is a RuleError.
_CLASSES = [
    (re.compile(pattern), error_class)
    for pattern, error_class in (
        (r"^[A-Z0-9_]+(?= - at )", None),
        (r"missing required field `(?P<field>\w+)`", "MISSING_FIELD"),
        (r", got `null`", "MISSING_FIELD"),
        (r"^Expected `str` of length", "MISSING_FIELD"),
        (r"^Invalid enum value .* - at `\$\.event_type`$", "UNKNOWN_EVENT_TYPE"),
        (r"^Invalid enum value", UNKNOWN_VALUE),
        (r"^Integer value out of range", _TOO_LONG),
        (r"^Expected `int` [<>]=", "OUT_OF_RANGE"),
        (r"", "WRONG_TYPE"),
    )
]
_PATH = re.compile(r" - at `\$\.(?P<field>\w+)`$")


def _typed(decode: Any, value: Any, message: type[msgspec.Struct], within: str = "") -> Any:
    """Decode a document that is known to be JSON."""
    try:
        return decode(value)
    except msgspec.ValidationError as error:
        error_class, field = _broken_rule(str(error))
        if error_class == _TOO_LONG:
            error_class = _class_of_a_long_integer(_type_of(message, field))
        rule = ""
        if error_class.startswith("UNKNOWN_"):
            rule = f"must be one of {', '.join(_listed(_type_of(message, field)))}"
        raise Rejected(error_class, ".".join(filter(None, (within, field))), rule) from None


def _class_of_a_long_integer(type_: Any) -> str:
    match kind_of(type_)[0]:
        case inspect.CustomType(cls=cls) if cls is Price:
            return "DECIMAL_SCALE"
        case inspect.IntType():
            return "OUT_OF_RANGE"
    return "WRONG_TYPE"


def _type_of(message: type[msgspec.Struct], name: str) -> Any:
    return next(each.type for each in msgspec.structs.fields(message) if each.name == name)


def _listed(type_: Any) -> list[str]:
    """Return the values of the Literal inside a type, in the order of its declaration."""
    if typing.get_origin(type_) is typing.Literal:
        return [*typing.get_args(type_)]
    return [value for inner in typing.get_args(type_) for value in _listed(inner)]


@lru_cache
def _broken_rule(text: str) -> tuple[str, str]:
    """Error class and field."""
    match, error_class = next(
        (match, error_class) for pattern, error_class in _CLASSES if (match := pattern.search(text))
    )
    fields = (_PATH.search(text) or match).groupdict()
    return error_class or match[0], fields.get("field", "value")


def _check_key(key: bytes | None, field: str, expected: str | None) -> None:
    if key != (None if expected is None else expected.encode()):
        raise Rejected("KEY_MISMATCH", field)


def _check_window(field: str, at: datetime, kafka_timestamp: datetime) -> None:
    if at < EVENT_WINDOW_START or at - EVENT_WINDOW_AHEAD > kafka_timestamp:
        raise Rejected("TIMESTAMP_OUT_OF_RANGE", field)


def unknown_fields(value: bytes, message: type[msgspec.Struct]) -> str | None:
    """The top-level fields that the contract does not know, each value in its own bytes."""
    known = message.__struct_fields__
    unknown = {name: raw for name, raw in _fields(value).items() if name not in known}
    return msgspec.json.encode(unknown).decode() if unknown else None


class Parser:
    """Bytes of one message of a contract -> one value per staged column, or Rejected."""

    def __init__(self, contract: "Contract"):
        self._contract = contract

    def __getstate__(self) -> dict[str, Any]:
        """Decoders are not sent to a task: it makes its own."""
        return {"_contract": self._contract}

    @cached_property
    def _message(self) -> Callable[[bytes], Any]:
        return _decoder(self._contract.payload).decode

    @cached_property
    def _documents(self) -> dict[str, Callable[[msgspec.Raw], Any]]:
        return {name: _decoder(inner).decode for name, inner in self._contract.embedded.items()}

    def __call__(
        self, value: bytes | None, key: bytes | None, kafka_timestamp: datetime
    ) -> tuple[Any, ...]:
        contract = self._contract
        if value is None and contract.tombstones:
            return self._tombstone(key, kafka_timestamp)
        value = checked_document(value)
        message = _typed(self._message, value, contract.payload)
        texts, inner = {}, {}
        for name, decode in self._documents.items():
            text, document = _document(name, getattr(message, name))
            texts[name] = text
            inner[name] = _typed(decode, document, contract.embedded[name], within=name)
        for requirement in contract.requires:
            _check_requirement(requirement, message, inner)
        at = getattr(message, contract.time) or kafka_timestamp
        _check_window(contract.time, at, kafka_timestamp)
        _check_key(key, contract.key, getattr(message, contract.key))
        values = msgspec.structs.asdict(message) | texts | {contract.time: at}
        return (
            *values.values(),
            *self._embedded_values(inner.values()),
            *((False,) if contract.tombstones else ()),
            unknown_fields(value, contract.payload),
        )

    def _embedded_values(self, documents: Iterable[msgspec.Struct]) -> Iterator[Any]:
        values = (each for document in documents for each in msgspec.structs.astuple(document))
        for value, is_label in zip(values, self._are_labels, strict=True):
            yield label_of(value) if is_label else value

    @cached_property
    def _are_labels(self) -> list[bool]:
        return [
            isinstance(kind_of(field.type)[0], inspect.AnyType)
            for message in self._contract.embedded.values()
            for field in msgspec.structs.fields(message)
        ]

    def _tombstone(self, key: bytes | None, kafka_timestamp: datetime) -> tuple[Any, ...]:
        """Return nulls but for what the key names, the time, and that it was deleted."""
        contract = self._contract
        if not key:
            raise Rejected("MISSING_FIELD", contract.key)
        try:
            known = {contract.key: key.decode(), contract.time: kafka_timestamp, "is_deleted": True}
        except UnicodeDecodeError:
            raise Rejected("INVALID_UTF8", contract.key) from None
        return tuple(known.get(column.name) for column in contract.columns)


def _document(name: str, raw: msgspec.Raw) -> tuple[str, msgspec.Raw]:
    """Return an embedded document as text, and as it was; it must be an object."""
    text = str(raw, "utf-8")
    if not text.startswith("{"):
        raise Rejected("MISSING_FIELD" if text == "null" else "WRONG_TYPE", name)
    return text, raw


def _check_requirement(requirement: "Requirement", message: Any, inner: dict[str, Any]) -> None:
    if getattr(message, requirement.field) not in requirement.values:
        return
    for path in requirement.fields:
        document, _, name = path.rpartition(".")
        if getattr(inner[document] if document else message, name) is None:
            raise Rejected(requirement.error_class, document or name, requirement.rule)
