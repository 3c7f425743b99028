import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts import PRODUCT_METADATA, USER_EVENTS, Rejected

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PURCHASE = (
    b'{"event_id":"e1","user_id":"u1","product_id":"85123A","event_type":"purchase",'
    b'"event_timestamp":"2026-03-01T10:00:00.123456+02:00",'
    b'"event_data":{"price":12.90,"quantity":2,"coupon":"X"}}'
)


def rejection(value: bytes | None, key: bytes | None = b"u1") -> Rejected:
    with pytest.raises(Rejected) as caught:
        USER_EVENTS.parse(value, key, NOW)
    return caught.value


def test_a_purchase_becomes_one_value_per_column():
    assert USER_EVENTS.parse(PURCHASE, b"u1", NOW) == (
        "e1",
        "u1",
        "85123A",
        "purchase",
        datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC),
        '{"price":12.90,"quantity":2,"coupon":"X"}',
        Decimal("12.90"),
        2,
        None,
    )


def test_a_guest_has_neither_user_nor_key():
    guest = PURCHASE.replace(b'"user_id":"u1",', b"")
    assert USER_EVENTS.parse(guest, None, NOW)[1] is None


@pytest.mark.parametrize(
    ("old", "new", "error_class", "field"),
    [
        (b"12.90", b'"12.90"', "WRONG_TYPE", "event_data.price"),
        (b"12.90", b"true", "WRONG_TYPE", "event_data.price"),
        (b"12.90", b"-0.01", "OUT_OF_RANGE", "event_data.price"),
        (b"12.90", b"0.0000001", "DECIMAL_SCALE", "event_data.price"),
        (b"12.90", b"1000000000000", "DECIMAL_SCALE", "event_data.price"),
        (b"12.90", b"1e400", "DECIMAL_SCALE", "event_data.price"),
        (b"12.90", b"0e99999999999999999999", "DECIMAL_SCALE", "event_data.price"),
        (b"12.90", b"NaN", "NUMBER_NOT_FINITE", "value"),
        (b"12.90", b"null", "MISSING_PURCHASE_DATA", "event_data"),
        (b'"quantity":2', b'"quantity":0', "OUT_OF_RANGE", "event_data.quantity"),
        (b'"quantity":2', b'"quantity":1.0', "WRONG_TYPE", "event_data.quantity"),
        (b'"quantity":2', b'"quantity":2147483648', "OUT_OF_RANGE", "event_data.quantity"),
        (b"purchase", b"refund", "UNKNOWN_EVENT_TYPE", "event_type"),
        (b'"e1"', b'""', "MISSING_FIELD", "event_id"),
        (b'"e1"', b"1", "WRONG_TYPE", "event_id"),
        (b'"product_id":"85123A",', b"", "MISSING_FIELD", "product_id"),
        (b'"2026-03-01T10:00:00.123456+02:00"', b"1772359200000", "WRONG_TYPE", "event_timestamp"),
        (b"+02:00", b"", "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
        (b"2026-03-01", b"2026-13-01", "TIMESTAMP_UNPARSEABLE", "event_timestamp"),
        (b"2026-03-01", b"1969-12-31", "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
        (b"2026-03-01", b"2026-03-03", "TIMESTAMP_OUT_OF_RANGE", "event_timestamp"),
        (b'"u1"', b'"u2"', "KEY_MISMATCH", "user_id"),
        (b'"X"}}', b'"X"}} {}', "TRAILING_DATA", "value"),
        (b'"X"}}', b"'X'}}", "MALFORMED_JSON", "value"),
        (b"X", b"\xff", "INVALID_UTF8", "value"),
        (PURCHASE, b"[]", "NOT_AN_OBJECT", "value"),
        (PURCHASE, b"", "EMPTY_VALUE", "value"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(old, new, error_class, field):
    rejected = rejection(PURCHASE.replace(old, new))
    assert (rejected.error_class, rejected.error_detail.split(":")[0]) == (error_class, field)


def test_deep_nesting_is_a_dead_letter_and_stops_nothing():
    deep = PURCHASE.replace(b'"X"', b"[" * 100_000 + b"]" * 100_000)
    assert rejection(deep).error_class == "TOO_DEEP"


def test_a_null_value_is_a_dead_letter_for_events_and_a_deletion_for_products():
    assert rejection(None).error_class == "EMPTY_VALUE"
    deleted = PRODUCT_METADATA.parse(None, b"P1", NOW)
    assert deleted == ("P1", None, None, None, None, NOW, True, None)


def test_a_product_keeps_unknown_fields_and_defaults_to_the_kafka_time():
    value = b'{"product_id":"P1","name":"Mug","colour": {"r":1},"stock":3}'
    product = PRODUCT_METADATA.parse(value, b"P1", NOW)
    assert product[:2] == ("P1", "Mug")
    assert product[5:7] == (NOW, False)
    assert product[7] == '{"colour":{"r":1},"stock":3}'


def test_ids_keep_their_case_and_blanks():
    value = PURCHASE.replace(b"85123A", b" 85123a ")
    assert USER_EVENTS.parse(value, b"u1", NOW)[2] == " 85123a "


def test_the_detail_never_shows_payload():
    for old in (b"purchase", b"12.90", b"2026-03-01T10:00:00.123456+02:00"):
        assert "secret" not in rejection(PURCHASE.replace(old, b"secret")).error_detail


@given(st.binary(max_size=200))
def test_any_bytes_are_a_row_or_a_named_rejection(value):
    try:
        outcome = USER_EVENTS.parse(value, None, NOW)
    except Rejected as rejected:
        outcome = rejected
    assert isinstance(outcome, Rejected) or len(outcome) == len(USER_EVENTS.columns)


@given(
    price=st.decimals(min_value=0, max_value="999999999999.999999", places=6),
    event_id=st.text(min_size=1),
    at=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2026, 3, 2, 12)),
)
def test_valid_values_come_through_exactly(price, event_id, at):
    value = PURCHASE.replace(b'"e1"', json.dumps(event_id).encode())
    value = value.replace(b"12.90", f"{price:f}".encode())
    value = value.replace(b"2026-03-01T10:00:00.123456+02:00", at.isoformat().encode() + b"Z")
    try:
        event_id.encode()
    except UnicodeEncodeError:  # half of a surrogate pair is no text
        rejection(value)
        return
    row = USER_EVENTS.parse(value, b"u1", NOW + timedelta(days=1))
    assert (row[0], row[4], row[6]) == (event_id, at.replace(tzinfo=UTC), price)
