"""Bytes -> certainly one strict JSON object, or the rule that they break."""

import json
import re
from typing import Any, NoReturn

import msgspec

from lakehouse.contracts.rejection import MAX_DEPTH, MAX_VALUE_BYTES, Rejected

_BLANKS = " \t\r\n"
_BLANK_BYTES = _BLANKS.encode()
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def checked_document(value: bytes | None) -> bytes:
    """RFC 8259, and beyond it: no key twice, no half surrogates, limits of size and depth."""
    if value is None or not value.strip(_BLANK_BYTES):
        raise Rejected("EMPTY_VALUE", "value")
    if len(value) > MAX_VALUE_BYTES:
        raise Rejected("TOO_LARGE", "value")
    if _has_schema_id(value):
        raise Rejected("SCHEMA_REGISTRY", "value")
    if not _is_certain(value):
        _check_text(value)
    return value


def _has_schema_id(value: bytes) -> bool:
    """Whether it begins with byte 0 and the 4 bytes of a schema's id, and not with UTF-16."""
    return value[0] == 0 and len(value) > 4 and (value[1] == 0 or value[2] != 0)


# For numbers with a dot or an exponent: bytes, which JSON has not, keep their digits and tell them
# from strings.
digits = str.encode
# Without a type, because a struct would not look into fields that it does not know.
read_json = msgspec.json.Decoder(float_hook=digits).decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _is_certain(value: bytes) -> bool:
    """Quick, and right where it says yes.

    Each key of an object has its `":`. Where as many distinct keys are found, none stands twice.
    """
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH:
        return False
    for blank in (b" ", b"\n", b"\t", b"\r"):
        if blank in value and blank + b":" in value:
            return False
    try:
        document = read_json(value)
    except UNREADABLE:
        return False
    return type(document) is dict and value.count(b'":') == keys_inside([document])


def keys_inside(value: dict[str, Any] | list[Any]) -> int:
    """How many keys the objects in it hold, at any depth, its own aside if it is one."""
    keys = 0
    for inner in value.values() if type(value) is dict else value:
        if type(inner) is dict:
            keys += len(inner) + keys_inside(inner)
        elif type(inner) is list:
            keys += keys_inside(inner)
    return keys


def _check_text(value: bytes) -> None:
    """Slow, and sure."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Rejected("INVALID_UTF8", "value") from None
    if _depth(text) > MAX_DEPTH:
        raise Rejected("TOO_DEEP", "value")
    text = text.strip(_BLANKS)
    try:
        document, end = _decode(text)
    except json.JSONDecodeError:
        raise Rejected("MALFORMED_JSON", "value") from None
    if end != len(text):
        raise Rejected("TRAILING_DATA", "value")
    if "\\u" in text:
        _check_surrogates(document)
    if type(document) is not dict:
        raise Rejected("NOT_AN_OBJECT", "value")


def _depth(text: str) -> int:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Rejected("DUPLICATE_KEY", "value")
    return fields


def _not_finite(_literal: str) -> NoReturn:
    raise Rejected("NUMBER_NOT_FINITE", "value")


# Numbers stay text: nothing here needs their value, and int() refuses more than 4,300 digits.
_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_not_finite, parse_int=str, parse_float=str
).raw_decode


def _check_surrogates(document: Any) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Rejected("INVALID_UNICODE", "value") from None
