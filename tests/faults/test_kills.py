"""A writer that is killed, or sleeps, at the moments at which something could be half done."""

import re

import pytest
from broker import EVENT
from kills import Ingest

PRODUCT = '{"product_id":"P1","name":"Lamp","updated_at":"2026-03-01T00:00:00Z"}'
STAGING = "staging.stg_user_events"
MOMENTS = {
    "before the offsets are planned": lambda run: run.has_lock(),
    "while files of staging are written": lambda run: run.has_files(
        "warehouse/staging/stg_user_events"
    ),
    "between raw and staging": lambda run: run.commits("raw.user_events") >= 1,
    "between staging and the dead letters": lambda run: run.commits(STAGING) >= 1,
    "after the last commit": lambda run: run.commits("ops.dead_letters") >= 2,
}


@pytest.fixture
def filled(shared_lakehouse, request):
    """With eight messages more: four events of which one comes again, one with other content, and
    one bad one; a product. Afterwards each of them is there once."""
    lakehouse = shared_lakehouse
    lakehouse.create_tables()
    before = counts(lakehouse)
    name = request.node.name
    events = [EVENT.format(id=f"{name}-{number}") for number in range(4)]
    lakehouse.produce(*events, events[0], events[1].replace("view", "add_to_cart"), "bad", key="u")
    lakehouse.produce(PRODUCT, topic="product-metadata", key="P1")
    yield lakehouse
    audit = lakehouse.audit()
    assert audit.findings == []
    added = [now - then for now, then in zip(counts(lakehouse), before, strict=True)]
    assert added == [7, 4, 1, 2, 1]


def counts(lakehouse) -> list[int]:
    return [
        lakehouse.count("raw.user_events"),
        lakehouse.count(STAGING),
        lakehouse.count("ops.duplicates"),
        lakehouse.count("ops.dead_letters"),
        lakehouse.count("staging.stg_product_metadata"),
    ]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_ingest_that_was_killed_is_finished_by_the_next(filled, moment):
    run = Ingest(filled)
    assert run.reach(MOMENTS[moment]), run.job.printed
    run.kill()
    filled.ingest_when_free()


def test_a_writer_that_sleeps_through_a_takeover_commits_nothing_when_it_wakes(filled):
    sleeper = Ingest(filled)
    assert sleeper.reach(lambda run: run.commits("raw.user_events") >= 1)
    sleeper.pause()
    filled.ingest_when_free()
    after_takeover = filled.snapshots()
    sleeper.resume()
    assert sleeper.job.returncode == 1, sleeper.job.printed
    assert re.search("error: .*(lost|taken over)", sleeper.job.printed)
    assert filled.snapshots() == after_takeover
