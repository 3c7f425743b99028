"""Rows -> the partitions that Iceberg would put them in; positions; parts of ranges."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import hostile
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from lakehouse.iceberg.data_file import partition_value
from lakehouse.iceberg.file_writer import FileWriter
from lakehouse.iceberg.storage import object_key
from lakehouse.iceberg.write_target import FIELD_ID, PartitionField, _with_ids
from lakehouse.ingest.task import MESSAGES_PER_TASK, TaskResult, _parts, _without_gaps, first_of
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages.duplicates import event_keys
from lakehouse.messages.offset_sets import is_among

SCHEMA = pa.schema([pa.field("user_id", pa.string()), pa.field("at", pa.timestamp("us", tz="UTC"))])
BY_DAY_AND_USER = (
    PartitionField("at_day", "at", "day", None),
    PartitionField("user_id_bucket", "user_id", "bucket", 4),
)
LATE, EARLY = datetime(2026, 3, 1, 23, 59, 59, 999999, UTC), datetime(2026, 3, 2, tzinfo=UTC)
HOSTILE = [*hostile.TEXTS, "", None]


@pytest.fixture
def layout(tmp_path: Path) -> SimpleNamespace:
    """As write_target has it, on this machine's own files."""
    store = fs.LocalFileSystem()
    (tmp_path / "t" / "data").mkdir(parents=True)

    class Folders:
        """A store has no folders to be made first."""

        def open_output_stream(self, path: str):
            store.create_dir(str(Path("/", path).parent))
            return store.open_output_stream("/" + path)

    return SimpleNamespace(
        folder=f"s3:/{tmp_path}/t/data",
        schema=SCHEMA,
        partitions=BY_DAY_AND_USER,
        columns={},
        filesystem=Folders,
    )


def test_rows_go_to_the_files_of_their_partitions(layout):
    """Iceberg's specification has the hash of "iceberg", 1210000089, which is 1 modulo 4."""
    writer = FileWriter(layout)
    writer.add([pa.array(["iceberg", None]), pa.array([LATE, LATE], SCHEMA.types[1])])
    writer.add([pa.array(["iceberg", "iceberg"]), pa.array([EARLY, LATE], SCHEMA.types[1])])
    files = {file.partition: file for file in writer.close()}
    rows = {partition: file.rows for partition, file in files.items()}
    assert rows == {("2026-03-01", 1): 2, ("2026-03-01", None): 1, ("2026-03-02", 1): 1}
    guests = files["2026-03-01", None]
    path = Path("/", guests.path.removeprefix("s3:/"))
    assert path.stat().st_size == guests.size
    assert pq.read_table(path).to_pylist() == [{"user_id": None, "at": LATE}]


