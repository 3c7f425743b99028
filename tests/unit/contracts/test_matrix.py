"""The table of `contract_matrix` against the parser and the decoder, and what no table holds."""

import functools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from contract_matrix import CASES, NOW, PRODUCT, PURCHASE, Case
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shop import PRODUCT_METADATA, USER_EVENTS

from generator import validity
from generator.messages import Received
from lakehouse.contracts import CONTRACTS, Contract, Rejected
from lakehouse.contracts.rejection import HEADERS_UNREADABLE, RULES, UNEXPECTED, UNKNOWN_VALUE
from lakehouse.kafka.records import readable
from lakehouse.messages.decode import decode_batch, decoded_schema, decoder
from lakehouse.messages.duplicates import CONFLICT

# What the contracts of the table say themselves.
DETAILS = RULES | {
    "UNKNOWN_EVENT_TYPE": "must be one of view, add_to_cart, remove_from_cart, purchase, return",
    "MISSING_PURCHASE_DATA": "purchase and return need price and quantity",
}
CONTRACT = {contract.topic: contract for contract in CONTRACTS}
HEADERS = '[{"key":"source","value":"YXBw"}]'
GOOD = {
    "user-events": Case("", "user-events", b"u1", PURCHASE),
    "product-metadata": Case("", "product-metadata", b"P1", PRODUCT),
}
ACCEPTED_EVENTS = [
    case for case in CASES if case.topic == "user-events" and case.row and not case.is_large
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_topic = pytest.mark.parametrize("topic", CONTRACT)
# The machine may be busy: time is no outcome here.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def batch(
    messages: Iterable[tuple[bytes | None, bytes | None]],
    kafka_milliseconds: list[int] | None = None,
) -> pa.RecordBatch:
    """(key, value) as Spark's Kafka source hands them over; every second offset from 100."""
    keys, values = zip(*messages, strict=True)
    times = kafka_milliseconds or [int(NOW.timestamp()) * 1000] * len(keys)
    return pa.RecordBatch.from_pydict(
        {
            "key": pa.array(keys, pa.binary()),
            "value": pa.array(values, pa.binary()),
            "partition": pa.array([3] * len(keys), pa.int32()),
            "offset": pa.array(range(100, 100 + 2 * len(keys), 2), pa.int64()),
            "timestamp": readable(np.array(times)),
            "timestampType": pa.array([0] * len(keys), pa.int32()),
            "headers": pa.array([HEADERS] * len(keys), pa.string()),
        }
    )


def decoded(contract: Contract, records: pa.RecordBatch) -> list[dict[str, Any]]:
    """One row per record, in the order of the records; fails if there are more or fewer."""
    batches = list(decode_batch(contract, records))
    assert all(rows.schema == decoded_schema(contract) for rows in batches)
    rows = [row for rows in batches for row in rows.to_pylist()]
    rows.sort(key=lambda row: row["kafka_offset"])
    assert [row["kafka_offset"] for row in rows] == records["offset"].to_pylist()
    assert {row["kafka_partition"] for row in rows} == {3}
    return rows


def decoded_messages(contract: Contract, *messages: tuple[bytes | None, bytes | None]):
    return decoded(contract, batch(messages))


