import pytest
from chispa import assert_df_equality

from lakehouse.audit.conservation import (
    DEAD,
    DUPLICATE,
    KAFKA,
    LEDGER,
    PLACES,
    RAW,
    REPEATED,
    REPLAYED,
    STAGED,
    Bounds,
    PartitionCount,
    Pattern,
    covered,
    patterns,
    problems,
)
from lakehouse.tables.accepted import Gap

# Raw and staging have come to offset 10 of partition 0, the dead letters to 8.
BOUNDS = Bounds({RAW: {0: 10}, STAGED: {0: 10}, DEAD: {0: 8}, DUPLICATE: {0: 10}})


def broken(*places: str, offset: int = 5, bounds: Bounds = BOUNDS) -> list[tuple[str, str]]:
    counts = {place: places.count(place) for place in PLACES}
    return [tuple(each) for each in problems(Pattern(0, offset, offset, 1, counts), bounds)]


def test_offsets_are_grouped_by_their_places_between_two_bounds(spark):
    places = [(0, offset, RAW) for offset in (0, 2, 9, 10)] + [(0, 2, STAGED)] * 3
    frame = spark.createDataFrame(places, "partition INT, offset BIGINT, place STRING")
    expected = spark.createDataFrame(
        [(0, 0, 0, 1, 1, 0), (0, 2, 2, 1, 1, 2), (0, 9, 9, 1, 1, 0), (0, 10, 10, 1, 1, 0)],
        "partition INT, first BIGINT, last BIGINT, offsets BIGINT, raw BIGINT, staged BIGINT",
    )
    found = patterns(frame, BOUNDS).select(expected.columns)
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_offsets_that_are_in_the_same_places_are_one_pattern(spark):
    places = [(0, offset, place) for offset in (1, 3, 7) for place in (KAFKA, RAW, STAGED)]
    frame = spark.createDataFrame(places, "partition INT, offset BIGINT, place STRING")
    (found,) = patterns(frame, BOUNDS).collect()
    assert (found.offsets, found.first, found.last) == (3, 1, 7)


@pytest.mark.parametrize(
    "places",
    [
        (KAFKA, RAW, STAGED),
        (RAW, STAGED),
        (RAW, DEAD),
        (RAW, DUPLICATE),
        (RAW, STAGED, REPLAYED),
        (RAW, DUPLICATE, REPEATED),
        (RAW, STAGED, LEDGER, LEDGER),
    ],
)
def test_a_message_that_is_once_in_raw_and_once_elsewhere_is_conserved(places):
    assert broken(*places) == []


@pytest.mark.parametrize(
    ("places", "rules"),
    [
        ((KAFKA,), [("not in raw", RAW)]),
        ((LEDGER,), [("acknowledged", RAW)]),
        ((STAGED,), [("not in raw", RAW)]),
        ((RAW,), [("unaccounted", STAGED)]),
        ((RAW, RAW, STAGED), [("twice", RAW)]),
        ((RAW, STAGED, STAGED), [("twice", STAGED)]),
        ((RAW, DUPLICATE, DUPLICATE), [("twice", DUPLICATE)]),
        ((RAW, DEAD, DEAD), [("twice", DEAD)]),
        ((RAW, STAGED, REPLAYED, DEAD), [("twice", DEAD), ("in two places", STAGED)]),
        ((RAW, STAGED, DEAD), [("in two places", STAGED)]),
        ((RAW, STAGED, DUPLICATE), [("in two places", STAGED)]),
        ((RAW, REPLAYED), [("settled, but not there", STAGED)]),
        ((RAW, REPEATED), [("settled, but not there", DUPLICATE)]),
    ],
)
def test_each_way_to_lose_or_double_a_message_breaks_a_rule(places, rules):
    assert broken(*places) == rules


@pytest.mark.parametrize("places", [(KAFKA,), (LEDGER,)])
def test_what_no_ingest_has_reached_is_not_missing(places):
    assert broken(*places, offset=10) == []


def test_what_an_interrupted_ingest_has_not_staged_is_not_lost():
    behind = Bounds({**BOUNDS.frontiers, STAGED: {0: 5}})
    assert broken(RAW, offset=5, bounds=behind) == []
    assert broken(RAW, offset=4, bounds=behind) == [("unaccounted", STAGED)]


def test_a_row_at_its_tables_bookmark_is_beyond_it():
    assert broken(RAW, STAGED, offset=10) == [
        ("beyond the bookmark", RAW),
        ("beyond the bookmark", STAGED),
    ]
    assert broken(RAW, DEAD, offset=8) == [("beyond the bookmark", DEAD)]
    ahead = Bounds({**BOUNDS.frontiers, DEAD: {0: 12}})
    assert broken(DEAD, offset=10, bounds=ahead) == [("ahead of raw", DEAD)]


def test_a_row_without_coordinates_is_of_no_message():
    assert broken(STAGED, offset=-1) == [("no coordinates", STAGED)]


def test_an_accepted_gap_explains_its_offsets_alone():
    gap = Bounds(BOUNDS.frontiers, [Gap(0, 3, 5, "a lost disk")])
    assert broken(KAFKA, LEDGER, offset=4, bounds=gap) == []
    assert broken(KAFKA, offset=5, bounds=gap) == [("not in raw", RAW)]


def test_overlapping_gaps_are_counted_once():
    assert covered([Gap(0, 8, 9, ""), Gap(0, 2, 6, ""), Gap(0, 4, 7, ""), Gap(0, 3, 4, "")]) == 6


def test_offsets_at_the_frontier_are_not_counted():
    partition = PartitionCount("user-events", 0, start=0, frontier=10)
    for first in (0, 10):
        partition.add(Pattern(0, first, first + 4, 5, {KAFKA: 1, RAW: 1, DEAD: 2}))
    assert (partition.delivered, partition.raw, partition.staged, partition.dead) == (5, 5, 0, 5)
