"""Conditions and frames over 1,000 partitions, against plain Python: none is too deep for Spark."""

from datetime import UTC, date, datetime
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from shop import STG_USER_EVENTS

from lakehouse.audit.conservation import (
    DEAD,
    DUPLICATE,
    KAFKA,
    PLACES,
    RAW,
    STAGED,
    Bounds,
    patterns,
)
from lakehouse.audit.observed_offsets import past
from lakehouse.dead_letters.browse import Position, Selection
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages import offset_chunks as chunks
from lakehouse.messages.offset_chunks import patterns_of, seen
from lakehouse.messages.offset_conditions import is_any_of
from lakehouse.messages.offset_sets import held_of, is_among
from lakehouse.replay.slices import Asked, Slice
from lakehouse.tables.accepted import Gap

PARTITIONS = 1000
MESSAGES = 30
DAY = date(2026, 3, 1)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
random = Random(7)
# Of each partition another range; the last ones are those of a topic that was made anew.
RANGES = {
    p if p < 900 else 1_000_000 + p: range(first := random.randrange(MESSAGES), first + 5)
    for p in range(PARTITIONS)
}
OFFSETS = tuple(OffsetRange(p, each[0], each[-1] + 1) for p, each in RANGES.items())
ROWS = {(p, offset) for p in (*RANGES, 950, 5_000_000) for offset in range(MESSAGES)}
EXPECTED = {(p, offset) for p, offset in ROWS if offset in RANGES.get(p, ())}


@pytest.fixture(scope="module")
def messages(spark):
    """Each of ROWS, and one row without coordinates."""
    rows = pa.table(
        {
            "topic": ["user-events"] * (len(ROWS) + 1),
            "partition": pa.array([*(p for p, _ in ROWS), None], pa.int32()),
            "offset": pa.array([*(o for _, o in ROWS), None], pa.int64()),
            "kafka_timestamp": [AT] * (len(ROWS) + 1),
        }
    )
    return spark.createDataFrame(rows).persist()


def positions(frame) -> set[tuple[int | None, int | None]]:
    columns = (column.to_pylist() for column in frame.select("partition", "offset").toArrow())
    return set(zip(*columns, strict=True))


def test_a_slice_of_1_000_partitions_holds_its_ranges_alone(messages):
    part = Slice(DAY, DAY, OFFSETS, len(EXPECTED))
    assert positions(part.of(messages)) == EXPECTED
    assert positions(messages.where(part.is_at("partition", "offset"))) == EXPECTED


def test_1_000_ranges_that_are_asked_for_can_be_left_out_as_well(messages):
    asked = Asked((DAY, DAY), OFFSETS)
    assert positions(messages.where(asked.condition)) == EXPECTED
    # Also the row without coordinates: a condition that is null would lose it both ways.
    assert positions(messages.where(~asked.condition)) == (ROWS - EXPECTED) | {(None, None)}


def test_several_ranges_of_a_partition_and_none_at_all_hold(messages):
    ranges = [*OFFSETS, OffsetRange(3, 0, 2), OffsetRange(3, 28, 29)]
    extra = {(3, offset) for offset in (0, 1, 28)}
    assert positions(messages.where(is_any_of(ranges))) == EXPECTED | extra
    assert positions(messages.where(is_any_of([]))) == set()


def test_rows_past_1_000_ends_are_those_of_plain_python(messages):
    ends = {p: each[0] for p, each in RANGES.items()}
    rows = messages.withColumnsRenamed({"partition": "kafka_partition", "offset": "kafka_offset"})
    found = past(ends, rows, STG_USER_EVENTS).toDF("topic", "partition", "offset", "at")
    expected = {(p, offset) for p, offset in ROWS if offset >= ends.get(p, 0)}
    assert positions(found) == expected | {(None, None)}


def test_1_000_dead_letters_are_found_by_their_ids(messages):
    chosen = random.sample(sorted(ROWS), 1000)
    ids = tuple(Position("user-events", *each) for each in chosen)
    assert positions(Selection(positions=ids).of(messages)) == set(chosen)


