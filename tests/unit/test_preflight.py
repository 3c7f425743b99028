import pytest

from lakehouse.bookmarks import Bookmark, Origin
from lakehouse.errors import LakehouseError
from lakehouse.kafka import Topic
from lakehouse.preflight import Gap, accept, plan
from lakehouse.tables import RAW_USER_EVENTS, STG_USER_EVENTS

HERE = Origin("cluster", "topic")


def topic(earliest: dict, latest: dict, origin=HERE) -> Topic:
    return Topic("user-events", origin, earliest, latest)


def bookmarks(raw: dict, staging: dict, origin: Origin | None = HERE) -> dict:
    return {
        RAW_USER_EVENTS: Bookmark(raw, origin, 1),
        STG_USER_EVENTS: Bookmark(staging, origin, 2),
    }


def test_a_run_begins_where_the_table_ends_that_is_least_far():
    found = plan(topic({0: 0, 1: 0}, {0: 9, 1: 9}), bookmarks({0: 5, 1: 7}, {0: 6, 1: 2}), {})
    assert found == ({0: 5, 1: 2}, [])


def test_a_new_partition_begins_at_its_first_message():
    found = plan(topic({0: 0, 1: 0}, {0: 9, 1: 9}), bookmarks({0: 5}, {0: 5}), {})
    assert found == ({0: 5, 1: 0}, [])


def test_a_first_run_begins_at_the_oldest_message_that_kafka_holds():
    found = plan(topic({0: 40}, {0: 90}), bookmarks({}, {}, origin=None), {})
    assert found == ({0: 40}, [])


def test_what_retention_took_before_it_was_taken_in_is_a_gap():
    found = plan(topic({0: 40, 1: 3}, {0: 90, 1: 9}), bookmarks({0: 30, 1: 5}, {0: 25, 1: 5}), {})
    assert found == ({0: 40, 1: 5}, [Gap(0, 25, 40)])


def test_a_gap_is_accepted_once():
    held = topic({0: 40}, {0: 40})
    assert plan(held, bookmarks({0: 25}, {0: 25}), {0: 40}) == ({0: 40}, [])
    assert plan(held, bookmarks({0: 25}, {0: 25}), {0: 30}).gaps == [Gap(0, 30, 40)]


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (topic({0: 0}, {0: 9}, Origin("other", "topic")), "Correct KAFKA_BOOTSTRAP_SERVERS"),
        (topic({0: 0}, {0: 9}, Origin("cluster", "new")), "deleted and made anew: its id is new"),
        (topic({0: 0}, {0: 4}), "user-events/0 ends at offset 4 in Kafka"),
        (topic({1: 0}, {1: 9}), "user-events/0 ends at offset 0 in Kafka"),
    ],
    ids=["another cluster", "another topic", "fewer messages", "fewer partitions"],
)
def test_offsets_that_count_other_messages_are_refused(held, message):
    with pytest.raises(LakehouseError, match=message):
        plan(held, bookmarks({0: 5}, {0: 5}), {})


def test_a_gap_without_a_reason_is_refused_with_the_way_to_accept_it():
    with pytest.raises(LakehouseError, match=r"user-events/0 offsets 25 to 39.*--accept-gap"):
        accept(None, "user-events", [Gap(0, 25, 40)], None)
