"""The message contracts as one table: what comes out of Kafka -> the row or the dead letter.

Each case is a base message with one piece replaced. What must come of it is written by hand and
never computed. Kafka can carry every case as it stands, so that the same table serves the parser
and the whole pipeline; an accepted event has its case's name as event_id, unless the row tells.
"""

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # the Kafka timestamp of every case
PURCHASE = (
    b'{"event_id":"e1","user_id":"u1","product_id":"85123A","event_type":"purchase",'
    b'"event_timestamp":"2026-03-01T10:00:00.123456+02:00",'
    b'"event_data":{"price":12.90,"quantity":2,"coupon":"X"}}'
)
PRODUCT = (
    b'{"product_id":"P1","name":"Mug","category":"Kitchen","brand":"Acme","price":8.50,'
    b'"updated_at":"2026-03-01T09:00:00Z"}'
)


class Case(NamedTuple):
    """A message and what it becomes: an error class and its field, or these columns of a row."""

    name: str
    topic: str
    key: bytes | None
    value: bytes | None
    error: tuple[str, str] | None = None
    row: dict[str, Any] | None = None

    @property
    def is_large(self) -> bool:
        return self.value is not None and len(self.value) > 900_000


def refused(
    name: str, value: bytes | None, error_class: str, field: str, key: bytes | None = b"u1"
) -> Case:
    return Case(name, "user-events", key, value, error=(error_class, field))


def staged(name: str, value: bytes, key: bytes | None = b"u1", /, **row: Any) -> Case:
    value = value.replace(b'"event_id":"e1"', b'"event_id":"%s"' % name.encode())
    return Case(name, "user-events", key, value, row={"event_id": name, **row})


def product_refused(
    name: str, value: bytes | None, error_class: str, field: str, key: bytes | None = b"P1"
) -> Case:
    return Case(name, "product-metadata", key, value, error=(error_class, field))


def product_staged(name: str, value: bytes | None, key: bytes = b"P1", /, **row: Any) -> Case:
    return Case(name, "product-metadata", key, value, row=row)


def changed(message: bytes, old: bytes, new: bytes) -> bytes:
    assert message.count(old) == 1, old
    return message.replace(old, new)


def event(old: bytes, new: bytes) -> bytes:
    return changed(PURCHASE, old, new)


def view(old: bytes, new: bytes) -> bytes:
    return changed(event(b'"purchase"', b'"view"'), old, new)


def product(old: bytes, new: bytes) -> bytes:
    return changed(PRODUCT, old, new)


def priced(number: bytes) -> bytes:
    return event(b"12.90", number)


def counted(number: bytes) -> bytes:
    return event(b'"quantity":2', b'"quantity":' + number)


def at(text: bytes) -> bytes:
    return event(b"2026-03-01T10:00:00.123456+02:00", text)


def at_number(number: bytes) -> bytes:
    return event(b'"2026-03-01T10:00:00.123456+02:00"', number)


def free(json: bytes) -> bytes:
    """Make a purchase with this field in event_data, beside price and quantity."""
    return event(b'"X"', json)


def unknown(fields: bytes) -> bytes:
    """At top level beside the fields of the contract."""
    return event(b'{"event_id"', b"{" + fields + b',"event_id"')


def data(json: bytes) -> bytes:
    return event(b'{"price":12.90,"quantity":2,"coupon":"X"}', json)


def sized(event_id: bytes, length: int) -> bytes:
    message = event(b'"e1"', b'"%s"' % event_id)
    return message.replace(b'"X"', b'"%s"' % (b"x" * (length - len(message) + 1)))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