def values_of(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    return {field.name: row[field.name] for field in contract.columns}


def parsed(contract: Contract, key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
    try:
        row = contract.parse(value, key, NOW)
    except Rejected:
        return None
    names = [field.name for field in contract.columns]
    return dict(zip(names, row, strict=True))


def assert_in_one_place(contract: Contract, row: dict[str, Any]) -> None:
    """A row with the id of its topic, or a dead letter with a named rule: never both or neither."""
    values = values_of(contract, row)
    assert row["headers"] == HEADERS
    if row["error_class"] is None:
        assert row["error_detail"] is None
        assert values[contract.columns[0].name]
    else:
        assert row["error_detail"].endswith(f": {DETAILS[row['error_class']]}")
        assert set(values.values()) == {None}


def assert_expected(case: Case, row: dict[str, Any]) -> None:
    contract = CONTRACT[case.topic]
    assert_in_one_place(contract, row)
    assert row["kafka_timestamp"] == NOW
    assert (row["key"], row["value"]) == (case.key, case.value)
    if case.error:
        error_class, field = case.error
        # The whole detail is field and rule, so there is no room for payload.
        assert (row["error_class"], row["error_detail"]) == (
            error_class,
            f"{field}: {DETAILS[error_class]}",
        )
    else:
        assert row["error_class"] is None, row["error_detail"]
        assert {name: row[name] for name in case.row} == case.row


def test_the_names_of_the_cases_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_rule_has_a_case():
    assert {case.error[0] for case in CASES if case.error} == set(RULES) - {
        CONFLICT,
        HEADERS_UNREADABLE,
        UNEXPECTED,
        UNKNOWN_VALUE,  # test_contracts.py
    }


@each_case
def test_the_parser_gives_what_the_table_says(case: Case):
    contract = CONTRACT[case.topic]
    if case.error:
        with pytest.raises(Rejected) as caught:
            contract.parse(case.value, case.key, NOW)
        error_class, field = case.error
        rejected = caught.value
        assert (rejected.error_class, rejected.error_detail) == (
            error_class,
            f"{field}: {DETAILS[error_class]}",
        )
    else:
        row = parsed(contract, case.key, case.value)
        assert row is not None
        assert {name: row[name] for name in case.row} == case.row


@each_case
def test_a_message_alone_in_its_batch_gives_what_the_table_says(case: Case):
    contract = CONTRACT[case.topic]
    (row,) = decoded_messages(contract, (case.key, case.value))
    assert_expected(case, row)
    if case.row:
        assert values_of(contract, row) == parsed(contract, case.key, case.value)


@each_topic
def test_all_messages_in_one_batch_leave_each_other_alone(topic: str):
    good = GOOD[topic]
    cases = [case for case in CASES if case.topic == topic]
    between = [message for case in cases for message in (case, good)]
    rows = decoded_messages(CONTRACT[topic], *((case.key, case.value) for case in between))
    for case, row, good_row in zip(cases, rows[::2], rows[1::2], strict=True):
        assert_expected(case, row)
        assert_in_one_place(CONTRACT[topic], good_row)
        values = values_of(CONTRACT[topic], good_row)
        assert values == parsed(CONTRACT[topic], good.key, good.value), f"after {case.name}"


def test_a_slice_of_a_batch_is_decoded_as_if_it_stood_alone():
    cases = [case for case in CASES if case.topic == "user-events" and not case.is_large]
    records = batch((case.key, case.value) for case in cases)
    for start in range(0, len(cases), 50):
        rows = decoded(USER_EVENTS, records.slice(start, 50))
        for case, row in zip(cases[start : start + 50], rows, strict=True):
            assert_expected(case, row)


def test_a_batch_without_records_has_no_rows():
    assert list(decoder(USER_EVENTS)([batch([(None, None)]).slice(0, 0)])) == []


def test_the_generators_own_rules_agree_with_the_table():
    check = {"user-events": validity.event, "product-metadata": validity.product}
    disagreeing = [
        case.name
        for case in CASES
        # Limits of size and depth are no part of those rules.
        if not (case.error and case.error[0] in ("TOO_LARGE", "TOO_DEEP"))
        and bool(check[case.topic](Received(case.key, case.value, NOW, 3, 100))) != bool(case.row)
    ]
    assert disagreeing == []


anything = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda before, after: before + PURCHASE + after, st.binary(), st.binary()),
    st.builds(
        lambda cut, middle: PURCHASE[:cut] + middle + PURCHASE[cut:],
        st.integers(0, len(PURCHASE)),
        st.binary(max_size=5),
    ),
)


@patiently
@given(value=st.none() | anything, key=st.sampled_from([b"u1", None]) | st.binary())
@each_topic
def test_any_bytes_end_in_exactly_one_place_and_harm_no_other(topic, value, key):
    contract, good = CONTRACT[topic], GOOD[topic]
    around = (good.key, good.value)
    rows = decoded_messages(contract, around, (key, value), around)
    for row in rows:
        assert_in_one_place(contract, row)
    assert rows[0]["error_class"] is rows[2]["error_class"] is None
    assert values_of(contract, rows[0]) == values_of(contract, rows[2])
    if rows[1]["error_class"]:
        assert (rows[1]["key"], rows[1]["value"]) == (key, value)