class RecordingStore:
    """Keeps each object, and how often its key was opened for writing."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.objects: dict[str, BytesIO] = {}

    def open_output_stream(self, key: str) -> "RecordingStore._Stream":
        self.written[key] += 1
        self.objects[key] = self._Stream()
        return self.objects[key]

    class _Stream(BytesIO):
        def close(self) -> None:
            """What was written can be looked at."""


@pytest.mark.parametrize(
    "transform", [("identity", None), ("truncate", 8), ("truncate", 1000), ("bucket", 4)]
)
def test_no_key_is_written_twice_whatever_the_values_of_a_partition_are(transform):
    store = RecordingStore()
    layout = SimpleNamespace(
        folder="s3://bucket/warehouse/table/data",
        schema=SCHEMA,
        partitions=(PartitionField("user", "user_id", *transform),),
        columns={},
        filesystem=lambda: store,
    )
    files = []
    for _ in range(2):
        writer = FileWriter(layout)
        writer.add([pa.array(HOSTILE), pa.array([LATE] * len(HOSTILE), SCHEMA.types[1])])
        files += writer.close()
    assert set(store.written.values()) == {1}
    assert [f"s3://{key}" for key in store.written] == [file.path for file in files]
    assert max(len(key.encode()) for key in store.written) < 200
    rows = Counter(
        user
        for file in files
        for user in pq.read_table(BytesIO(store.objects[file.path[5:]].getvalue()))[
            "user_id"
        ].to_pylist()
    )
    assert rows == Counter(HOSTILE * 2)


def test_the_key_of_a_location_is_all_that_follows_the_scheme():
    assert object_key("s3://bucket/wh/a#b?c/%2F/../d e//f.parquet") == (
        "bucket/wh/a#b?c/%2F/../d e//f.parquet"
    )
    assert object_key("s3a://bucket/key") == "bucket/key"


def test_values_of_partitions_are_written_as_icebergs_specification_has_them():
    for value, expected in (
        (None, None),
        ("", ""),
        ("a#b", "a#b"),
        (True, True),
        (-1, -1),
        (date(1, 2, 3), "0001-02-03"),
        (LATE, "2026-03-01T23:59:59.999999+00:00"),
        (Decimal("12.900000"), "12.900000"),
        (Decimal("0E-6"), "0.000000"),
        (Decimal("-0.000001"), "-0.000001"),
        (b"\xff\x00#", "FF0023"),
        (b"", ""),
    ):
        assert partition_value(value) == expected


def test_each_row_group_says_where_it_begins(layout, monkeypatch):
    monkeypatch.setattr("lakehouse.iceberg.file_writer.BUFFER_BYTES", 0)
    writer = FileWriter(layout)
    for _ in range(3):
        writer.add([pa.array(["iceberg"]), pa.array([LATE], SCHEMA.types[1])])
    (file,) = writer.close()
    assert (file.rows, len(file.split_offsets), file.split_offsets[0]) == (3, 3, 4)
    assert sorted(file.split_offsets) == list(file.split_offsets)


def test_files_that_would_take_too_much_memory_are_closed_and_others_begun(layout, monkeypatch):
    monkeypatch.setattr("lakehouse.iceberg.file_writer.BUFFER_BYTES", 0)
    monkeypatch.setattr("lakehouse.iceberg.file_writer.OPEN_BYTES", 0)
    writer = FileWriter(layout)
    days = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2)]
    for _ in range(3):
        writer.add([pa.array(["iceberg"] * 2), pa.array(days, SCHEMA.types[1])])
    files = [(file.partition[0], file.rows) for file in writer.close()]
    assert sorted(files) == 3 * [("2026-03-01", 1)] + 3 * [("2026-03-02", 1)]


def test_beyond_so_many_open_files_small_partitions_share_one(layout, monkeypatch):
    monkeypatch.setattr("lakehouse.iceberg.file_writer.BUFFER_BYTES", 0)
    monkeypatch.setattr("lakehouse.iceberg.file_writer.OPEN_FILES", 2)
    monkeypatch.setattr("lakehouse.iceberg.spool.ROWS_OF_A_FILE", 4)
    writer = FileWriter(layout)
    for days in ((1,), (9, 8, 7), (6, 6, 6, 6, 8), (1, 9)):
        at = [datetime(2026, 3, day, tzinfo=UTC) for day in days]
        writer.add([pa.array(["iceberg"] * len(at)), pa.array(at, SCHEMA.types[1])])
    files = {file.partition: file for file in writer.close()}
    assert {partition: file.rows for partition, file in files.items()} == {
        ("2026-03-01", 1): 2,
        ("2026-03-06", 1): 4,
        None: 5,
    }
    shared = Path("/", files[None].path.removeprefix("s3:/"))
    days = [row["at"].day for row in pq.read_table(shared).to_pylist()]
    assert days == [7, 8, 8, 9, 9]


def test_a_field_has_the_ids_of_iceberg_and_so_has_what_it_holds():
    headers = pa.field("headers", pa.list_(pa.struct([("key", pa.string())])))
    inner = {"type": "struct", "fields": [{"id": 9, "name": "key", "type": "string"}]}
    known = {"id": 7, "type": {"type": "list", "element-id": 8, "element": inner}}
    found = _with_ids(headers, known)
    element = found.type.value_field
    assert [f.metadata[FIELD_ID] for f in (found, element, element.type[0])] == [b"7", b"8", b"9"]


def test_the_hash_of_an_id_is_that_of_spark(spark):
    ids = ["e1", "", "Ünïcode ☕", "x" * 100]
    rows = spark.createDataFrame([(each,) for each in ids], "id STRING")
    expected = [row[0] for row in rows.selectExpr("xxhash64(id)").collect()]
    assert event_keys(pa.array(ids)).tolist() == expected


def test_positions_are_told_apart_by_partition_and_offset():
    held = {0: np.array([5, 7]), 3: np.array([6]), 4: np.array([], np.int64)}
    partitions, offsets = pa.array([0, 0, 0, 3, 3, 1, 4]), pa.array([5, 6, 8, 6, 7, 5, 5])
    expected = [True, False, False, True, False, False, False]
    assert is_among(held, partitions, offsets).tolist() == expected


def test_few_messages_are_one_task_and_many_are_parted_evenly():
    assert _parts([OffsetRange(0, 5, 8), OffsetRange(1, 0, 4)], 2) == [
        [OffsetRange(0, 5, 8), OffsetRange(1, 0, 4)]
    ]
    n = MESSAGES_PER_TASK
    assert _parts([OffsetRange(0, 0, n), OffsetRange(1, 10, 10 + 3 * n)], 2) == [
        [OffsetRange(0, 0, n), OffsetRange(1, 10, 10 + n)],
        [OffsetRange(1, 10 + n, 10 + 3 * n)],
    ]


def taken(*ranges: OffsetRange) -> TaskResult:
    return TaskResult({}, 0, list(ranges), 0, 0, rejections=[], files={})


def test_what_was_read_beyond_a_task_that_ended_early_is_not_kept():
    asked = [OffsetRange(0, 0, 30), OffsetRange(1, 5, 9), OffsetRange(2, 7, 8)]
    early = taken(OffsetRange(0, 0, 9))
    beyond = taken(OffsetRange(0, 20, 30), OffsetRange(1, 5, 6))
    after_that = taken(OffsetRange(1, 6, 9), OffsetRange(2, 7, 8))
    elsewhere = taken(OffsetRange(2, 7, 8))
    found = [early, beyond, after_that]
    assert _without_gaps(asked, found) == ([early], {0: 9, 1: 5, 2: 7})
    assert _without_gaps(asked, [early, elsewhere]) == ([early, elsewhere], {0: 9, 1: 5, 2: 8})


def test_large_messages_are_asked_for_in_equal_shares_of_the_partitions(monkeypatch):
    monkeypatch.setattr("lakehouse.ingest.task.BYTES_PER_BATCH", 4000)
    asked = [OffsetRange(0, 10, 70), OffsetRange(1, 0, 20), OffsetRange(2, 5, 6)]
    assert first_of(asked, 0.0) == asked
    assert first_of(asked, 4000 / 81) == asked
    # 3,000 bytes of 8,100.
    assert first_of(asked, 100.0) == [
        OffsetRange(0, 10, 32),
        OffsetRange(1, 0, 7),
        OffsetRange(2, 5, 6),
    ]
