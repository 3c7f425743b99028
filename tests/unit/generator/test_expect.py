"""Literal messages -> what the marts must show, worked out by hand."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from shop import USER_EVENTS

from generator import validity
from generator.events import Plan, Traffic
from generator.expect import as_json, expected
from generator.messages import Received
from lakehouse.contracts import Rejected

KAFKA_TIME = datetime(2026, 3, 9, 12, tzinfo=UTC)


def deliveries(*payloads: dict | bytes, key_field: str) -> list[Received]:
    """Each as one message of partition 0, keyed as the contract says."""
    made = []
    for offset, payload in enumerate(payloads):
        key, value = None, payload
        if isinstance(payload, dict):
            key = payload.get(key_field)
            value = json.dumps(payload).encode()
        made.append(Received(key.encode() if key else None, value, KAFKA_TIME, 0, offset))
    return made


def event(event_id, event_type, at, user_id="U1", product_id="P1", **data):
    return {
        "event_id": event_id,
        "user_id": user_id,
        "product_id": product_id,
        "event_type": event_type,
        "event_timestamp": f"2026-03-0{at}",
        "event_data": data,
    }


def events(*payloads):
    return deliveries(*payloads, key_field="user_id")


def products(*payloads):
    return deliveries(*payloads, key_field="product_id")


def product(product_id, category, updated_at="2026-03-01T00:00:00Z", name="Mug"):
    return {
        "product_id": product_id,
        "name": name,
        "category": category,
        "updated_at": updated_at,
    }


def revenue(rows):
    return {(row["event_date"], row["category"]): row for row in rows["product_category_revenue"]}


def test_nothing_read_is_nothing_shown():
    assert expected([], []) == {
        "produced": {"user-events": 0, "product-metadata": 0},
        "valid": {"user-events": 0, "product-metadata": 0},
        "invalid": {"user-events": 0, "product-metadata": 0},
        "distinct_events": 0,
        "product_category_revenue": [],
        "top_viewed_products": [],
        "same_day_purchasers": [],
    }


def test_one_shopper_views_and_buys():
    shown = expected(
        events(
            event("e1", "view", "2T10:00:00Z"),
            event("e2", "add_to_cart", "2T10:01:00Z", price=4.5, quantity=2),
            event("e3", "purchase", "2T10:02:59.5Z", price=4.5, quantity=2),
            event("e4", "purchase", "2T11:00:00Z", price=1, quantity=1),
        ),
        products(product("P1", "Kitchen")),
    )
    assert shown == {
        "produced": {"user-events": 4, "product-metadata": 1},
        "valid": {"user-events": 4, "product-metadata": 1},
        "invalid": {"user-events": 0, "product-metadata": 0},
        "distinct_events": 4,
        "product_category_revenue": [
            {
                "event_date": "2026-03-02",
                "category": "Kitchen",
                "gross_revenue": "10.000000",
                "returned_amount": "0.000000",
                "net_revenue": "10.000000",
                "purchase_count": 2,
                "units_sold": 3,
                "buyers": 1,
            }
        ],
        "top_viewed_products": [
            {
                "event_date": "2026-03-02",
                "product_id": "P1",
                "name": "Mug",
                "category": "Kitchen",
                "view_count": 1,
                "unique_viewers": 1,
                "view_rank": 1,
            }
        ],
        "same_day_purchasers": [
            {
                "user_id": "U1",
                "event_date": "2026-03-02",
                "product_id": "P1",
                "first_viewed_at": "2026-03-02T10:00:00.000000+00:00",
                "purchased_at": "2026-03-02T10:02:59.500000+00:00",
                "minutes_to_purchase": 2,
                "amount": "10.000000",
            }
        ],
    }


def test_a_duplicate_counts_once_and_of_two_contents_the_first_counts():
    bought = event("e1", "purchase", "2T10:00:00Z", price=5, quantity=1)
    shown = expected(
        events(bought, bought, {**bought, "event_data": {"price": 9, "quantity": 1}}), []
    )
    assert shown["valid"]["user-events"] == 3
    assert shown["distinct_events"] == 1
    assert revenue(shown)["2026-03-02", "Unknown product"]["gross_revenue"] == "5.000000"


def test_a_guest_buys_but_is_no_buyer_viewer_or_same_day_purchaser():
    shown = expected(
        events(
            event("e1", "view", "2T10:00:00Z", user_id=None),
            event("e2", "purchase", "2T10:05:00Z", user_id=None, price=3, quantity=1),
        ),
        [],
    )
    row = revenue(shown)["2026-03-02", "Unknown product"]
    assert (row["purchase_count"], row["buyers"], row["gross_revenue"]) == (1, 0, "3.000000")
    (views,) = shown["top_viewed_products"]
    assert (views["view_count"], views["unique_viewers"], views["name"]) == (1, 0, None)
    assert shown["same_day_purchasers"] == []


def test_a_product_without_category_and_an_unknown_one_are_two_categories():
    shown = expected(
        events(
            event("e1", "purchase", "2T10:00:00Z", price=1, quantity=1),
            event("e2", "purchase", "2T10:00:00Z", product_id="P2", price=2, quantity=1),
        ),
        products(product("P1", None)),
    )
    assert {category: row["gross_revenue"] for (_, category), row in revenue(shown).items()} == {
        "Uncategorized": "1.000000",
        "Unknown product": "2.000000",
    }


def test_a_return_without_a_purchase_makes_a_row_with_negative_revenue():
    shown = expected(events(event("e1", "return", "3T10:00:00Z", price=0.25, quantity=3)), [])
    assert shown["product_category_revenue"] == [
        {
            "event_date": "2026-03-03",
            "category": "Unknown product",
            "gross_revenue": "0.000000",
            "returned_amount": "0.750000",
            "net_revenue": "-0.750000",
            "purchase_count": 0,
            "units_sold": 0,
            "buyers": 0,
        }
    ]


def test_a_buyer_of_two_products_of_a_category_is_one_buyer():
    shown = expected(
        events(
            event("e1", "purchase", "2T10:00:00Z", price=1, quantity=1),
            event("e2", "purchase", "2T10:00:00Z", product_id="P2", price=1, quantity=1),
            event("e3", "purchase", "2T10:00:00Z", user_id="U2", price=1, quantity=1),
        ),
        products(product("P1", "Toys"), product("P2", "Toys")),
    )
    assert revenue(shown)["2026-03-02", "Toys"]["buyers"] == 2


def test_the_latest_category_counts_whatever_the_order_of_arrival():
    newer = product("P1", "New", "2026-03-05T00:00:00Z")
    older = product("P1", "Old", "2026-03-04T23:59:59Z")
    bought = events(event("e1", "purchase", "2T10:00:00Z", price=1, quantity=1))
    for order in [(newer, older), (older, newer)]:
        assert list(revenue(expected(bought, products(*order)))) == [("2026-03-02", "New")]


def test_of_two_states_with_one_updated_at_the_later_partition_and_offset_counts():
    first, second = products(product("P1", "First"), product("P1", "Second"))
    bought = events(event("e1", "purchase", "2T10:00:00Z", price=1, quantity=1))
    moved = first._replace(partition=1)
    for read in [first, second], [second, first]:
        assert list(revenue(expected(bought, read))) == [("2026-03-02", "Second")]
    for read in [moved, second], [second, moved]:
        assert list(revenue(expected(bought, read))) == [("2026-03-02", "First")]


def test_a_product_state_without_updated_at_counts_from_its_kafka_timestamp():
    undated = {"product_id": "P1", "category": "Undated"}
    dated = product("P1", "Dated", "2026-03-09T11:59:59Z")
    bought = events(event("e1", "purchase", "2T10:00:00Z", price=1, quantity=1))
    assert list(revenue(expected(bought, products(undated, dated)))) == [("2026-03-02", "Undated")]


def test_a_deleted_product_keeps_its_name_and_category_and_one_never_seen_alive_has_none():
    gone = Received(b"P1", None, KAFKA_TIME, 0, 1)
    never = Received(b"P2", None, KAFKA_TIME, 0, 2)
    shown = expected(
        events(
            event("e1", "view", "2T10:00:00Z"),
            event("e2", "view", "2T10:00:00Z", product_id="P2"),
        ),
        [*products(product("P1", "Toys")), gone, never],
    )
    assert shown["valid"]["product-metadata"] == 3
    assert [(row["name"], row["category"]) for row in shown["top_viewed_products"]] == [
        ("Mug", "Toys"),
        (None, "Unknown product"),
    ]


def test_equal_views_are_ranked_by_product_id_and_each_day_anew():
    shown = expected(
        events(
            event("e1", "view", "2T10:00:00Z", product_id="P3"),
            event("e2", "view", "2T10:00:00Z", product_id="P2"),
            event("e3", "view", "2T10:00:00Z", product_id="P9"),
            event("e4", "view", "2T10:00:00Z", product_id="P9", user_id="U2"),
            event("e5", "view", "3T10:00:00Z", product_id="P3"),
        ),
        [],
    )
    ranks = [
        (row["event_date"][-2:], row["product_id"], row["view_rank"], row["unique_viewers"])
        for row in shown["top_viewed_products"]
    ]
    assert ranks == [("02", "P2", 2, 1), ("02", "P3", 3, 1), ("02", "P9", 1, 2), ("03", "P3", 1, 1)]


def test_a_purchase_before_the_first_view_is_no_same_day_purchase():
    shown = expected(
        events(
            event("e1", "purchase", "2T10:00:00Z", price=7, quantity=1),
            event("e2", "view", "2T10:00:01Z"),
        ),
        [],
    )
    assert shown["same_day_purchasers"] == []


def test_only_purchases_from_the_first_view_on_count_for_a_same_day_purchaser():
    shown = expected(
        events(
            event("e1", "purchase", "2T09:00:00Z", price=7, quantity=1),
            event("e4", "purchase", "2T12:00:00Z", price=2, quantity=2),
            event("e3", "purchase", "2T10:00:00Z", price=1, quantity=1),
            event("e5", "view", "2T11:00:00Z"),
            event("e2", "view", "2T10:00:00Z"),
        ),
        [],
    )
    (row,) = shown["same_day_purchasers"]
    assert row["first_viewed_at"] == row["purchased_at"] == "2026-03-02T10:00:00.000000+00:00"
    assert row["minutes_to_purchase"] == 0
    assert row["amount"] == "5.000000"


def test_a_view_on_the_day_before_is_not_the_same_day_and_days_are_utc():
    shown = expected(
        events(
            event("e1", "view", "2T23:59:00Z"),
            event("e2", "purchase", "3T00:01:00Z", price=1, quantity=1),
            event("e3", "view", "3T01:00:00+02:00", product_id="P2"),
            event("e4", "purchase", "2T23:30:00Z", product_id="P2", price=1, quantity=1),
        ),
        [],
    )
    (row,) = shown["same_day_purchasers"]
    assert (row["product_id"], row["event_date"]) == ("P2", "2026-03-02")
    assert row["minutes_to_purchase"] == 30


def test_money_is_exact_where_floats_are_not():
    prices = ["0.1", "0.2", "999999999999.999999"]
    bought = [
        json.dumps(event(f"e{n}", "purchase", "2T10:00:00Z", user_id=None, price=0, quantity=1))
        .replace('"price": 0', f'"price": {price}')
        .encode()
        for n, price in enumerate(prices)
    ]
    shown = expected(events(*bought), [])
    assert (
        revenue(shown)["2026-03-02", "Unknown product"]["gross_revenue"] == "1000000000000.299999"
    )


GOOD = event("e1", "purchase", "2T10:00:00Z", price=1.5, quantity=1)
BROKEN = [
    b"",
    b"null",
    b"[]",
    json.dumps(GOOD).encode() + b"{}",
    json.dumps(GOOD).encode()[:-1],
    json.dumps(GOOD).encode("utf-16"),
    json.dumps(GOOD).replace('"e1"', '"\\ud800"').encode(),
    json.dumps(GOOD).replace("1.5", "NaN").encode(),
    json.dumps(GOOD).replace("1.5", "1.5000000").encode(),
    json.dumps(GOOD).replace('"e1"', '"e1", "event_id": "e1"').encode(),
    {**GOOD, "event_id": ""},
    {**GOOD, "event_id": 1},
    {**GOOD, "product_id": None},
    {**GOOD, "user_id": ""},
    {**GOOD, "event_type": "Purchase"},
    {**GOOD, "event_type": ["view"]},
    {**GOOD, "event_timestamp": 1_772_000_000_000},
    {**GOOD, "event_timestamp": "2026-03-02T10:00:00"},
    {**GOOD, "event_timestamp": "2026-03-02"},
    {**GOOD, "event_timestamp": "1969-12-31T23:59:59Z"},
    {**GOOD, "event_timestamp": "2026-03-10T12:00:01Z"},
    {**GOOD, "event_timestamp": "2026-02-30T12:00:00Z"},
    {**GOOD, "event_data": "{}"},
    {**GOOD, "event_data": {"price": 1.5}},
    {**GOOD, "event_data": {"quantity": 1}},
    {**GOOD, "event_data": {"price": -0.01, "quantity": 1}},
    {**GOOD, "event_data": {"price": "1.5", "quantity": 1}},
    {**GOOD, "event_data": {"price": 10**12, "quantity": 1}},
    {**GOOD, "event_data": {"price": 1.5, "quantity": 0}},
    {**GOOD, "event_data": {"price": 1.5, "quantity": 1.0}},
    {**GOOD, "event_data": {"price": 1.5, "quantity": True}},
    {**GOOD, "event_data": {"price": 1.5, "quantity": 2**31}},
]


@pytest.mark.parametrize("payload", BROKEN, ids=range(len(BROKEN)))
def test_an_event_that_breaks_the_contract_is_invalid_and_sums_nothing(payload):
    (message,) = events(payload)
    # The key is right, so that the rule under test is the one that is broken.
    shown = expected([message._replace(key=b"U1")], [])
    assert shown["invalid"]["user-events"] == 1
    assert shown["distinct_events"] == 0
    assert shown["product_category_revenue"] == []


def test_the_event_that_the_broken_ones_are_made_of_is_valid():
    (message,) = events(GOOD)
    at = datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert validity.event(message) == ("e1", "U1", "P1", "purchase", at, 1_500_000, 1)


@pytest.mark.parametrize("key", [None, b"", b"U2", b"\xff"])
def test_a_key_other_than_the_user_id_is_invalid(key):
    (message,) = events(GOOD)
    assert validity.event(message._replace(key=key)) is None


@pytest.mark.parametrize(
    "message",
    [
        Received(None, None, KAFKA_TIME, 0, 0),
        Received(b"", None, KAFKA_TIME, 0, 0),
        Received(b"\xff", None, KAFKA_TIME, 0, 0),
        Received(b"P1", b"", KAFKA_TIME, 0, 0),
        Received(b"P1", b'{"product_id":"P2"}', KAFKA_TIME, 0, 0),
        Received(b"P1", b'{"product_id":"P1","name":5}', KAFKA_TIME, 0, 0),
        Received(b"P1", b'{"product_id":"P1","price":-1}', KAFKA_TIME, 0, 0),
        Received(b"P1", b'{"product_id":"P1","updated_at":"today"}', KAFKA_TIME, 0, 0),
    ],
)
def test_a_product_that_breaks_the_contract_is_invalid(message):
    assert expected([], [message])["invalid"]["product-metadata"] == 1


def test_two_ways_of_judging_agree_on_generated_traffic():
    start = KAFKA_TIME.replace(hour=0) - timedelta(days=2)
    traffic = Traffic(Plan(5000, 100, 50, 2, start, 0.5, 3))
    for message in traffic.messages():
        if message.topic == USER_EVENTS.topic:
            try:
                event_id = USER_EVENTS.parse(message.value, message.key, KAFKA_TIME)[0]
            except Rejected:
                event_id = None
            judged = validity.event(Received(message.key, message.value, KAFKA_TIME, 0, 0))
            assert (judged and judged.event_id) == event_id


def test_the_printed_form_is_json_that_reads_back_the_same():
    shown = expected(events(GOOD), products(product("P1", "Café")))
    assert json.loads(as_json(shown)) == shown
    assert "Café" in as_json(shown)
