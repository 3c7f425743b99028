import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from shop import RAW_USER_EVENTS, STG_USER_EVENTS

from lakehouse.errors import LakehouseError
from lakehouse.ingest.acceptance import NOTHING, Acceptance, NamedGap, NamedTopic
from lakehouse.ingest.starting_offsets import Plan, accept, plan
from lakehouse.kafka.offsets import Origin
from lakehouse.kafka.topics import Topic
from lakehouse.tables.accepted import AcceptedTopic, Gap
from lakehouse.tables.bookmarks import Bookmark

HERE = Origin("cluster", "topic")
ANEW = Origin("cluster", "anew")
SINCE = datetime(2026, 3, 5, tzinfo=UTC)
ACCEPTED = AcceptedTopic(1, *ANEW, "the disk was full", SINCE)


def topic(earliest: dict, latest: dict, origin=HERE) -> Topic:
    return Topic("user-events", origin, earliest, latest)


def bookmarks(raw: dict, staging: dict, origin: Origin | None = HERE) -> dict:
    return {
        RAW_USER_EVENTS: Bookmark(raw, origin, 1),
        STG_USER_EVENTS: Bookmark(staging, origin, 2),
    }


def begin(held: Topic, tables: dict, gaps=(), topics=(), first_in_raw=None) -> tuple[dict, list]:
    found = plan(held, tables, gaps, topics, first_in_raw or {})
    assert found.replaced is None
    return found.offsets, found.gaps


def test_a_run_begins_where_the_table_ends_that_is_least_far():
    found = begin(topic({0: 0, 1: 0}, {0: 9, 1: 9}), bookmarks({0: 5, 1: 7}, {0: 6, 1: 2}))
    assert found == ({0: 5, 1: 2}, [])


def test_a_new_partition_begins_at_its_first_message():
    held = topic({0: 0, 1: 0}, {0: 9, 1: 9})
    assert begin(held, bookmarks({0: 5}, {0: 5})) == ({0: 5, 1: 0}, [])
    held = topic({0: 0, 1: 3}, {0: 9, 1: 9})
    assert begin(held, bookmarks({0: 5}, {0: 5})) == ({0: 5, 1: 3}, [Gap(1, 0, 3)])


def test_a_first_run_begins_at_the_oldest_message_that_kafka_holds():
    found = begin(topic({0: 40}, {0: 90}), bookmarks({}, {}, origin=None))
    assert found == ({0: 40}, [])


def test_a_first_run_that_was_interrupted_goes_on_with_the_first_message_in_raw():
    held, interrupted = topic({0: 40}, {0: 90}), bookmarks({0: 60}, {})
    assert begin(held, interrupted, first_in_raw={0: 40}) == ({0: 40}, [])
    with pytest.raises(LakehouseError, match=r"lacks user-events/0 offsets 30 to 39; Kafka"):
        begin(held, interrupted, first_in_raw={0: 30})


def test_what_retention_took_before_raw_took_it_in_is_a_gap():
    found = begin(topic({0: 40, 1: 3}, {0: 90, 1: 9}), bookmarks({0: 25, 1: 5}, {0: 30, 1: 5}))
    assert found == ({0: 40, 1: 5}, [Gap(0, 25, 40)])


@pytest.mark.parametrize(("raw", "last"), [(40, 39), (50, 39), (30, 29)])
def test_what_retention_took_from_a_table_but_not_from_raw_is_to_come_from_raw(raw, last):
    with pytest.raises(LakehouseError) as refused:
        begin(topic({0: 40}, {0: 90}), bookmarks({0: raw}, {0: 25}))
    assert str(refused.value) == (
        f"staging.stg_user_events lacks user-events/0 offsets 25 to {last}; Kafka no longer holds "
        "them, and raw does. Nothing was changed. Fill it from raw, then run this again: "
        "spark-submit jobs/replay.py --topic user-events"
    )


def test_a_gap_is_accepted_once():
    held = topic({0: 40}, {0: 40})
    assert begin(held, bookmarks({0: 25}, {0: 25}), [Gap(0, 25, 40)]) == ({0: 40}, [])
    assert begin(held, bookmarks({0: 25}, {0: 25}), [Gap(0, 25, 30)])[1] == [Gap(0, 30, 40)]
    apart = [Gap(0, 25, 30), Gap(0, 30, 40)]
    assert begin(held, bookmarks({0: 25}, {0: 25}), apart) == ({0: 40}, [])


