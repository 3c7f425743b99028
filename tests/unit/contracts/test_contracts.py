"""The contracts read aloud, once; every rule and every limit is in test_contract_matrix."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from shop import PRODUCT_METADATA, USER_EVENTS

from lakehouse.contracts import Rejected

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PURCHASE = (
    b'{"event_id":"e1","user_id":"u1","product_id":"85123A","event_type":"purchase",'
    b'"event_timestamp":"2026-03-01T10:00:00.123456+02:00",'
    b'"event_data":{"price":12.90,"quantity":2,"coupon":"X"}}'
)


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
        *(None, None, None, None),
        None,
    )


def test_a_product_becomes_one_value_per_column():
    value = b'{"product_id":"P1","name":"Mug","price":8.50,"colour": {"r":1}}'
    assert PRODUCT_METADATA.parse(value, b"P1", NOW) == (
        *("P1", "Mug", None, None, Decimal("8.50"), NOW, False),
        '{"colour":{"r":1}}',
    )


def test_a_rejection_names_the_field_and_the_rule():
    with pytest.raises(Rejected) as caught:
        USER_EVENTS.parse(PURCHASE.replace(b"12.90", b"0.0000001"), b"u1", NOW)
    assert caught.value.error_class == "DECIMAL_SCALE"
    assert caught.value.error_detail == (
        "event_data.price: at most 12 digits before, 6 after the dot"
    )