# fmt: off
CASES = [
    # A good message, every column.
    staged("a purchase", PURCHASE,
           user_id="u1", product_id="85123A", event_type="purchase",
           event_timestamp=utc(2026, 3, 1, 8, 0, 0, 123456),
           event_data='{"price":12.90,"quantity":2,"coupon":"X"}',
           price=Decimal("12.90"), quantity=2, order_id=None, session_id=None, device=None,
           referrer=None, extra=None),
    staged("labels", data(b'{"price":1,"quantity":1,"order_id":"O1","session_id":"s \xc3\xa9",'
                          b'"device":"","referrer":"https://e.example/?q=1"}'),
           order_id="O1", session_id="s \u00e9", device="", referrer="https://e.example/?q=1"),
    staged("labels that are numbers",
           data(b'{"price":1,"quantity":1,"order_id":10248,"session_id":-1.50,"device":1e400,'
                b'"referrer":123456789012345678901}'),
           order_id="10248", session_id="-1.50", device="1e400",
           referrer="123456789012345678901"),
    staged("labels that are neither",
           data(b'{"price":1,"quantity":1,"order_id":null,"session_id":true,"device":{"os":"x"},'
                b'"referrer":["a"]}'),
           order_id=None, session_id=None, device=None, referrer=None,
           event_data='{"price":1,"quantity":1,"order_id":null,"session_id":true,'
                      '"device":{"os":"x"},"referrer":["a"]}'),
    staged("a return", event(b'"purchase"', b'"return"'), event_type="return"),
    staged("a view", event(b'"purchase"', b'"view"'), event_type="view"),
    staged("an addition", event(b'"purchase"', b'"add_to_cart"'), event_type="add_to_cart"),
    staged("a removal", event(b'"purchase"', b'"remove_from_cart"'),
           event_type="remove_from_cart"),
    staged("a guest without user", event(b'"user_id":"u1",', b""), None, user_id=None),
    staged("a guest with null user", event(b'"u1"', b"null"), None, user_id=None),

    # No value.
    refused("no value at all", None, "EMPTY_VALUE", "value"),
    refused("an empty value", b"", "EMPTY_VALUE", "value"),
    refused("nothing but blanks", b" \t\r\n", "EMPTY_VALUE", "value"),
    refused("no value and no key", None, "EMPTY_VALUE", "value", key=None),

    # Another kind of document.
    refused("an array", b"[]", "NOT_AN_OBJECT", "value"),
    refused("an array of one event", b"[" + PURCHASE + b"]", "NOT_AN_OBJECT", "value"),
    refused("a number", b"1", "NOT_AN_OBJECT", "value"),
    refused("a string", b'"x"', "NOT_AN_OBJECT", "value"),
    refused("a document encoded twice", b'"{}"', "NOT_AN_OBJECT", "value"),
    refused("the word null", b"null", "NOT_AN_OBJECT", "value"),
    refused("an empty object", b"{}", "MISSING_FIELD", "event_id"),

    # Other formats.
    refused("gzip", gzip.compress(PURCHASE, mtime=0), "INVALID_UTF8", "value"),
    refused("Avro after Confluent's magic byte", b"\0\0\0\0\x2a\x04e1\x02\x04u1",
            "SCHEMA_REGISTRY", "value"),
    refused("JSON after Confluent's magic byte", b"\0\0\0\0\x2a" + PURCHASE,
            "SCHEMA_REGISTRY", "value"),
    refused("a schema's id and nothing after it", b"\0\0\1\x86\xa1", "SCHEMA_REGISTRY", "value"),
    refused("a magic byte and half an id", b"\0\0\0\1", "MALFORMED_JSON", "value"),
    refused("MessagePack", b"\x82\xa8event_id\xa2e1\xa7user_id\xa2u1", "INVALID_UTF8", "value"),
    refused("XML", b'<?xml version="1.0"?><event id="e1"/>', "MALFORMED_JSON", "value"),
    refused("HTML", b"<!DOCTYPE html><title>502 Bad Gateway</title>", "MALFORMED_JSON", "value"),
    refused("CSV", b"e1,u1,85123A,purchase", "MALFORMED_JSON", "value"),

    # Encoding.
    refused("a byte order mark", b"\xef\xbb\xbf" + PURCHASE, "MALFORMED_JSON", "value"),
    refused("UTF-16 with a mark", b"\xff\xfe" + PURCHASE.decode().encode("utf-16-le"),
            "INVALID_UTF8", "value"),
    refused("UTF-16 without a mark", PURCHASE.decode().encode("utf-16-le"),
            "MALFORMED_JSON", "value"),
    refused("UTF-16, big end first", PURCHASE.decode().encode("utf-16-be"),
            "MALFORMED_JSON", "value"),
    refused("Latin-1", event(b"85123A", b"caf\xe9"), "INVALID_UTF8", "value"),
    refused("overlong UTF-8", free(b'"\xc0\xaf"'), "INVALID_UTF8", "value"),
    refused("truncated UTF-8", free(b'"\xe2\x82"'), "INVALID_UTF8", "value"),
    refused("UTF-8 cut at the end", PURCHASE + b"\xe2\x82", "INVALID_UTF8", "value"),
    refused("a surrogate in UTF-8", free(b'"\xed\xa0\x80"'), "INVALID_UTF8", "value"),
    refused("UTF-8 past the last character", free(b'"\xf4\x90\x80\x80"'), "INVALID_UTF8", "value"),
    refused("bad UTF-8 in event_id", event(b'"e1"', b'"\xff"'), "INVALID_UTF8", "value"),
    refused("bad UTF-8 in event_data", free(b'{"y":["\xff"]}'), "INVALID_UTF8", "value"),
    refused("bad UTF-8 in a key of event_data", event(b"coupon", b"\xff"), "INVALID_UTF8", "value"),
    refused("bad UTF-8 in an unknown field", unknown(b'"x":"\xff"'), "INVALID_UTF8", "value"),
    refused("bad UTF-8 in an unknown key", unknown(b'"\xff":1'), "INVALID_UTF8", "value"),

    # Halves of surrogate pairs.
    refused("a high half alone", free(rb'"\ud83d"'), "INVALID_UNICODE", "value"),
    refused("a low half alone", free(rb'"\ude00"'), "INVALID_UNICODE", "value"),
    refused("a high half before a letter", free(rb'"\ud83dX"'), "INVALID_UNICODE", "value"),
    refused("a high half before an escape", free(rb'"\ud83d\n"'), "INVALID_UNICODE", "value"),
    refused("a pair reversed", free(rb'"\ude00\ud83d"'), "INVALID_UNICODE", "value"),
    refused("two high halves", free(rb'"\ud83d\ud83d"'), "INVALID_UNICODE", "value"),
    refused("a half in event_id", event(b'"e1"', rb'"\ud83d"'), "INVALID_UNICODE", "value"),
    refused("a half in a key of event_data", event(b"coupon", rb"\ud83d"),
            "INVALID_UNICODE", "value"),
    refused("a half deep in event_data", free(rb'[{"y":["\ude00"]}]'), "INVALID_UNICODE", "value"),
    refused("a half in an unknown field", unknown(rb'"x":"\ud83d"'), "INVALID_UNICODE", "value"),
    refused("a half in an unknown key", unknown(rb'"\ud83d":1'), "INVALID_UNICODE", "value"),
    staged("a whole pair", event(b"85123A", rb"\ud83d\ude00"), product_id="😀"),
    staged("a pair in capitals", event(b"85123A", rb"\uD83D\uDE00"), product_id="😀"),
    staged("a backslash before ud83d", event(b"85123A", rb"\\ud83d"), product_id="\\ud83d"),

    # Control characters.
    refused("a raw NUL", event(b"85123A", b"85\x00123A"), "MALFORMED_JSON", "value"),
    refused("a raw line break in a string", event(b"85123A", b"85\n123A"),
            "MALFORMED_JSON", "value"),
    refused("a raw tab in event_data", free(b'"\t"'), "MALFORMED_JSON", "value"),
    refused("a raw NUL in an unknown field", unknown(b'"x":"\x00"'), "MALFORMED_JSON", "value"),
    refused("a NUL after the document", PURCHASE + b"\x00", "TRAILING_DATA", "value"),
    staged("an escaped NUL", event(b"85123A", rb"85\u0000123A"), product_id="85\x00123A"),
    staged("an escaped NUL in event_data", free(rb'"\u0000"'),
           event_data=r'{"price":12.90,"quantity":2,"coupon":"\u0000"}'),

    # Not quite JSON.
    refused("cut in the middle", PURCHASE[:100], "MALFORMED_JSON", "value"),
    refused("without the last brace", PURCHASE[:-1], "MALFORMED_JSON", "value"),
    refused("single quotes", free(b"'X'"), "MALFORMED_JSON", "value"),
    refused("single quotes in an unknown field", unknown(b"\"x\":'y'"), "MALFORMED_JSON", "value"),
    refused("a comment in a line", free(b'"X" // free'), "MALFORMED_JSON", "value"),
    refused("a comment between stars", free(b'/* free */"X"'), "MALFORMED_JSON", "value"),
    refused("a comma after the last field", free(b'"X",'), "MALFORMED_JSON", "value"),
    refused("a comma after the last element", free(b"[1,]"), "MALFORMED_JSON", "value"),
    refused("a comma before the first field", event(b'{"event_id"', b'{,"event_id"'),
            "MALFORMED_JSON", "value"),
    refused("two commas", event(b'"quantity":2,', b'"quantity":2,,'), "MALFORMED_JSON", "value"),
    refused("no comma", event(b'"quantity":2,', b'"quantity":2 '), "MALFORMED_JSON", "value"),
    refused("no colon", event(b'"quantity":2', b'"quantity" 2'), "MALFORMED_JSON", "value"),
    refused("a key without quotes", event(b'"coupon"', b"coupon"), "MALFORMED_JSON", "value"),
    refused("a number as key", event(b'"coupon"', b"1"), "MALFORMED_JSON", "value"),
    refused("an unknown escape", free(rb'"\x41"'), "MALFORMED_JSON", "value"),
    refused("an escape cut short", free(rb'"\u12"'), "MALFORMED_JSON", "value"),
    refused("a hexadecimal number", counted(b"0x2"), "MALFORMED_JSON", "value"),
    refused("a leading zero", counted(b"02"), "MALFORMED_JSON", "value"),
    refused("a leading plus", counted(b"+1"), "MALFORMED_JSON", "value"),
    refused("a point at the end", priced(b"1."), "MALFORMED_JSON", "value"),
    refused("a point at the start", priced(b".5"), "MALFORMED_JSON", "value"),
    refused("a comma in a price", priced(b"12,90"), "MALFORMED_JSON", "value"),
    refused("an exponent without digits", priced(b"1e"), "MALFORMED_JSON", "value"),
    refused("an underscore in a number", priced(b"1_000"), "MALFORMED_JSON", "value"),
    refused("Python's True", free(b"True"), "MALFORMED_JSON", "value"),
    refused("a leading zero in an unknown field", unknown(b'"x":01'), "MALFORMED_JSON", "value"),
    refused("a blank that JSON has not", PURCHASE.replace(b",", b",\xc2\xa0"),
            "MALFORMED_JSON", "value"),

    # Before and after the document.
    refused("two documents", PURCHASE + PURCHASE, "TRAILING_DATA", "value"),
    refused("two lines", PURCHASE + b"\n" + PURCHASE, "TRAILING_DATA", "value"),
    refused("text after the document", PURCHASE + b" ok", "TRAILING_DATA", "value"),
    refused("one brace too many", PURCHASE + b"}", "TRAILING_DATA", "value"),
    refused("a comma after the document", PURCHASE + b",", "TRAILING_DATA", "value"),
    refused("text before the document", b"ok " + PURCHASE, "MALFORMED_JSON", "value"),
    staged("a line break after the document", PURCHASE + b"\r\n", price=Decimal("12.90")),
    staged("blanks after the document", PURCHASE + b" \t ", price=Decimal("12.90")),
    staged("blanks before the document", b" \n\t" + PURCHASE, price=Decimal("12.90")),
    staged("pretty-printed", b"""{
    "event_id" : "pretty-printed",
    "user_id" : "u1",
    "product_id" : "85123A",
    "event_type" : "purchase",
    "event_timestamp" : "2026-03-01T10:00:00.123456+02:00",
    "event_data" : { "price" : 12.90, "quantity" : 2 },
    "shop" : { "id" : 7 }
}
""",
           user_id="u1", product_id="85123A", event_type="purchase",
           event_timestamp=utc(2026, 3, 1, 8, 0, 0, 123456),
           event_data='{ "price" : 12.90, "quantity" : 2 }',
           price=Decimal("12.90"), quantity=2, extra='{"shop":{ "id" : 7 }}'),

    # Depth: 32 at most, the event and event_data are the first two.
    refused("100,000 arrays", free(b"[" * 100_000 + b"]" * 100_000), "TOO_DEEP", "value"),
    refused("100,000 brackets unclosed", b"[" * 100_000, "TOO_DEEP", "value"),
    refused("100,000 objects unclosed", b'{"a":' * 100_000, "TOO_DEEP", "value"),
    refused("100,000 arrays in an unknown field",
            unknown(b'"x":' + b"[" * 100_000 + b"]" * 100_000), "TOO_DEEP", "value"),
    refused("one array too deep", free(b"[" * 31 + b"]" * 31), "TOO_DEEP", "value"),
    refused("one object too deep", free(b'{"a":' * 31 + b"1" + b"}" * 31), "TOO_DEEP", "value"),
    staged("as many arrays as allowed", free(b"[" * 30 + b"]" * 30), quantity=2),
    staged("as many objects as allowed", free(b'{"a":' * 30 + b"1" + b"}" * 30), quantity=2),
    staged("many arrays side by side", free(b"[" + b"[]," * 99 + b"[]]"), quantity=2),
    staged("brackets in a string", free(b'"' + b"[{" * 99 + b'"'), quantity=2),
    staged("brackets behind an escaped quote", free(rb'"\"' + b"[{" * 99 + b'"'), quantity=2),

    # Size: 1 MiB at most.
    staged("exactly 1 MiB", sized(b"exactly 1 MiB", 1_048_576), quantity=2),
    refused("1 MiB and a byte", sized(b"e1", 1_048_577), "TOO_LARGE", "value"),
    refused("1 MiB and a blank", sized(b"e1", 1_048_576) + b" ", "TOO_LARGE", "value"),
    refused("a string of 25 MB", sized(b"e1", 25_000_000), "TOO_LARGE", "value"),

    # Keys twice in one object.
    refused("a key twice, same value", event(b'"e1"', b'"e1","event_id":"e1"'),
            "DUPLICATE_KEY", "value"),
    refused("a key twice, other value", event(b'"e1"', b'"e1","event_id":"e2"'),
            "DUPLICATE_KEY", "value"),
    refused("event_data twice", event(b'"event_data"', b'"event_data":{},"event_data"'),
            "DUPLICATE_KEY", "value"),
    refused("a price twice", priced(b'12.90,"price":1'), "DUPLICATE_KEY", "value"),
    refused("a price twice, once escaped", priced(rb'12.90,"pric\u0065":1'),
            "DUPLICATE_KEY", "value"),
    refused("event_id twice, once escaped", event(b'"e1"', rb'"e1","event\u005fid":"e2"'),
            "DUPLICATE_KEY", "value"),
    refused("a price twice, blanks before the colon", priced(b'12.90,"price" :1'),
            "DUPLICATE_KEY", "value"),
    refused("a price twice, a line break before the colon", priced(b'12.90,"price"\n:1'),
            "DUPLICATE_KEY", "value"),
    refused("a free field twice", free(b'"X","coupon":"Y"'), "DUPLICATE_KEY", "value"),
    refused("a key twice in an inner object", free(b'{"y":1,"y":2}'), "DUPLICATE_KEY", "value"),
    refused("a key twice in an object in an array", free(b'[1,{"y":1,"y":2}]'),
            "DUPLICATE_KEY", "value"),
    refused("an unknown field twice", unknown(b'"x":1,"x":1'), "DUPLICATE_KEY", "value"),
    refused("a key twice inside an unknown field", unknown(b'"x":{"y":1,"y":1}'),
            "DUPLICATE_KEY", "value"),
    refused("a key twice beside a string with a colon", free(rb'"\":","coupon":"Y"'),
            "DUPLICATE_KEY", "value"),
    refused("an empty key twice", free(b'{"":1,"":2}'), "DUPLICATE_KEY", "value"),
    staged("the same key in different objects", free(b'{"price":1,"y":[{"price":2},{"price":3}]}'),
           price=Decimal("12.90"), extra=None),
    staged("a price also at top level", unknown(b'"price":1'),
           price=Decimal("12.90"), extra='{"price":1}'),
    staged("keys that differ in case", event(b'"coupon"', b'"Price":1,"coupon"'),
           price=Decimal("12.90"),
           event_data='{"price":12.90,"quantity":2,"Price":1,"coupon":"X"}'),
    staged("a colon after a quote in a string", free(rb'"\":\":"'),
           event_data=r'{"price":12.90,"quantity":2,"coupon":"\":\":"}'),

    # Numbers that are none.
    refused("NaN", priced(b"NaN"), "NUMBER_NOT_FINITE", "value"),
    refused("Infinity", priced(b"Infinity"), "NUMBER_NOT_FINITE", "value"),
    refused("minus Infinity", priced(b"-Infinity"), "NUMBER_NOT_FINITE", "value"),
    refused("NaN in a free field", free(b"NaN"), "NUMBER_NOT_FINITE", "value"),
    refused("NaN in an unknown field", unknown(b'"x":[NaN]'), "NUMBER_NOT_FINITE", "value"),
    staged("NaN as text", event(b"85123A", b"NaN"), product_id="NaN"),

    # event_timestamp: RFC 3339.
    refused("epoch seconds", at_number(b"1772359200"), "WRONG_TYPE", "event_timestamp"),
    refused("epoch milliseconds", at_number(b"1772359200000"), "WRONG_TYPE", "event_timestamp"),
    refused("epoch microseconds", at_number(b"1772359200000000"), "WRONG_TYPE", "event_timestamp"),
    refused("epoch with a fraction", at_number(b"1772359200.5"), "WRONG_TYPE", "event_timestamp"),
    refused("epoch of 5,000 digits", at_number(b"9" * 5_000), "WRONG_TYPE", "event_timestamp"),
    refused("a true instant", at_number(b"true"), "WRONG_TYPE", "event_timestamp"),
    refused("an instant in an object", at_number(b'{"$date":"2026-03-01T10:00:00Z"}'),
            "WRONG_TYPE", "event_timestamp"),
    refused("a null instant", at_number(b"null"), "MISSING_FIELD", "event_timestamp"),
    refused("no instant", event(b'"event_timestamp"', b'"event_time"'),
            "MISSING_FIELD", "event_timestamp"),
    refused("an empty instant", at(b""), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("epoch seconds as text", at(b"1772359200"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("epoch milliseconds as text", at(b"1772359200000"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("epoch microseconds as text", at(b"1772359200000000"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a date alone", at(b"2026-03-01"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("no zone", at(b"2026-03-01T10:00:00"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("no seconds", at(b"2026-03-01T10:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a zone by name", at(b"2026-03-01T10:00:00 UTC"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an offset without colon", at(b"2026-03-01T10:00:00+0100"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an offset without minutes", at(b"2026-03-01T10:00:00+01"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an offset of a day", at(b"2026-03-01T10:00:00+24:00"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an offset of 60 minutes", at(b"2026-03-01T10:00:00+01:60"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an offset with seconds", at(b"2026-03-01T10:00:00+01:00:00"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("nanoseconds", at(b"2026-03-01T10:00:00.123456789Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("seven digits of fraction", at(b"2026-03-01T10:00:00.1234567Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a point without fraction", at(b"2026-03-01T10:00:00.Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a comma before the fraction", at(b"2026-03-01T10:00:00,5Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("the basic format", at(b"20260301T100000Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a week date", at(b"2026-W09-7T10:00:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an ordinal date", at(b"2026-060T10:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a day of one digit", at(b"2026-03-1T10:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("an underscore for T", at(b"2026-03-01_10:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a blank before an instant", at(b" 2026-03-01T10:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a line break after an instant", at(rb"2026-03-01T10:00:00Z\n"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("digits of another script", at("２０２６-03-01T10:00:00Z".encode()),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a leap second", at(b"2016-12-31T23:59:60Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("hour 24", at(b"2026-02-28T24:00:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("minute 60", at(b"2026-03-01T10:60:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("month 13", at(b"2025-13-01T10:00:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("month 0", at(b"2026-00-01T10:00:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("30 February", at(b"2026-02-30T10:00:00Z"), "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("29 February in no leap year", at(b"2025-02-29T10:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a year of five digits", at(b"10000-01-01T00:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    refused("a negative year", at(b"-2026-03-01T10:00:00Z"),
            "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
    staged("29 February in a leap year", at(b"2024-02-29T23:59:59Z"),
           event_timestamp=utc(2024, 2, 29, 23, 59, 59)),
    staged("29 February in 2000", at(b"2000-02-29T00:00:00Z"), event_timestamp=utc(2000, 2, 29)),
    staged("one digit of fraction", at(b"2026-03-01T10:00:00.5Z"),
           event_timestamp=utc(2026, 3, 1, 10, 0, 0, 500_000)),
    staged("four digits of fraction", at(b"2026-03-01T10:00:00.0001Z"),
           event_timestamp=utc(2026, 3, 1, 10, 0, 0, 100)),
    staged("t and z", at(b"2026-03-01t10:00:00z"), event_timestamp=utc(2026, 3, 1, 10)),
    staged("a blank for T", at(b"2026-03-01 10:00:00Z"), event_timestamp=utc(2026, 3, 1, 10)),
    staged("an escaped digit", at(rb"202\u0036-03-01T10:00:00Z"),
           event_timestamp=utc(2026, 3, 1, 10)),
    staged("a negative offset", at(b"2026-02-28T20:30:00-05:30"),
           event_timestamp=utc(2026, 3, 1, 2, 0)),
    staged("an offset of minus zero", at(b"2026-03-01T10:00:00-00:00"),
           event_timestamp=utc(2026, 3, 1, 10)),
    staged("the widest offset", at(b"2026-03-01T10:00:00+23:59"),
           event_timestamp=utc(2026, 2, 28, 10, 1)),

    # event_timestamp: from 1970 to a day after Kafka's.
    staged("the first instant", at(b"1970-01-01T00:00:00Z"), event_timestamp=utc(1970, 1, 1)),
    staged("the first instant, elsewhere", at(b"1969-12-31T19:00:00-05:00"),
           event_timestamp=utc(1970, 1, 1)),
    staged("a day after Kafka", at(b"2026-03-02T12:00:00Z"), event_timestamp=utc(2026, 3, 2, 12)),
    refused("just before the first", at(b"1969-12-31T23:59:59.999999Z"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("1970 by date, 1969 by offset", at(b"1970-01-01T00:59:59+01:00"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("a day and a microsecond after Kafka", at(b"2026-03-02T12:00:00.000001Z"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("a day after Kafka by date, later by offset", at(b"2026-03-02T12:00:00-00:01"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("the year 0000", at(b"0000-01-01T00:00:00Z"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("the year 1, in UTC the year 0", at(b"0001-01-01T00:00:00+14:00"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("the year 9999", at(b"9999-12-31T23:59:59.999999Z"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
    refused("the year 9999, in UTC the year 10000", at(b"9999-12-31T23:59:59-14:00"),
            "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),

    # price: a number >= 0, at most 12 digits before and 6 after the point.
    staged("price 0", priced(b"0"), price=Decimal(0)),
    staged("price -0", priced(b"-0"), price=Decimal(0)),
    staged("price -0.0", priced(b"-0.0"), price=Decimal(0)),
    staged("price 1e2", priced(b"1e2"), price=Decimal(100),
           event_data='{"price":1e2,"quantity":2,"coupon":"X"}'),
    staged("price 1.5E+1", priced(b"1.5E+1"), price=Decimal(15)),
    staged("price 1E-6", priced(b"1E-6"), price=Decimal("0.000001")),
    staged("price 0e5", priced(b"0e5"), price=Decimal(0)),
    staged("price with no point", priced(b"13"), price=Decimal(13)),
    staged("price that no float holds", priced(b"0.1"), price=Decimal("0.1")),
    staged("price with trailing zeros", priced(b"12.900000"), price=Decimal("12.9")),
    staged("price with 12 digits and 6", priced(b"999999999999.999999"),
           price=Decimal("999999999999.999999")),
    staged("price with 12 digits", priced(b"999999999999"), price=Decimal(999_999_999_999)),
    refused("13 digits before the point", priced(b"1000000000000"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("13 digits before the point, 1 after", priced(b"1000000000000.0"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("7 digits after the point", priced(b"0.0000001"), "DECIMAL_SCALE", "event_data.price"),
    refused("7 digits after the point, the last a zero", priced(b"12.9000000"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("17 digits after the point", priced(b"0.10000000000000001"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("price 1E-7", priced(b"1E-7"), "DECIMAL_SCALE", "event_data.price"),
    refused("price 1e12", priced(b"1e12"), "DECIMAL_SCALE", "event_data.price"),
    refused("price 1e400", priced(b"1e400"), "DECIMAL_SCALE", "event_data.price"),
    refused("price 1e-400", priced(b"1e-400"), "DECIMAL_SCALE", "event_data.price"),
    refused("zero with a long exponent", priced(b"0e99999999999999999999"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("one with a long exponent", priced(b"1e99999999999999999999"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("price of 5,000 digits", priced(b"9" * 5_000), "DECIMAL_SCALE", "event_data.price"),
    refused("a negative price", priced(b"-0.01"), "OUT_OF_RANGE", "event_data.price"),
    refused("a negative whole price", priced(b"-1"), "OUT_OF_RANGE", "event_data.price"),
    refused("a price as text", priced(b'"12.90"'), "WRONG_TYPE", "event_data.price"),
    refused("an empty text as price", priced(b'""'), "WRONG_TYPE", "event_data.price"),
    refused("a true price", priced(b"true"), "WRONG_TYPE", "event_data.price"),
    refused("a price in an array", priced(b"[12.90]"), "WRONG_TYPE", "event_data.price"),
    refused("a price in an object", priced(b'{"EUR":12.90}'), "WRONG_TYPE", "event_data.price"),
    refused("a null price", priced(b"null"), "MISSING_PURCHASE_DATA", "event_data"),
    refused("no price", event(b'"price":12.90,', b""), "MISSING_PURCHASE_DATA", "event_data"),
    refused("a return without price",
            changed(event(b"purchase", b"return"), b'"price":12.90,', b""),
            "MISSING_PURCHASE_DATA", "event_data"),

    # quantity: a whole number from 1.
    staged("quantity 1", counted(b"1"), quantity=1),
    staged("the largest quantity", counted(b"2147483647"), quantity=2_147_483_647),
    refused("one more than the largest quantity", counted(b"2147483648"),
            "OUT_OF_RANGE", "event_data.quantity"),
    refused("quantity 0", counted(b"0"), "OUT_OF_RANGE", "event_data.quantity"),
    refused("quantity -1", counted(b"-1"), "OUT_OF_RANGE", "event_data.quantity"),
    refused("quantity past 64 bits", counted(b"18446744073709551616"),
            "OUT_OF_RANGE", "event_data.quantity"),
    refused("quantity of 5,000 digits", counted(b"9" * 5_000),
            "OUT_OF_RANGE", "event_data.quantity"),
    refused("quantity 1.0", counted(b"1.0"), "WRONG_TYPE", "event_data.quantity"),
    refused("quantity 1.5", counted(b"1.5"), "WRONG_TYPE", "event_data.quantity"),
    refused("quantity 1e0", counted(b"1e0"), "WRONG_TYPE", "event_data.quantity"),
    refused("quantity 1e400", counted(b"1e400"), "WRONG_TYPE", "event_data.quantity"),
    refused("a quantity as text", counted(b'"2"'), "WRONG_TYPE", "event_data.quantity"),
    refused("a true quantity", counted(b"true"), "WRONG_TYPE", "event_data.quantity"),
    refused("a quantity in an array", counted(b"[2]"), "WRONG_TYPE", "event_data.quantity"),
    refused("a null quantity", counted(b"null"), "MISSING_PURCHASE_DATA", "event_data"),
    refused("no quantity", event(b'"quantity":2,', b""), "MISSING_PURCHASE_DATA", "event_data"),

    # A view needs neither, but keeps the same rules.
    staged("a view without anything", view(b'{"price":12.90,"quantity":2,"coupon":"X"}', b"{}"),
           event_data="{}", price=None, quantity=None),
    staged("a view with a null price", view(b"12.90", b"null"), price=None, quantity=2),
    staged("a view with a null quantity", view(b'"quantity":2', b'"quantity":null'),
           price=Decimal("12.90"), quantity=None),
    refused("a view with a negative price", view(b"12.90", b"-1"),
            "OUT_OF_RANGE", "event_data.price"),
    refused("a view with a price as text", view(b"12.90", b'"12.90"'),
            "WRONG_TYPE", "event_data.price"),
    refused("a view with 7 digits after the point", view(b"12.90", b"1.0000000"),
            "DECIMAL_SCALE", "event_data.price"),
    refused("a view with a long price", view(b"12.90", b"9" * 5_000),
            "DECIMAL_SCALE", "event_data.price"),
    refused("a view with quantity 0", view(b'"quantity":2', b'"quantity":0'),
            "OUT_OF_RANGE", "event_data.quantity"),
    refused("a view with quantity 1.0", view(b'"quantity":2', b'"quantity":1.0'),
            "WRONG_TYPE", "event_data.quantity"),

    # event_data: an object; its text stays as it is.
    refused("no event_data", event(b'"event_data"', b'"data"'), "MISSING_FIELD", "event_data"),
    refused("null event_data", data(b"null"), "MISSING_FIELD", "event_data"),
    refused("event_data as array", data(b"[]"), "WRONG_TYPE", "event_data"),
    refused("event_data encoded twice", data(rb'"{\"price\":12.90,\"quantity\":2}"'),
            "WRONG_TYPE", "event_data"),
    refused("event_data as number", data(b"1"), "WRONG_TYPE", "event_data"),
    refused("event_data as 1e400", data(b"1e400"), "WRONG_TYPE", "event_data"),
    refused("false event_data", data(b"false"), "WRONG_TYPE", "event_data"),
    refused("event_data that is empty", data(b"{}"), "MISSING_PURCHASE_DATA", "event_data"),
    staged("blanks, escapes and letters in event_data",
           data('{ "price":12.90 ,\t"quantity": 2,"a":"\\u00e9\\/é😀","n":1.50E+3 }'.encode()),
           price=Decimal("12.90"), quantity=2,
           event_data='{ "price":12.90 ,\t"quantity": 2,"a":"\\u00e9\\/é😀","n":1.50E+3 }'),
    staged("blanks around event_data", data(b' \n{"price":1,"quantity":2} '),
           event_data='{"price":1,"quantity":2}'),
    staged("a price with an escaped name", event(b'"price"', rb'"pric\u0065"'),
           price=Decimal("12.90"),
           event_data=r'{"pric\u0065":12.90,"quantity":2,"coupon":"X"}'),
    staged("1e400 in a free field", free(b"1e400"),
           event_data='{"price":12.90,"quantity":2,"coupon":1e400}'),
    staged("a long exponent in a free field", free(b"1e99999999999999999999"),
           event_data='{"price":12.90,"quantity":2,"coupon":1e99999999999999999999}'),
    staged("5,000 digits in a free field", free(b"9" * 5_000),
           event_data='{"price":12.90,"quantity":2,"coupon":' + "9" * 5_000 + "}"),
    staged("5,000 digits after a point in a free field", free(b"0." + b"9" * 5_000),
           event_data='{"price":12.90,"quantity":2,"coupon":0.' + "9" * 5_000 + "}"),

    # Ids: text, kept as it is.
    staged("blanks around an id", event(b"85123A", b" 85123a "), product_id=" 85123a "),
    staged("an id in small letters", event(b"85123A", b"85123a"), product_id="85123a"),
    staged("an id of one blank", event(b"85123A", b" "), product_id=" "),
    staged("an id of letters and marks", event(b"85123A", "é e\u0301日本".encode()),
           product_id="é e\u0301日本"),
    staged("an id with a quote", event(b"85123A", rb"\"85\\123A\/"), product_id='"85\\123A/'),
    staged("an id with an invisible mark", event(b"85123A", "\ufeff85123A".encode()),
           product_id="\ufeff85123A"),
    refused("an empty event_id", event(b'"e1"', b'""'), "MISSING_FIELD", "event_id"),
    refused("a null event_id", event(b'"e1"', b"null"), "MISSING_FIELD", "event_id"),
    refused("no event_id", event(b'"event_id":"e1",', b""), "MISSING_FIELD", "event_id"),
    refused("event_id in another case", event(b'"event_id"', b'"EVENT_ID"'),
            "MISSING_FIELD", "event_id"),
    refused("event_id as number", event(b'"e1"', b"1"), "WRONG_TYPE", "event_id"),
    refused("event_id as 1e400", event(b'"e1"', b"1e400"), "WRONG_TYPE", "event_id"),
    refused("event_id of 5,000 digits", event(b'"e1"', b"9" * 5_000), "WRONG_TYPE", "event_id"),
    refused("event_id in an array", event(b'"e1"', b'["e1"]'), "WRONG_TYPE", "event_id"),
    refused("an empty product_id", event(b'"85123A"', b'""'), "MISSING_FIELD", "product_id"),
    refused("a null product_id", event(b'"85123A"', b"null"), "MISSING_FIELD", "product_id"),
    refused("no product_id", event(b'"product_id":"85123A",', b""), "MISSING_FIELD", "product_id"),
    refused("product_id as number", event(b'"85123A"', b"85123"), "WRONG_TYPE", "product_id"),
    refused("product_id as 1e400", event(b'"85123A"', b"1e400"), "WRONG_TYPE", "product_id"),
    refused("an empty user_id", event(b'"u1"', b'""'), "MISSING_FIELD", "user_id"),
    refused("an empty user_id and an empty key", event(b'"u1"', b'""'),
            "MISSING_FIELD", "user_id", key=b""),
    refused("user_id as number", event(b'"u1"', b"1"), "WRONG_TYPE", "user_id", key=b"1"),
    refused("user_id as 1e400", event(b'"u1"', b"1e400"), "WRONG_TYPE", "user_id"),
    refused("a false user_id", event(b'"u1"', b"false"), "WRONG_TYPE", "user_id"),

    # event_type: one of five words.
    refused("an unknown event_type", event(b"purchase", b"refund"),
            "UNKNOWN_EVENT_TYPE", "event_type"),
    refused("an event_type in another case", event(b"purchase", b"Purchase"),
            "UNKNOWN_EVENT_TYPE", "event_type"),
    refused("an event_type with a blank", event(b"purchase", b"purchase "),
            "UNKNOWN_EVENT_TYPE", "event_type"),
    refused("an empty event_type", event(b"purchase", b""), "UNKNOWN_EVENT_TYPE", "event_type"),
    refused("event_type as number", event(b'"purchase"', b"1"), "WRONG_TYPE", "event_type"),
    refused("event_type as 1e400", event(b'"purchase"', b"1e400"), "WRONG_TYPE", "event_type"),
    refused("event_type in an array", event(b'"purchase"', b'["purchase"]'),
            "WRONG_TYPE", "event_type"),
    refused("a null event_type", event(b'"purchase"', b"null"), "MISSING_FIELD", "event_type"),
    refused("no event_type", event(b'"event_type":"purchase",', b""),
            "MISSING_FIELD", "event_type"),

    # The Kafka key is the user_id.
    staged("a key with letters", event(b'"u1"', '"é😀"'.encode()), "é😀".encode(), user_id="é😀"),
    staged("a key that JSON escapes", event(b'"u1"', rb'"\u00e9\n"'), b"\xc3\xa9\n", user_id="é\n"),
    refused("no key", PURCHASE, "KEY_MISMATCH", "user_id", key=None),
    refused("an empty key", PURCHASE, "KEY_MISMATCH", "user_id", key=b""),
    refused("another key", PURCHASE, "KEY_MISMATCH", "user_id", key=b"u2"),
    refused("a key in another case", PURCHASE, "KEY_MISMATCH", "user_id", key=b"U1"),
    refused("a key with a blank", PURCHASE, "KEY_MISMATCH", "user_id", key=b"u1 "),
    refused("a key in quotes", PURCHASE, "KEY_MISMATCH", "user_id", key=b'"u1"'),
    refused("a key that is no UTF-8", PURCHASE, "KEY_MISMATCH", "user_id", key=b"u1\xff"),
    refused("a key in another composition", event(b'"u1"', '"\u00e9"'.encode()),
            "KEY_MISMATCH", "user_id", key="e\u0301".encode()),
    refused("a key for a guest", event(b'"user_id":"u1",', b""), "KEY_MISMATCH", "user_id"),
    refused("an empty key for a guest", event(b'"u1"', b"null"),
            "KEY_MISMATCH", "user_id", key=b""),

    # Unknown fields go to `extra`, each value in its own bytes.
    staged("an unknown field", unknown(b'"b": {"b": [1, 2.50]}'), extra='{"b":{"b": [1, 2.50]}}'),
    staged("an unknown field that is null", unknown(b'"b":null'), extra='{"b":null}'),
    staged("unknown fields in their order", unknown(b'"z":1,"a":"\\u00e9\xc3\xa9","":[ ]'),
           extra='{"z":1,"a":"\\u00e9é","":[ ]}'),
    staged("an unknown field after the known", event(b'"X"}}', b'"X"},"b":1e2}'),
           extra='{"b":1e2}'),
    staged("1e400 in an unknown field", unknown(b'"b":1e400'), extra='{"b":1e400}'),
    staged("5,000 digits in an unknown field", unknown(b'"b":' + b"9" * 5_000),
           extra='{"b":' + "9" * 5_000 + "}"),
    staged("columns of the table as unknown fields", unknown(b'"kafka_offset":1,"extra":2'),
           extra='{"kafka_offset":1,"extra":2}'),

    # The other topic's message.
    refused("a product among events", PRODUCT, "MISSING_FIELD", "event_id", key=b"P1"),
    product_refused("an event among products", PURCHASE, "KEY_MISMATCH", "product_id", key=b"u1"),

    # Products.
    product_staged("a product", PRODUCT,
                   product_id="P1", name="Mug", category="Kitchen", brand="Acme",
                   price=Decimal("8.50"), updated_at=utc(2026, 3, 1, 9), is_deleted=False,
                   extra=None),
    product_staged("a product with all null but its id",
                   b'{"product_id":"P1","name":null,"category":null,"brand":null,"price":null,'
                   b'"updated_at":null}',
                   product_id="P1", name=None, category=None, brand=None, price=None,
                   updated_at=NOW, is_deleted=False, extra=None),
    product_staged("a product with nothing but its id", b'{"product_id":"P1"}',
                   product_id="P1", name=None, category=None, brand=None, price=None,
                   updated_at=NOW, is_deleted=False, extra=None),
    product_staged("a product with unknown fields",
                   product(b'"name"', b'"colour": {"r": 1.0},"stock":3,"name"'),
                   name="Mug", extra='{"colour":{"r": 1.0},"stock":3}'),
    product_staged("a product with empty texts", product(b'"Mug"', b'""'), name=""),
    product_staged("a product id with blanks", product(b'"P1"', b'" p1 "'), b" p1 ",
                   product_id=" p1 "),
    product_staged("a product for nothing", product(b"8.50", b"0"), price=Decimal(0)),
    product_staged("a product changed at an offset",
                   product(b"2026-03-01T09:00:00Z", b"2026-03-01T09:00:00.5+02:00"),
                   updated_at=utc(2026, 3, 1, 7, 0, 0, 500_000)),
    product_staged("a product changed a day after Kafka",
                   product(b"2026-03-01T09:00:00Z", b"2026-03-02T12:00:00Z"),
                   updated_at=utc(2026, 3, 2, 12)),
    product_staged("a product, pretty-printed", PRODUCT.replace(b":", b" : ", 2),
                   product_id="P1", name="Mug"),
    product_refused("an empty product value", b"", "EMPTY_VALUE", "value"),
    product_refused("a product after Confluent's magic byte", b"\0\0\0\0\x2a" + PRODUCT,
                    "SCHEMA_REGISTRY", "value"),
    product_refused("a blank product value", b" ", "EMPTY_VALUE", "value"),
    product_refused("a product value of null", b"null", "NOT_AN_OBJECT", "value"),
    product_refused("a product with trailing text", PRODUCT + b"x", "TRAILING_DATA", "value"),
    product_refused("a product with a name twice", product(b'"Mug"', b'"Mug","name":"Mug"'),
                    "DUPLICATE_KEY", "value"),
    product_refused("a product with half a character", product(b"Mug", rb"\ud83d"),
                    "INVALID_UNICODE", "value"),
    product_refused("a product with bad UTF-8", product(b"Mug", b"\xff"), "INVALID_UTF8", "value"),
    product_refused("no product id", product(b'"product_id":"P1",', b""),
                    "MISSING_FIELD", "product_id"),
    product_refused("an empty product id", product(b'"P1"', b'""'), "MISSING_FIELD", "product_id",
                    key=b""),
    product_refused("a null product id", product(b'"P1"', b"null"), "MISSING_FIELD", "product_id"),
    product_refused("a product id as number", product(b'"P1"', b"1"), "WRONG_TYPE", "product_id"),
    product_refused("a name as number", product(b'"Mug"', b"7"), "WRONG_TYPE", "name"),
    product_refused("a name as 1e400", product(b'"Mug"', b"1e400"), "WRONG_TYPE", "name"),
    product_refused("a category in an array", product(b'"Kitchen"', b'["Kitchen"]'),
                    "WRONG_TYPE", "category"),
    product_refused("a true brand", product(b'"Acme"', b"true"), "WRONG_TYPE", "brand"),
    product_refused("a negative product price", product(b"8.50", b"-8.50"),
                    "OUT_OF_RANGE", "price"),
    product_refused("a product price as text", product(b"8.50", b'"8.50"'), "WRONG_TYPE", "price"),
    product_refused("a product price with 7 digits", product(b"8.50", b"8.5000000"),
                    "DECIMAL_SCALE", "price"),
    product_refused("a product price of 5,000 digits", product(b"8.50", b"9" * 5_000),
                    "DECIMAL_SCALE", "price"),
    product_refused("a product changed on a date", product(b"2026-03-01T09:00:00Z", b"2026-03-01"),
                    "TIMESTAMP_UNPARSEABLE", "updated_at"),
    product_refused("a product changed at an empty time", product(b"2026-03-01T09:00:00Z", b""),
                    "TIMESTAMP_UNPARSEABLE", "updated_at"),
    product_refused("a product changed at a number",
                    product(b'"2026-03-01T09:00:00Z"', b"1772359200000"),
                    "WRONG_TYPE", "updated_at"),
    product_refused("a product changed in the future",
                    product(b"2026-03-01T09:00:00Z", b"2026-03-02T12:00:00.000001Z"),
                    "TIMESTAMP_OUT_OF_RANGE", "updated_at"),
    product_refused("a product changed before 1970",
                    product(b"2026-03-01T09:00:00Z", b"1969-12-31T23:59:59Z"),
                    "TIMESTAMP_OUT_OF_RANGE", "updated_at"),
    product_refused("a product under another key", PRODUCT, "KEY_MISMATCH", "product_id",
                    key=b"P2"),
    product_refused("a product under a key in another case", PRODUCT, "KEY_MISMATCH", "product_id",
                    key=b"p1"),
    product_refused("a product without key", PRODUCT, "KEY_MISMATCH", "product_id", key=None),

    # Deleted products.
    product_staged("a deleted product", None,
                   product_id="P1", name=None, category=None, brand=None, price=None,
                   updated_at=NOW, is_deleted=True, extra=None),
    product_staged("a deleted product with letters", None, "é 😀".encode(),
                   product_id="é 😀", is_deleted=True),
    product_refused("a deletion without key", None, "MISSING_FIELD", "product_id", key=None),
    product_refused("a deletion with an empty key", None, "MISSING_FIELD", "product_id", key=b""),
    product_refused("a deletion with a key that is no UTF-8", None, "INVALID_UTF8", "product_id",
                    key=b"\xff"),
]
# fmt: on