texts = st.text(min_size=1, max_size=8)
instants = st.builds(
    lambda at, minutes: at.astimezone(timezone(timedelta(minutes=minutes))).isoformat(),
    st.datetimes(datetime(1970, 1, 2), datetime(2026, 3, 2, 12), timezones=st.just(UTC)),
    st.integers(-1439, 1439),
)
prices = st.decimals(0, Decimal("999999999999.999999"), places=6)
# Each field in its JSON text.
valid_fields = st.fixed_dictionaries(
    {
        "event_id": texts.map(json.dumps),
        "user_id": texts.map(json.dumps),
        "product_id": texts.map(json.dumps),
        "event_type": st.sampled_from(sorted(validity.EVENT_TYPES)).map(json.dumps),
        "event_timestamp": instants.map(json.dumps),
        "price": prices.map(lambda price: f"{price:f}"),
        "quantity": st.integers(1, 2**31 - 1).map(str),
        "coupon": st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ).map(json.dumps),
    }
)
CLASSES = {
    "event_id": {"MISSING_FIELD", "WRONG_TYPE"},
    "user_id": {"MISSING_FIELD", "WRONG_TYPE", "KEY_MISMATCH"},
    "product_id": {"MISSING_FIELD", "WRONG_TYPE"},
    "event_type": {"MISSING_FIELD", "WRONG_TYPE", "UNKNOWN_EVENT_TYPE"},
    "event_timestamp": {
        *("MISSING_FIELD", "WRONG_TYPE", "TIMESTAMP_UNPARSEABLE", "TIMESTAMP_OUT_OF_RANGE"),
    },
    "event_data": {"MISSING_FIELD", "WRONG_TYPE", "MISSING_PURCHASE_DATA"},
    "price": {"WRONG_TYPE", "OUT_OF_RANGE", "DECIMAL_SCALE", "MISSING_PURCHASE_DATA"},
    "quantity": {"WRONG_TYPE", "OUT_OF_RANGE", "MISSING_PURCHASE_DATA"},
    "coupon": set(),
}
ODD_VALUES = [
    None,  # the field is missing
    *("null", "true", "false", "[]", "{}", '""', '" "', '"1"', '"e1"', '"12.90"', '"purchase"'),
    *("0", "-0", "1", "-1", "2147483647", "2147483648", "-1e9", "1.0", "1e0", "1E2", "1e400"),
    *("0.0000001", "1E-7", "1.0000000", "999999999999.999999", "1000000000000", "1e11", "1e12"),
    *("-0.0", "-0.01", "12.9", "18446744073709551616", "[1]", '{"price":1}', '"2026-03-01"'),
    *('"2026-03-01T10:00:00Z"', '"2026-03-01T10:00:00"', '"2026-03-02T12:00:00.000001Z"'),
]
mutants = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-2, max_value=10**13).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.text().map(json.dumps),
    st.dictionaries(texts, st.integers(), max_size=2).map(json.dumps),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: json.dumps(at.isoformat())),
    st.datetimes().map(lambda at: json.dumps(at.isoformat())),
    st.builds(
        '"{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}"'.format,
        *(st.sampled_from([0, 1, 1969, 1970, 2024, 2026, 9999]), st.integers(0, 13)),
        *(st.integers(0, 32), st.sampled_from("Tt _"), st.integers(0, 25), st.integers(0, 60)),
        *(st.integers(0, 61), st.sampled_from(["", ".5", ".123456", ".1234567", ",5", "."])),
        st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "+14:00", "-23:59", "+0100", "+24:00"]),
    ),
)


def joined(fields: dict[str, str | None]) -> str:
    given_fields = ((name, text) for name, text in fields.items() if text is not None)
    return "{" + ",".join(f'"{name}":{text}' for name, text in given_fields) + "}"


def message_of(fields: dict[str, str | None]) -> bytes:
    """With event_data as it is given, or else around price, quantity and coupon."""
    inside = {name: fields[name] for name in ("price", "quantity", "coupon")}
    outside = {name: text for name, text in fields.items() if name not in inside}
    return joined({"event_data": joined(inside), **outside}).encode()


def assert_refused_for_it_or_equal(name: str, row: dict[str, Any], event: validity.Event | None):
    if event is None:
        assert row["error_class"] in CLASSES[name]
        assert row["error_detail"].split(":")[0] in (name, f"event_data.{name}", "event_data")
    else:
        assert row["error_class"] is None, row["error_detail"]
        at = row["event_timestamp"]
        millionths = (row["price"] or 0) * 1_000_000
        assert event == (
            *(row["event_id"], row["user_id"], row["product_id"], row["event_type"], at),
            *(millionths, row["quantity"] or 0),
        )


