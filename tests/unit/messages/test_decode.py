import gc
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from altered import altered
from shop import USER_EVENTS

from lakehouse.contracts import HEADERS
from lakehouse.messages.decode import decode_batch, judge, spare_worker

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


def raising(error: BaseException):
    """A parser that raises for one message."""

    def parse(value, key, kafka_timestamp):
        if value == b"poison":
            raise error
        return USER_EVENTS.parse(value, key, kafka_timestamp)

    return parse


@pytest.mark.parametrize(
    "error", [OverflowError("secret"), RecursionError(), KeyError("secret"), SystemError()]
)
def test_whatever_a_message_raises_is_its_own_verdict(error):
    contract = altered(USER_EVENTS, {"accept": None, "parse": raising(error)})
    batch = records(GOOD, b"poison", GOOD)
    rows = {row["kafka_offset"]: row for row in _rows(contract, batch)}
    assert [rows[7]["event_id"], rows[9]["event_id"]] == ["e1", "e1"]
    assert (rows[8]["error_class"], rows[8]["value"]) == ("UNEXPECTED", b"poison")
    detail = f"parse ({type(error).__name__}): an error that no rule foresees; please report it"
    assert rows[8]["error_detail"] == detail


@pytest.mark.parametrize("strange", [2**31, "no number", "\ud800"])
def test_a_row_that_arrow_does_not_take_is_a_dead_letter_beside_the_others(strange):
    def parse(value, key, kafka_timestamp):
        row = list(USER_EVENTS.parse(GOOD, key, kafka_timestamp))
        if value == b"poison":
            row[0 if strange == "\ud800" else 7] = strange
        return tuple(row)

    contract = altered(USER_EVENTS, {"accept": None, "parse": parse})
    for values in ((GOOD, b"poison", GOOD), (b"poison",)):
        rows = _rows(contract, records(*values))
        assert [row["kafka_offset"] for row in rows if row["error_class"] is None] == [
            7 + number for number, value in enumerate(values) if value == GOOD
        ]
        (letter,) = (row for row in rows if row["error_class"])
        assert (letter["error_class"], letter["value"]) == ("UNEXPECTED", b"poison")
        assert letter["error_detail"].startswith("convert (")


def test_a_batch_that_can_not_be_judged_as_a_whole_is_judged_one_by_one():
    def accept(_records):
        raise ValueError

    rows = _rows(altered(USER_EVENTS, {"accept": accept}), records(GOOD, b"{"))
    assert [row["error_class"] for row in rows] == [None, "MALFORMED_JSON"]


def _rows(contract, batch: pa.RecordBatch) -> list[dict]:
    return [row for rows in decode_batch(contract, batch) for row in rows.to_pylist()]


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


def test_a_process_that_runs_no_task_keeps_its_garbage_collector():
    spare_worker.cache_clear()
    spare_worker()
    assert gc.isenabled()
