"""What stays true when an ingest is interrupted, repeated or its tables are maintained."""

import shutil
from datetime import timedelta
from functools import partial

import broker
import pytest

from lakehouse import ingest as ingest_module
from lakehouse.errors import LakehouseError
from lakehouse.ingest import check_topics, ingest
from lakehouse.maintenance import compact, expire

pytestmark = pytest.mark.usefixtures("topics")
produce = partial(broker.produce, key="u")
EVENT = (
    '{{"event_id":"{id}","user_id":"u","product_id":"P1","event_type":"view",'
    '"event_timestamp":"2026-03-05T10:00:00Z","event_data":{{}}}}'
)


def places(query, prefix: str) -> tuple[int, int, int]:
    """Rows in raw, staging and the dead letters of the messages with an id of this prefix."""
    ((staged,),) = query(
        f"SELECT count(*) FROM staging.stg_user_events WHERE event_id LIKE '{prefix}%'"
    )
    ((dead,),) = query(
        f"SELECT count(*) FROM ops.dead_letters WHERE from_utf8(value) LIKE '%{prefix}-%'"
    )
    ((raw,),) = query(
        f"SELECT count(*) FROM raw.user_events WHERE from_utf8(value) LIKE '%{prefix}-%'"
    )
    return raw, staged, dead


def test_a_lost_checkpoint_costs_nothing(spark, settings, query):
    produce(settings, EVENT.format(id="lost-1"), "lost-2 is no JSON")
    ingest(spark, settings)
    shutil.rmtree(settings.checkpoint_location)
    again = ingest(spark, settings)[0].total
    assert again.read == again.seen > 0
    assert places(query, "lost") == (2, 1, 1)


def test_a_failure_between_two_tables_leaves_each_message_once(spark, settings, query, monkeypatch):
    produce(settings, EVENT.format(id="torn-1"), "torn-2 is no JSON")

    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.write._dead_letters", lambda *_: _Unwritable())
        with pytest.raises(LakehouseError, match="run the same command again"):
            ingest(spark, settings)
    assert places(query, "torn") == (2, 1, 0)

    ingest(spark, settings)
    assert places(query, "torn") == (2, 1, 1)


class _Unwritable:
    """Stands where the dead letters would be written, after staging was committed."""

    def __getattr__(self, name: str):
        raise RuntimeError("the process ended here")


def test_small_batches_hold_the_same_rows(spark, settings, query, monkeypatch):
    monkeypatch.setattr(ingest_module, "MESSAGES_PER_BATCH", 3)
    produce(settings, *(EVENT.format(id=f"small-{number}") for number in range(10)))
    report = ingest(spark, settings)[0]
    assert len(report.batches) == 4
    assert places(query, "small") == (10, 10, 0)


def test_compaction_and_expiry_change_no_answer_and_lose_no_bookmark(spark, settings, query):
    for number in range(2):
        produce(settings, EVENT.format(id=f"kept-{number}"))
        ingest(spark, settings)
    compacted = {result.table: result for result in compact(spark)}
    assert compacted["staging.stg_user_events"].rewritten >= 2
    expire(spark, older_than=timedelta(0))
    assert places(query, "kept") == (2, 2, 0)

    shutil.rmtree(settings.checkpoint_location)
    ingest(spark, settings)
    assert places(query, "kept") == (2, 2, 0)


def test_a_broker_that_does_not_answer_is_named(settings):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(LakehouseError, match=r"No Kafka broker answers at 127.0.0.1:1"):
        check_topics(settings)


def test_a_missing_topic_is_named(settings, monkeypatch):
    class Elsewhere:
        topic = "no-such-topic"

    monkeypatch.setattr(ingest_module, "CONTRACTS", (Elsewhere,))
    with pytest.raises(LakehouseError, match="has no topic no-such-topic"):
        check_topics(settings)


def test_an_unknown_option_and_a_missing_environment_end_with_one_line(command, monkeypatch):
    unknown = command("spark-submit", "jobs/ingest.py", "--no-such-option", exit_code=2)
    assert "unrecognized arguments: --no-such-option" in unknown.stdout
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    unset = command("spark-submit", "jobs/ingest.py", exit_code=1)
    assert "Not set in the environment: KAFKA_BOOTSTRAP_SERVERS. For the" in unset.stdout