def test_an_accepted_gap_excuses_nothing_before_it():
    held, gap = topic({0: 40}, {0: 90}), [Gap(0, 25, 40)]
    assert begin(held, bookmarks({0: 60}, {0: 25}), gap) == ({0: 40}, [])
    with pytest.raises(LakehouseError, match="offsets 10 to 39; Kafka no longer"):
        begin(held, bookmarks({0: 60}, {0: 10}), gap)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (topic({0: 0}, {0: 4}), "user-events/0 ends at offset 4 in Kafka"),
        (topic({1: 0}, {1: 9}), "user-events/0 ends at offset 0 in Kafka"),
    ],
    ids=["fewer messages", "fewer partitions"],
)
def test_a_topic_that_lost_what_was_taken_in_is_refused(held, message):
    with pytest.raises(LakehouseError, match=message):
        plan(held, bookmarks({0: 5}, {0: 5}), [], [], {})


def test_a_topic_made_anew_begins_at_its_own_beginning_with_partitions_of_its_own():
    held = topic({0: 3, 1: 0}, {0: 4, 1: 9}, ANEW)
    found = plan(held, bookmarks({0: 5}, {0: 5}), [], [], {})
    assert (found.offsets, found.gaps) == ({1_000_000: 3, 1_000_001: 0}, [])
    assert (found.replaced, found.taken, found.topic.generation) == (HERE, {0: 5}, 1)


def test_an_accepted_topic_goes_on_where_the_tables_end_whatever_their_bookmarks_say():
    held = topic({0: 0, 1: 0}, {0: 4, 1: 9}, ANEW)
    assert begin(held, bookmarks({0: 5}, {0: 5}), topics=[ACCEPTED]) == (
        {1_000_000: 0, 1_000_001: 0},
        [],
    )
    both = {0: 5, 1_000_000: 2, 1_000_001: 9}
    assert begin(held, bookmarks(both, both, ANEW), topics=[ACCEPTED]) == (
        {1_000_000: 2, 1_000_001: 9},
        [],
    )


def test_retention_in_an_accepted_topic_is_a_gap_of_its_own_partitions():
    tables = bookmarks({0: 5, 1_000_000: 2}, {0: 5, 1_000_000: 2}, ANEW)
    assert begin(topic({0: 3}, {0: 4}, ANEW), tables, topics=[ACCEPTED]) == (
        {1_000_000: 3},
        [Gap(1_000_000, 2, 3)],
    )


def test_what_a_table_lacks_of_a_topic_that_is_gone_is_to_come_from_raw():
    held = topic({0: 0}, {0: 4}, ANEW)
    for topics in ([], [ACCEPTED]):
        with pytest.raises(LakehouseError, match="lacks user-events/0 offsets 2 to 4; Kafka"):
            plan(held, bookmarks({0: 5}, {0: 2}), [], topics, {})


def test_what_raw_lacks_of_a_topic_that_is_gone_is_a_gap():
    held = topic({0: 0}, {0: 4}, ANEW)
    assert plan(held, bookmarks({0: 2}, {0: 5}), [], [], {}).gaps == [Gap(0, 2, 5)]


def test_the_first_topic_is_another_again_once_a_second_was_accepted():
    found = plan(topic({0: 0}, {0: 9}), bookmarks({0: 5}, {0: 5}), [], [ACCEPTED], {})
    assert (found.replaced, found.offsets) == (ANEW, {2_000_000: 0})


def test_a_generation_that_the_list_of_accepted_topics_lost_is_refused():
    held = topic({0: 0}, {0: 4}, ANEW)
    with pytest.raises(LakehouseError) as refused:
        plan(held, bookmarks({1_000_000: 2}, {}, ANEW), [], [], {})
    assert str(refused.value) == (
        "raw.user_events holds generation 1 of user-events, which ops.accepted_topics does not "
        "list. Nothing was changed. Bring the rows of ops.accepted_topics back, for example with "
        "CALL lake.system.set_current_snapshot"
    )


def refusal(*plans: Plan, acceptance: Acceptance = NOTHING, **known: list) -> str:
    with pytest.raises(LakehouseError) as refused:
        accept(None, plans, acceptance, **known)
    return str(refused.value)


LOST = Plan(topic({0: 40}, {0: 90}), {0: 40}, [Gap(0, 25, 40)], None, {}, {})
UNCHANGED = Plan(topic({0: 0}, {0: 9}), {0: 5}, [], None, {0: 5}, {})
MADE_ANEW = Plan(replace(topic({}, {}, ANEW), generation=1), {}, [], HERE, {0: 5, 1: 7}, {})


def test_a_gap_that_nobody_has_accepted_is_refused_with_the_command_that_accepts_it():
    assert refusal(LOST) == (
        "Kafka no longer holds messages that were not yet taken in: user-events/0:25-39. Nothing "
        "was changed. If they cannot be restored, go on without them: spark-submit jobs/ingest.py "
        '--accept-gap user-events/0:25-39 --why "..."; each audit will show them'
    )