@pytest.mark.parametrize("event_type", ['"purchase"', '"view"'])
@pytest.mark.parametrize("name", CLASSES)
def test_an_odd_value_in_a_field_is_refused_for_it_or_equal(event_type, name):
    fields = {
        "event_id": '"e1"',
        "user_id": '"u1"',
        "product_id": '"P1"',
        "event_type": event_type,
        "event_timestamp": '"2026-03-01T10:00:00Z"',
        "price": "12.90",
        "quantity": "2",
        "coupon": "null",
    }
    values = [message_of({**fields, name: odd}) for odd in ODD_VALUES]
    rows = decoded_messages(USER_EVENTS, *((b"u1", value) for value in values))
    for value, row in zip(values, rows, strict=True):
        event = validity.event(Received(b"u1", value, NOW, 3, 100))
        assert_refused_for_it_or_equal(name, row, event)


@settings(patiently, max_examples=150)
@given(fields=valid_fields, name=st.sampled_from(sorted(CLASSES)), mutant=mutants)
def test_an_event_with_one_field_changed_is_refused_for_it_or_equal(fields, name, mutant):
    key = json.loads(fields["user_id"]).encode()
    value = message_of({**fields, name: mutant})
    (row,) = decoded_messages(USER_EVENTS, (key, value))
    event = validity.event(Received(key, value, NOW, 3, 100))
    assert_refused_for_it_or_equal(name, row, event)


@settings(patiently, max_examples=60)
@given(fields=valid_fields)
def test_an_event_that_keeps_every_rule_is_a_row(fields):
    key = json.loads(fields["user_id"]).encode()
    (row,) = decoded_messages(USER_EVENTS, (key, message_of(fields)))
    assert row["error_class"] is None, row["error_detail"]
    assert row["price"] == Decimal(fields["price"])
    assert row["quantity"] == int(fields["quantity"])
    at = datetime.fromisoformat(json.loads(fields["event_timestamp"]))
    assert row["event_timestamp"] == at
    assert json.loads(row["event_data"])["coupon"] == json.loads(fields["coupon"])


FRAGMENTS = [
    *(b'"', b"\\", b":", b" :", b"\n:", b",", b"{", b"}", b"[", b"]", b"[[", b"]]", b" ", b"\n"),
    *(rb"\ud800", rb"\udc00", rb"\ud83d\ude00", rb"\u0000", rb"\u0022", rb"\":", b'":'),
    *(
        b"0",
        b"1",
        b"-",
        b"+",
        b".",
        b"1e5",
        b"e",
        b"99999999999999999999",
        b"null",
        b"true",
        b"NaN",
    ),
    *(b"\x00", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"Z", b"t", b"+0100"),
]
FIELDS = [
    *(b'"price":1,', b'"price" :1,', rb'"pric\u0065":1,', b'"quantity":1,', b'"event_id":"z",'),
    *(b'"user_id":null,', b'"x":1,', b'"x":{"x":1},', b'"x":[{"y":1,"y":2}],', b'"x":{"y":[{}]},'),
    *(rb'"x":"\ud800",', rb'"x":"\udc00\ud800",', rb'"x":"\":",', b'"x" : 1,', b'"":0,', b'"x":-,'),
]
edits = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 999), st.sampled_from(FRAGMENTS)),
    st.tuples(st.just("field"), st.integers(0, 999), st.sampled_from(FIELDS)),
    st.tuples(st.just("delete"), st.integers(0, 999), st.integers(1, 3)),
    st.tuples(st.just("replace"), st.integers(0, 999), st.binary(min_size=1, max_size=1)),
)


def edited(value: bytes, edit: tuple[str, int, Any]) -> bytes:
    kind, place, piece = edit
    place %= len(value)
    if kind == "insert":
        return value[:place] + piece + value[place:]
    if kind == "field":
        starts = [index + 1 for index, byte in enumerate(value) if byte in b"{,"] or [0]
        place = starts[place % len(starts)]
        return value[:place] + piece + value[place:]
    if kind == "delete":
        return value[:place] + value[place + piece :] or b"{}"
    return value[:place] + piece + value[place + 1 :]


def accepted_at_once(messages: list[tuple[bytes | None, bytes | None]]) -> dict[int, dict]:
    indices, columns = USER_EVENTS.accept(batch(messages))
    names = [field.name for field in USER_EVENTS.columns]
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    accepted = {
        int(index): dict(zip(names, row, strict=True))
        for index, row in zip(indices, rows, strict=True)
    }
    assert len(accepted) == len(indices)
    return accepted