def test_positions_are_looked_up_in_the_partitions_that_are_there(messages):
    held = held_of([messages.where(is_any_of(OFFSETS)).select("partition", "offset")])
    rows = sorted(ROWS)
    partitions, offsets = (pa.array(each) for each in zip(*rows, strict=True))
    assert is_among(held, partitions, offsets).tolist() == [row in EXPECTED for row in rows]
    assert is_among(held, partitions[:0], offsets[:0]).tolist() == []
    assert held_of([messages.where("false").select("partition", "offset")]) == {}


def test_patterns_of_1_000_partitions_are_those_of_plain_python(spark):
    """Some offsets lie in places at random, up to three times, below zero and in far chunks too."""
    frontiers = {place: {} for place in (RAW, STAGED, DEAD, DUPLICATE)}
    gaps, rows = [], []
    for partition in RANGES:
        start = random.choice([0, -1, 65_530, 2**40])
        for end in frontiers.values():
            end[partition] = start + random.randrange(12)
        gaps.append(Gap(partition, start + 2, start + 4, "lost"))
        rows += [
            (partition, start + random.randrange(12), place)
            for place in (KAFKA, RAW, STAGED)
            for _ in range(6)
        ]
    bounds = Bounds(frontiers, gaps)
    frame = spark.createDataFrame(rows, "partition INT, offset BIGINT, place STRING")
    found = {
        (row.partition, *(row[place] for place in PLACES), row.offsets, row.first, row.last)
        for row in patterns(frame.repartition(5), bounds).collect()
    }
    assert found == patterns_in_python(rows, frontiers, gaps)


def patterns_in_python(rows, frontiers, gaps) -> set[tuple]:
    times: dict[tuple[int, int], dict[str, int]] = {}
    for partition, offset, place in rows:
        counts = times.setdefault((partition, offset), dict.fromkeys(PLACES, 0))
        counts[place] = min(2, counts[place] + 1)
    groups: dict[tuple, list[int]] = {}
    for (partition, offset), counts in times.items():
        edges = {0, *(ends[partition] for ends in frontiers.values())}
        edges |= {edge for g in gaps if g.partition == partition for edge in (g.start, g.end)}
        side = tuple(offset >= edge for edge in sorted(edges))
        groups.setdefault((partition, side, *counts.values()), []).append(offset)
    return {
        (partition, *counts, len(offsets), min(offsets), max(offsets))
        for (partition, _, *counts), offsets in groups.items()
    }


def test_more_chunks_than_a_task_holds_are_counted_all_the_same(monkeypatch):
    monkeypatch.setattr(chunks, "COUNTERS", 2)
    offsets = [number * 2**20 + 7 for number in range(5)] * 2
    batch = pa.RecordBatch.from_arrays([pa.array([0] * 10, pa.int32()), offsets], ["p", "o"])
    found = pa.Table.from_batches(seen([batch], RAW))
    assert len(found) >= 5
    for number in range(5):
        rows = found.filter(pc.equal(found["chunk"], number * 16))
        (pattern,) = patterns_of(PLACES, {})(rows).to_pylist()
        assert (pattern["raw"], pattern["offsets"]) == (2, 1)
        assert pattern["first"] == pattern["last"] == number * 2**20 + 7


@pytest.mark.parametrize("count", [1, 4095, 4096, 65_536])
def test_a_full_chunk_and_a_scattered_one_are_packed_without_loss(count):
    """As a list of numbers or as a bitmap; the last quarter of the offsets comes again."""
    offsets = random.sample(range(65_536), count)
    twice = offsets[: count // 4]
    batches = [
        pa.RecordBatch.from_arrays([pa.array([3] * len(each), pa.int32()), each], ["p", "o"])
        for each in (offsets, twice)
    ]
    found = pa.Table.from_batches(seen(iter(batches), STAGED))
    patterns = patterns_of(PLACES, {3: {0}})(found).to_pylist()
    expected = {1: sorted(set(offsets) - set(twice)), 2: sorted(twice)}
    assert {p["staged"]: (p["offsets"], p["first"], p["last"]) for p in patterns} == {
        times: (len(each), each[0], each[-1]) for times, each in expected.items() if each
    }
