"""Who may write a topic, when several want to and when the one that may is gone."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from broker import produce

from lakehouse.audit.run import audit
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import catalog_properties
from lakehouse.ingest.run import ingest
from lakehouse.locks.s3_object import S3Object
from lakehouse.locks.writer_lock import WriterLock, writer_lock
from lakehouse.tables.create import create_missing

pytestmark = pytest.mark.usefixtures("stack")
LEASE = 1.2
# A contender sees the store's clock in whole seconds.
LATEST = LEASE + 2


@pytest.fixture
def topic(request) -> str:
    return request.node.name


@pytest.fixture
def stored(spark, topic):
    """Where the lock is, without the waits of the client between its own attempts."""
    properties = catalog_properties(spark) | {"s3.retry.num-retries": "0"}
    with closing(S3Object(spark._jvm, properties, f"locks/{topic}.json")) as stored:
        yield stored


@pytest.fixture
def out_of_reach(spark, stored, monkeypatch):
    """While in it, nothing listens where the store is looked for."""
    properties = catalog_properties(spark) | {
        "s3.endpoint": "http://127.0.0.1:1",
        "s3.retry.num-retries": "0",
    }

    @contextmanager
    def outage():
        with closing(S3Object(spark._jvm, properties, "")) as nowhere, monkeypatch.context() as gap:
            gap.setattr(stored, "_client", nowhere._client)
            yield

    return outage


@pytest.fixture
def holder(spark, topic):
    """Another process that holds the lock."""
    gateway = spark.sparkContext._gateway.gateway_parameters
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "lock_holder.py", topic, str(LEASE)],
        env={
            **os.environ,
            "PYSPARK_GATEWAY_PORT": str(gateway.port),
            "PYSPARK_GATEWAY_SECRET": gateway.auth_token,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert ask(process, json.dumps(catalog_properties(spark))) == "held"
        yield process
        process.kill()


def ask(process: subprocess.Popen, line: str = "") -> str:
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def is_free(spark, topic: str) -> bool:
    try:
        with writer_lock(spark, topic, LEASE):
            return True
    except LakehouseError as error:
        if "has another writer" not in str(error):
            raise
        return False


def seconds_until_free(spark, topic: str) -> float:
    started = time.monotonic()
    while not is_free(spark, topic):
        assert time.monotonic() < started + 2 * LATEST
        time.sleep(0.05)
    return time.monotonic() - started


def test_of_writers_that_race_for_a_free_or_a_released_lock_one_wins(spark, topic):
    for number in range(6):
        start, finish = threading.Barrier(4), threading.Barrier(4)
        winners = []

        def contend(number=number, start=start, finish=finish, winners=winners):
            key = f"locks/{topic}-{number // 2}.json"
            with closing(S3Object(spark._jvm, catalog_properties(spark), key)) as stored:
                start.wait(20)
                try:
                    with WriterLock(stored, topic, LEASE) as lock:
                        winners.append(lock.fencing)
                        finish.wait(20)
                except LakehouseError:
                    finish.wait(20)

        contenders = [threading.Thread(target=contend) for _ in range(4)]
        for contender in contenders:
            contender.start()
        for contender in contenders:
            contender.join()
        assert winners == [number % 2 + 1]


def test_a_holder_that_is_alive_keeps_others_out_beyond_its_lease_and_is_named(
    spark, topic, holder
):
    ends = time.monotonic() + 3 * LEASE
    while time.monotonic() < ends:
        assert not is_free(spark, topic)
        time.sleep(0.1)
    assert ask(holder) == "held"

    with pytest.raises(LakehouseError) as refused, writer_lock(spark, topic, LEASE):
        pass
    assert re.fullmatch(
        rf"{topic} has another writer: process {holder.pid} on \S+, since 2\S+ \S+ UTC, with a "
        r"lease until \d\d:\d\d:\d\d UTC that it renews while it runs\. Wait for it to end, then "
        r"run the same command again\. If it has died, its lock is taken over after that time; "
        r"nothing needs deleting",
        str(refused.value),
    )


def test_the_lock_of_a_killed_holder_is_taken_over_after_its_lease(spark, topic, holder):
    holder.kill()
    holder.wait()
    # The last renewal may be a third of the lease old, and there is a request on its way.
    assert LEASE / 2 < seconds_until_free(spark, topic) < LATEST


def test_a_holder_that_was_paused_finds_its_lock_lost_and_leaves_the_next_one_alone(
    spark, topic, holder
):
    holder.send_signal(signal.SIGSTOP)
    assert seconds_until_free(spark, topic) < LATEST
    with writer_lock(spark, topic, LEASE) as lock:
        holder.send_signal(signal.SIGCONT)
        assert ask(holder).startswith(f"The lock on {topic} is lost: ")
        holder.stdin.close()
        holder.wait()
        time.sleep(LEASE)
        lock.check()
        assert not is_free(spark, topic)


def test_a_holder_that_was_paused_finds_its_lock_lost_though_nobody_took_it(topic, holder):
    holder.send_signal(signal.SIGSTOP)
    time.sleep(LEASE * 1.2)
    holder.send_signal(signal.SIGCONT)
    assert ask(holder).startswith(
        f"The lock on {topic} is lost: its lease ended before it could be renewed. What was "
    )


def test_a_released_lock_is_free_at_once_and_its_fencing_number_grows(spark, topic):
    with pytest.raises(ZeroDivisionError), writer_lock(spark, topic, 60) as first:
        raise ZeroDivisionError
    with writer_lock(spark, topic, 60) as second:
        assert (first.fencing, second.fencing) == (1, 2)


def test_a_store_that_does_not_answer_is_asked_again(topic, stored, out_of_reach, caplog):
    lease = 3 * LEASE
    with WriterLock(stored, topic, lease) as lock:
        with out_of_reach():
            ends = time.monotonic() + lease
            while "lock not renewed" not in caplog.text and time.monotonic() < ends:
                time.sleep(0.01)
        time.sleep(lease)
        lock.check()


def test_a_store_that_stays_away_ends_the_lock(topic, stored, out_of_reach):
    with WriterLock(stored, topic, LEASE) as lock, out_of_reach():
        time.sleep(LEASE * 1.1)
        with pytest.raises(LakehouseError, match="its lease ended before it could be renewed"):
            lock.check()


def test_an_acquisition_whose_answer_is_lost_holds_the_lock(topic, stored, monkeypatch):
    replace = stored.replace
    monkeypatch.setattr(stored, "replace", lambda *_: replace(*_) and None)
    lease = 3 * LEASE
    with WriterLock(stored, topic, lease) as lock:
        time.sleep(lease / 2)
        monkeypatch.undo()
        time.sleep(lease)
        lock.check()


@pytest.mark.parametrize(
    "body", ["no lock", " " * 20_000_000, "\N{PILE OF POO}\x00{"], ids=["text", "long", "emoji"]
)
def test_another_object_in_the_place_of_a_lock_is_refused_in_one_line(spark, topic, stored, body):
    assert stored.replace(None, body)
    with (
        pytest.raises(LakehouseError, match=r"^s3://\S+ holds no lock of ours: .+ Delete it, or "),
        writer_lock(spark, topic, LEASE),
    ):
        pass


@pytest.mark.usefixtures("topics")
def test_while_another_writes_an_ingest_an_audit_and_a_replay_refuse_and_write_nothing(
    spark, settings, query, command
):
    create_missing(spark)
    produce(settings, '{"event_id":"locked-out"}', key="u")
    tables = "raw.user_events", "raw.product_metadata", "ops.dead_letters"
    count = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    before = query(count)
    with writer_lock(spark, "user-events", 60):
        with pytest.raises(LakehouseError, match="user-events has another writer: process"):
            ingest(spark, settings)
        with pytest.raises(LakehouseError, match="user-events has another writer: process"):
            audit(spark, settings)
        refused = command("spark-submit", "jobs/dead_letters.py", "replay", exit_code=1)
        assert "user-events has another writer: process" in refused.stdout + refused.stderr
    assert query(count) == before
    assert ingest(spark, settings)["user-events"].total.dead >= 1


@pytest.mark.usefixtures("topics")
def test_an_ingest_that_lost_its_lock_writes_nothing_more(spark, settings, query, monkeypatch):
    create_missing(spark)
    produce(settings, '{"event_id":"unlocked"}', key="u")

    def acquired_and_lost(lock: WriterLock) -> None:
        lock._loss = "it was taken over"

    before = query("SELECT count(*) FROM raw.user_events")
    monkeypatch.setattr(WriterLock, "_acquire", acquired_and_lost)
    with pytest.raises(LakehouseError, match="lock on product-metadata is lost: it was taken over"):
        ingest(spark, settings)
    assert query("SELECT count(*) FROM raw.user_events") == before
    monkeypatch.undo()
    assert ingest(spark, settings)["user-events"].total.dead >= 1
