from datetime import UTC, datetime

import pyarrow as pa

from lakehouse.contracts import USER_EVENTS
from lakehouse.decode import decode_batch

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
