"""A writer that is killed, or sleeps, at the moments at which something could be half done."""

import re

import pytest
from kills import Ingest

EVENT = (
    '{{"event_id":"{id}","user_id":"u","product_id":"P1","event_type":"view",'
    '"event_timestamp":"2026-03-05T10:00:00Z","event_data":{{}}}}'
)
PRODUCT = '{"product_id":"P1","name":"Lamp","updated_at":"2026-03-01T00:00:00Z"}'
STAGING = "staging.stg_user_events"
# Commits of an append, in their order.
BRANCH_MADE, ROWS_ON_BRANCH, MAIN_MOVED, BRANCH_REMOVED = 1, 2, 3, 4
MOMENTS = {
    "before the offsets are planned": lambda run: run.has_lock(),
    "while files of staging are written": lambda run: run.has_files(
        "warehouse/staging/stg_user_events"
    ),
    "when staging's rows are on a branch": lambda run: run.commits(STAGING) >= ROWS_ON_BRANCH,
    "between raw and staging": lambda run: run.commits("raw.user_events") >= MAIN_MOVED,
    "between staging and the dead letters": lambda run: run.commits(STAGING) >= MAIN_MOVED,
    "after the last commit": lambda run: run.commits("ops.dead_letters") >= 2 * MAIN_MOVED,
}


def fill(lakehouse) -> None:
    """Four events of which one comes twice, one with other content, and one bad one; a product."""
    events = [EVENT.format(id=number) for number in range(4)]
    lakehouse.produce(*events, events[0], events[1].replace("view", "add_to_cart"), "bad", key="u")
    lakehouse.produce(PRODUCT, topic="product-metadata", key="P1")


def assert_all_are_there_once(lakehouse) -> None:
    assert lakehouse.audit().verdict == "conserved: 8 messages, each exactly once"
    assert lakehouse.count(STAGING) == 4
    assert lakehouse.count("ops.duplicates") == 1
    assert lakehouse.count("ops.dead_letters") == 2
    assert lakehouse.count("staging.stg_product_metadata") == 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_ingest_that_was_killed_is_finished_by_the_next(lakehouse, moment):
    lakehouse.create_tables()
    fill(lakehouse)
    run = Ingest(lakehouse)
    assert run.reach(MOMENTS[moment]), run.job.printed
    run.kill()
    lakehouse.ingest_when_free()
    assert_all_are_there_once(lakehouse)


def test_a_writer_that_sleeps_through_a_takeover_commits_nothing_when_it_wakes(lakehouse):
    lakehouse.create_tables()
    fill(lakehouse)
    sleeper = Ingest(lakehouse)
    assert sleeper.reach(lambda run: run.commits(STAGING) >= BRANCH_MADE)
    sleeper.pause()
    lakehouse.ingest_when_free()
    after_takeover = lakehouse.snapshots()
    sleeper.resume()
    assert sleeper.job.returncode == 1, sleeper.job.printed
    assert re.search("error: .*(lost|taken over)", sleeper.job.printed)
    assert lakehouse.snapshots() == after_takeover
    assert_all_are_there_once(lakehouse)