def how_many_are_accepted_at_once(messages: list[tuple[bytes | None, bytes | None]]) -> int:
    """And each as the parser alone would."""
    accepted = accepted_at_once(messages)
    for index, row in accepted.items():
        key, value = messages[index]
        assert row == parsed(USER_EVENTS, key, value), value
    return len(accepted)


@settings(patiently, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(ACCEPTED_EVENTS), st.lists(edits, min_size=1, max_size=3)),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_accepted_at_once_the_parser_accepts_too(changes):
    how_many_are_accepted_at_once(
        [(case.key, functools.reduce(edited, steps, case.value)) for case, steps in changes]
    )


def test_of_thousands_of_messages_the_parser_accepts_all_that_are_accepted_at_once():
    """As the test above, with many more messages and without the search for the smallest."""
    random = Random(20260301)
    kinds = {
        "insert": lambda: random.choice(FRAGMENTS),
        "field": lambda: random.choice(FIELDS),
        "delete": lambda: random.randint(1, 3),
        "replace": lambda: random.randbytes(1),
    }
    messages = []
    for case in random.choices(ACCEPTED_EVENTS, k=8_000):
        value = case.value
        for _ in range(random.choice([1, 1, 2, 3])):
            kind = random.choice(list(kinds))
            value = edited(value, (kind, random.randrange(1_000), kinds[kind]()))
        messages.append((case.key, value))
    assert how_many_are_accepted_at_once(messages) >= 500


def test_what_the_table_refuses_is_never_accepted_at_once():
    refused = [case for case in CASES if case.topic == "user-events" and case.error]
    assert accepted_at_once([(case.key, case.value) for case in refused]) == {}


def test_good_messages_are_accepted_at_once_and_not_one_by_one():
    unknown = b'{"x":{"price":1},' + PURCHASE[1:]
    blanks = PURCHASE.replace(b'":', b'": ').replace(b",", b",\n  ")
    guest = PURCHASE.replace(b'"user_id":"u1",', b"")
    messages = [(b"u1", PURCHASE), (b"u1", unknown), (b"u1", b" " + blanks), (None, guest)]
    assert list(accepted_at_once(messages)) == [0, 1, 2, 3]


@settings(patiently, max_examples=80)
@given(event_id=texts, product_id=texts, user_id=texts, ascii_only=st.booleans())
@example("\x00", '"\\/', "\ud7ff\ue000\uffff\U0010ffff", True)
@example("\u2028\x7f\x80", '{"price":1}', "e\u0301\ufeff", False)
def test_texts_come_through_exactly(event_id, product_id, user_id, ascii_only):
    fields = {
        "event_id": event_id,
        "user_id": user_id,
        "product_id": product_id,
        "event_type": "view",
        "event_timestamp": "2026-03-01T10:00:00Z",
        "event_data": {"note": product_id},
        "unknown": {"note": event_id},
    }
    value = json.dumps(fields, ensure_ascii=ascii_only)
    (row,) = decoded_messages(USER_EVENTS, (user_id.encode(), value.encode()))
    assert (row["event_id"], row["user_id"], row["product_id"]) == (event_id, user_id, product_id)
    assert row["event_data"] == json.dumps({"note": product_id}, ensure_ascii=ascii_only)
    assert json.loads(row["extra"]) == {"unknown": {"note": event_id}}


YEAR_10000 = 253_402_300_800_000


@pytest.mark.parametrize("milliseconds", [YEAR_10000 - 1, YEAR_10000, 2**63 - 1])
def test_a_kafka_timestamp_past_the_year_9999_stops_nothing(milliseconds):
    last = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    event, broken = decoded(
        USER_EVENTS, batch([(b"u1", PURCHASE), (b"u1", b"{")], [milliseconds] * 2)
    )
    (deleted,) = decoded(PRODUCT_METADATA, batch([(b"P1", None)], [milliseconds]))
    assert (event["event_id"], event["kafka_timestamp"]) == ("e1", last)
    assert (broken["error_class"], broken["kafka_timestamp"]) == ("MALFORMED_JSON", last)
    assert (deleted["updated_at"], deleted["kafka_timestamp"]) == (last, last)


@pytest.mark.parametrize("milliseconds", [-1, -62_135_596_800_001, -(2**63)])
def test_a_kafka_timestamp_before_1970_makes_any_event_too_late(milliseconds):
    (event,) = decoded(USER_EVENTS, batch([(b"u1", PURCHASE)], [milliseconds]))
    assert event["error_class"] == "TIMESTAMP_OUT_OF_RANGE"
