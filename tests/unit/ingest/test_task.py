"""What one task counts of the messages that it reads."""

from datetime import UTC, date, datetime

import pyarrow as pa
from altered import altered
from shop import USER_EVENTS
from xxhash import xxh64_intdigest

from lakehouse.ingest.task import keys_and_days


def test_ids_and_days_are_found_by_name_whatever_fields_are_declared_before_them():
    contract = altered(
        USER_EVENTS, {"columns": [pa.field("shop", pa.string()), *USER_EVENTS.columns]}
    )
    row = {"event_id": "e1", "event_timestamp": datetime(2026, 3, 5, 23, 59, tzinfo=UTC)}
    columns = [pa.array([row.get(field.name)], field.type) for field in contract.columns]
    keys, days = keys_and_days(contract, columns)
    assert keys.view("uint64").tolist() == [xxh64_intdigest(b"e1", 42)]
    assert days == {date(2026, 3, 5)}
