"""What a declaration brings with it, and which declarations are refused."""

import dataclasses
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from topics.orders import CONTRACT as ORDERS
from topics.orders import Order

from lakehouse.contracts import Contract, Rejected
from lakehouse.contracts.value_types import Id, Instant, Integer, Label, Price, Quantity

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDER = {
    "change_id": "c1",
    "order_id": "o1",
    "status": "shipped",
    "changed_at": "2026-03-01T10:00:00Z",
    "shipping": {"country": "NO", "floor": 3},
}


class Inner(msgspec.Struct, kw_only=True, gc=False):
    """Each type that is not checked before its column is made, needed or not."""

    text: Id
    maybe_text: str | None = None
    word: Literal["a", "b"] | None = None
    flag: bool
    maybe_flag: bool | None = None
    count: Quantity
    price: Price
    at: Instant | None = None
    label: Label = None


class Outer(msgspec.Struct, kw_only=True, gc=False):
    """Each type at the top of a message."""

    name: Id | None = None
    number: Integer | None = None
    needed_number: Integer
    is_new: bool
    cost: Price
    maybe_cost: Price | None = None
    kind: Literal["a", "b"] | None = None
    seen: Instant | None = None
    sent: Instant | None = None
    inner: msgspec.Raw


EVERY_TYPE = Contract(
    topic="every-type",
    version=1,
    description="",
    payload=Outer,
    key="name",
    time="seen",
    partitioned_by=(),
    embedded={"inner": Inner},
    tombstones=True,
    is_fast=True,
)
# One of each kind that some field takes, and what no field does.
VALUES: list[Any] = [
    *(None, "", "a", "ab", "2026-03-01T10:00:00Z", "2026-02-30T10:00:00Z", "1969-01-01T00:00:00Z"),
    *(True, False, 0, 1, -1, 2**31, 2**63, 2**64, 1.5, 1e300, 0.0000001, [], {}, {"a": 1}),
]
GOOD_INNER = {"text": "t", "flag": True, "count": 1, "price": 1.5}
GOOD = {"needed_number": 7, "is_new": False, "cost": 0, "inner": GOOD_INNER}


def judged(contract: Contract, value: bytes | None, key: bytes | None) -> tuple[Any, ...] | str:
    try:
        return contract.parse(value, key, NOW)
    except Rejected as rejected:
        return f"{rejected.error_class} {rejected.error_detail}"


def accepted_at_once(contract: Contract, value: bytes, key: bytes | None) -> tuple[Any, ...] | None:
    batch = pa.RecordBatch.from_pydict(
        {
            "value": pa.array([value], pa.binary()),
            "key": pa.array([key], pa.binary()),
            "timestamp": pa.array([NOW], pa.timestamp("us", tz="UTC")),
        }
    )
    indices, columns = contract.accept(batch)
    types = [column.type for column in contract.columns]
    assert [column.type for column in columns] == types
    return tuple(column[0].as_py() for column in columns) if len(indices) else None


def encoded(message: dict[str, Any]) -> tuple[bytes, bytes | None]:
    name = message.get("name")
    return json.dumps(message).encode(), name.encode() if isinstance(name, str) else None


def changed(message: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    return GOOD | message | {"inner": GOOD_INNER | inner}


def fields_of(struct: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    names = [name for name in struct.__struct_fields__ if name != "inner"]
    return st.dictionaries(st.sampled_from(names), st.sampled_from(VALUES), max_size=2)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=400)
@given(fields_of(Outer), fields_of(Inner))
def test_what_is_accepted_at_once_is_what_the_parser_gives(message, inner):
    value, key = encoded(changed(message, inner))
    at_once = accepted_at_once(EVERY_TYPE, value, key)
    if at_once is not None:
        assert at_once == judged(EVERY_TYPE, value, key)


@pytest.mark.parametrize("name", [n for n in Outer.__struct_fields__ if n != "inner"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_field_that_the_parser_accepts_is_accepted_at_once(name, value):
    text, key = encoded(changed({name: value}, {}))
    row = judged(EVERY_TYPE, text, key)
    if isinstance(row, tuple):
        assert accepted_at_once(EVERY_TYPE, text, key) == row


@pytest.mark.parametrize("name", Inner.__struct_fields__)
@pytest.mark.parametrize("value", [each for each in VALUES if each != 1e300], ids=repr)
def test_an_embedded_field_that_the_parser_accepts_is_accepted_at_once(name, value):
    text, key = encoded(changed({}, {name: value}))
    row = judged(EVERY_TYPE, text, key)
    if isinstance(row, tuple):
        assert accepted_at_once(EVERY_TYPE, text, key) == row


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"status": "lost"}, "UNKNOWN_VALUE status: must be one of placed, paid, shipped"),
        ({"status": "paid"}, "MISSING_FIELD total: placed and paid need total"),
        ({"shipping": {}}, "MISSING_FIELD shipping.country: required, and neither null nor empty"),
        ({"total": 10**20}, "DECIMAL_SCALE total: at most 12 digits before, 6 after the dot"),
        ({"order_id": "o2"}, "KEY_MISMATCH order_id: must equal the Kafka key"),
    ],
)
def test_each_rule_of_a_declaration_is_kept(change, verdict):
    assert judged(ORDERS, json.dumps(ORDER | change).encode(), b"o1") == verdict


def test_a_tombstone_has_what_its_key_names_and_a_time():
    nulls = dict.fromkeys(column.name for column in ORDERS.columns)
    known = {"order_id": "o1", "changed_at": NOW, "is_deleted": True}
    assert judged(ORDERS, None, b"o1") == tuple((nulls | known).values())


def test_a_column_is_described_and_said_to_be_personal_where_its_field_is():
    assert ORDERS.descriptions["customer_id"] == "Who ordered; null for a guest."
    assert ORDERS.personal == {"customer_id", "shipping", "extra"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key": "id"}, "orders: key is id, which is no field of the message"),
        ({"key": "total"}, "orders: the key is total, which is no text"),
        ({"time": "order_id"}, "orders: the time is order_id, which is no Instant"),
        (
            {"embedded": {"status": Inner}},
            "orders: status is embedded, but no required msgspec.Raw",
        ),
        (
            {"payload": msgspec.defstruct("Loose", [("note", Label, None)], bases=(Order,))},
            "orders: note is a Label outside an embedded document",
        ),
        (
            {"payload": msgspec.defstruct("Twice", [("country", str)], bases=(Order,))},
            "orders: two columns of staging have one name: country",
        ),
        (
            {"repeats_by": "order_id"},
            "orders: a tombstone has the key order_id of an earlier message, so a message can't be"
            " known by it as the repetition of another",
        ),
    ],
)
def test_a_declaration_from_which_nothing_follows_is_refused(change, reason):
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        dataclasses.replace(ORDERS, **change)


@pytest.mark.parametrize("type_", [int, float, list[str]])
def test_a_field_of_another_type_is_refused_with_those_that_there_are(type_):
    payload = msgspec.defstruct("Other", [("weight", type_)], bases=(Order,), kw_only=True)
    with pytest.raises(TypeError, match=r"^weight: no column is made of .* Integer and Quantity"):
        dataclasses.replace(ORDERS, payload=payload)


def test_a_text_of_any_length_stays_itself():
    annotated = Annotated[str | None, "not a Meta"]
    wide = msgspec.defstruct("Wide", [("note", annotated, None)], bases=(Order,), kw_only=True)
    contract = dataclasses.replace(ORDERS, payload=wide)
    value = json.dumps(ORDER | {"note": ""}).encode()
    assert accepted_at_once(contract, value, b"o1") == judged(contract, value, b"o1")
