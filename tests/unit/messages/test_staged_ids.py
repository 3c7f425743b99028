from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from lakehouse.iceberg.write_target import FIELD_ID
from lakehouse.messages.duplicates import MAX_RANGES, ranges_around, repeated_in
from lakehouse.messages.staged_ids import ROWS, Filter, matching, with_key

# Many with the same first bits, and both ends.
keys = st.lists(
    st.integers(-(2**63), 2**63 - 1) | st.integers(0, 30) | st.integers(-30, -1), max_size=40
)


def field(number: int, name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, metadata={FIELD_ID: str(number).encode()})


def key(event_id: str) -> int:
    number = xxh64_intdigest(event_id.encode(), 42)
    return number - 2**64 if number >= 2**63 else number


@given(keys, keys)
def test_keys_that_are_known_are_found_and_no_others(some, known):
    ordered = np.sort(np.array(known, np.int64))
    found = Filter(ordered).found(np.array(some, np.int64))
    assert found.tolist() == [number for number, each in enumerate(some) if each in set(known)]


@given(keys)
def test_a_key_that_is_there_more_than_once_is_named_once(some):
    expected = sorted({each for each in some if some.count(each) > 1})
    assert repeated_in(np.sort(np.array(some, np.int64))).tolist() == expected


days = st.sets(st.integers(0, 400), min_size=1, max_size=30)


@settings(max_examples=50)
@given(days, st.integers(0, 8))
def test_ranges_hold_the_days_around_and_no_others(numbers, horizon):
    first = date(2026, 1, 1)
    chosen = [first + timedelta(days=number) for number in numbers]
    ranges = ranges_around(chosen, timedelta(days=horizon))
    held = {
        start + timedelta(days=number)
        for start, end in ranges
        for number in range((end - start).days)
    }
    assert held == {
        day + timedelta(days=number) for day in chosen for number in range(-horizon, horizon + 1)
    }
    assert len(ranges) <= len(chosen) <= MAX_RANGES


def test_twenty_thousand_days_are_one_range():
    chosen = [date(1970, 1, 1) + timedelta(days=3 * number) for number in range(20_000)]
    assert ranges_around(chosen, timedelta(0)) == [(chosen[0], chosen[-1] + timedelta(days=1))]


def test_other_columns_are_read_of_row_groups_with_a_match_alone(tmp_path):
    """A file of before a column was added, and of when another had another name."""
    ids = [["a", "b"], ["c", None], ["d", "a"]]
    path = tmp_path / "events.parquet"
    schema = pa.schema([field(1, "event_id", pa.string()), field(3, "offset", pa.int32())])
    with pq.ParquetWriter(path, schema) as writer:
        for number, group in enumerate(ids):
            offsets = [10 * number, 10 * number + 1]
            writer.write_table(pa.table([group, offsets], schema=schema))
    wanted = pa.schema(
        [
            field(1, "event_id", pa.string()),
            field(3, "kafka_offset", pa.int64()),
            field(7, "offset", pa.string()),
        ]
    )
    file = pq.ParquetFile(path)
    read = []
    iter_batches = file.iter_batches

    def recorded(*arguments, row_groups, columns, **options):
        read.append((*row_groups, columns))
        return iter_batches(*arguments, row_groups=row_groups, columns=columns, **options)

    file.iter_batches = recorded
    known = np.sort(np.array([key("a"), key("x")]))
    rows = pa.Table.from_batches(
        matching(file, Filter(known), wanted, "event_id"), with_key(wanted)
    )
    assert rows.to_pylist() == [
        {"event_id": "a", "kafka_offset": 0, "offset": None, "event_key": key("a")},
        {"event_id": "a", "kafka_offset": 21, "offset": None, "event_key": key("a")},
    ]
    ids, both = ["event_id"], ["event_id", "offset"]
    assert read == [(0, ids), (0, both), (1, ids), (2, ids), (2, both)]


def test_matches_are_found_in_all_parts_of_a_large_row_group(tmp_path):
    path = tmp_path / "events.parquet"
    ids = [f"id-{number}" for number in range(3 * ROWS)]
    schema = pa.schema([field(1, "event_id", pa.string())])
    pq.write_table(pa.table([ids], schema), path)
    wanted = {"id-0", f"id-{ROWS - 1}", f"id-{ROWS}", f"id-{3 * ROWS - 1}"}
    known = np.sort(np.array([key(each) for each in wanted]))
    rows = pa.Table.from_batches(
        matching(pq.ParquetFile(path), Filter(known), schema, "event_id"), with_key(schema)
    )
    assert rows.to_pylist() == [
        {"event_id": each, "event_key": key(each)} for each in ids if each in wanted
    ]