@pytest.mark.parametrize(
    "named", ["user-events/0:25-38", "user-events/0:25-40", "user-events/1:25-39"]
)
def test_an_acceptance_of_another_range_than_is_missing_is_refused(named):
    acceptance = Acceptance(gaps=(NamedGap.of(named),), why="yesterday's reason")
    assert refusal(LOST, acceptance=acceptance) == refusal(LOST)
    both = Acceptance(gaps=(NamedGap.of(named), NamedGap("user-events", 0, 25, 39)), why="why")
    assert refusal(LOST, acceptance=both) == refusal(LOST)
    assert refusal(UNCHANGED, acceptance=acceptance) == (
        f"--accept-gap names {named}, and Kafka has lost nothing. Nothing was changed. Leave it out"
    )


def test_a_topic_made_anew_that_nobody_has_accepted_is_refused_with_the_command_for_it():
    assert refusal(MADE_ANEW) == (
        "The topic user-events was deleted and made anew: its id was topic and is anew; the tables "
        "have user-events/0 before offset 5, user-events/1 before offset 7. What the old one held "
        "beyond that is not in the tables. Nothing was changed. Go on from the beginning of the "
        "new one: spark-submit jobs/ingest.py --accept-new-topic user-events:1:anew --why "
        '"..."; each audit will show it'
    )


def test_a_log_that_has_another_message_counts_as_another_topic():
    found = plan(topic({0: 0}, {0: 9}), bookmarks({0: 5}, {0: 5}), [], [], {}, [(0, 4)])
    assert (found.replaced, found.topic.generation, found.offsets) == (HERE, 1, {1_000_000: 0})
    assert refusal(found) == (
        "Kafka has another message than was taken in from there at user-events/0 offset 4, as "
        "after an unclean leader election or on a broker restored from an older copy; the tables "
        "have user-events/0 before offset 5. What the old one held beyond that is not in the "
        "tables. Nothing was changed. Restore the log that was there; or, if this one is to stay, "
        "go on from the beginning of the new one: spark-submit jobs/ingest.py --accept-new-topic "
        'user-events:1:topic --why "..."; each audit will show it'
    )
    # Once more, after that was accepted.
    accepted = [AcceptedTopic(1, *HERE, "why", SINCE)]
    again = plan(topic({0: 0}, {0: 9}), bookmarks({0: 5}, {0: 5}), [], accepted, {}, [(0, 4)])
    assert "--accept-new-topic user-events:2:topic --why" in refusal(again)


@pytest.mark.parametrize("named", ["user-events:1:older", "user-events:2:anew"])
def test_an_acceptance_of_another_topic_than_is_there_is_refused(named):
    acceptance = Acceptance(topics=(NamedTopic.of(named),), why="yesterday's reason")
    assert refusal(MADE_ANEW, acceptance=acceptance) == refusal(MADE_ANEW)
    assert refusal(UNCHANGED, acceptance=acceptance) == (
        f"--accept-new-topic names {named}, and no topic is another than before. Nothing was "
        "changed. Leave it out"
    )


def test_another_cluster_without_a_reason_is_refused_with_both_ways_on():
    held = replace(topic({}, {}, Origin("other", "topic")), generation=1)
    assert refusal(Plan(held, {}, [], HERE, {0: 5}, {})) == (
        "user-events was taken in from the Kafka cluster cluster and this is other; the tables "
        "have user-events/0 before offset 5. What the old one held beyond that is not in the "
        "tables. Nothing was changed. Correct KAFKA_BOOTSTRAP_SERVERS; or, if the topic has moved "
        "to this cluster, go on from the beginning of the new one: spark-submit jobs/ingest.py "
        '--accept-new-topic user-events:1:topic --why "..."; each audit will show it'
    )


def test_a_command_that_stays_in_a_crontab_accepts_what_it_names_once(caplog, monkeypatch):
    """Whatever is lost later is refused, though the same command is run."""
    monkeypatch.setattr(logging.getLogger("lakehouse"), "propagate", True)
    gap, name = NamedGap("user-events", 0, 25, 39), NamedTopic("user-events", 1, "anew")
    acceptance = Acceptance((gap,), (name,), "once")
    known = {"known_gaps": [gap], "known_topics": [name]}
    accept(None, [UNCHANGED], acceptance, **known)
    assert caplog.messages == [
        "--accept-new-topic: accepted before; nothing was accepted now",
        "--accept-gap: accepted before; nothing was accepted now",
    ]
    later = Plan(topic({0: 60}, {0: 90}), {0: 60}, [Gap(0, 50, 60)], None, {}, {})
    assert refusal(later, acceptance=acceptance, **known) == refusal(later)


@pytest.mark.parametrize("text", ["user-events/0", "user-events/0:5", "why not", "a/b:1-2"])
def test_an_acceptance_that_names_no_range_is_refused(text):
    with pytest.raises(ValueError, match="is not TOPIC/PARTITION:FIRST-LAST"):
        NamedGap.of(text)
