from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

import pyarrow as pa
import pytest

from lakehouse.contracts import HEADERS, USER_EVENTS
from lakehouse.decode import decode_batch, judge

GOOD = (
    b'{"event_id":"e1","user_id":"u1","product_id":"P1","event_type":"view",'
    b'"event_timestamp":"2026-03-01T08:00:00Z","event_data":{}}'
)
AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def records(*values: bytes | None) -> pa.RecordBatch:
    """As Spark's Kafka source hands them over, one partition, offsets from 7."""
    count = len(values)
    return pa.RecordBatch.from_pydict(
        {
            "key": pa.array([b"u1"] * count, pa.binary()),
            "value": pa.array(values, pa.binary()),
            "partition": pa.array([2] * count, pa.int32()),
            "offset": pa.array(range(7, 7 + count), pa.int64()),
            "timestamp": pa.array([AT] * count, pa.timestamp("us", tz="UTC")),
            "timestampType": pa.array([0] * count, pa.int32()),
            "headers": pa.array(['[{"key":"source","value":"YXBw"}]'] * count, pa.string()),
        }
    )


def decoded(batch: pa.RecordBatch) -> list[dict]:
    return [row for rows in decode_batch(USER_EVENTS, batch) for row in rows.to_pylist()]


def test_a_bad_message_becomes_a_dead_letter_beside_the_good_row():
    good, bad = decoded(records(GOOD, b"{"))

    assert good["event_id"] == "e1"
    assert good["event_timestamp"] == datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
    assert (good["kafka_partition"], good["kafka_offset"], good["kafka_timestamp"]) == (2, 7, AT)
    assert (good["value"], good["key"], good["error_class"]) == (GOOD, b"u1", None)

    assert bad["event_id"] is None
    assert (bad["kafka_offset"], bad["key"], bad["value"]) == (8, b"u1", b"{")
    assert bad["headers"] == '[{"key":"source","value":"YXBw"}]'
    assert bad["error_class"] == "MALFORMED_JSON"


def test_an_empty_batch_has_no_rows():
    assert decoded(records()) == []


def test_a_message_that_raises_what_nobody_thought_of_is_a_dead_letter_between_its_neighbours():
    """In the parser; in the quick way for many, which then counts for none; in Arrow."""

    def parse(value: bytes, key: bytes | None, at: datetime) -> tuple:
        row = USER_EVENTS.parse(GOOD, key, at)
        if value == b"deep":
            raise RecursionError("secret-4711")
        return (*row[:7], 2**40, *row[8:]) if value == b"large" else row

    def accept(batch: pa.RecordBatch) -> NoReturn:
        raise KeyError("secret-4711")

    contract = replace(USER_EVENTS, parse=parse, accept=accept)
    batch = records(GOOD, b"deep", b"large", GOOD)
    rows = [row for rows in decode_batch(contract, batch) for row in rows.to_pylist()]
    rows.sort(key=lambda row: row["kafka_offset"])
    assert [row["event_id"] for row in rows] == ["e1", None, None, "e1"]
    assert [row["value"] for row in rows] == [GOOD, b"deep", b"large", GOOD]
    assert {row["error_class"] for row in rows[1:3]} == {"UNEXPECTED"}
    rule = "could not be read, which is a defect of the reader: report it"
    assert rows[1]["error_detail"] == f"value (RecursionError): {rule}"
    assert "secret" not in str(rows)


@pytest.mark.parametrize("in_json", [False, True])
def test_headers_without_a_name_stand_for_those_that_cannot_be_read(in_json):
    headers = [[{"key": "k", "value": None}], [{"key": None, "value": None}], None]
    texts = pa.array(['[{"key":"k"}]', "[{}]", None], pa.string())
    column = texts if in_json else pa.array(headers, HEADERS)
    batch = records(GOOD, GOOD, GOOD)
    batch = batch.set_column(batch.schema.get_field_index("headers"), "headers", column)
    verdicts = {
        index: None if part.verdicts is None else part.verdicts[0][number].as_py()
        for part in judge(USER_EVENTS, batch)
        for number, index in enumerate(part.indices)
    }
    assert verdicts == {0: None, 1: "HEADERS_UNREADABLE", 2: None}
