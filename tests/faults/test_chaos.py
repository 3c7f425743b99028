"""Ingests that are killed at random, one after the other, while messages keep coming.

make chaos KILLS=100 EVENTS=1000000 SEED=7; the seed of a run is printed, and repeats its choices.
"""

import json
import os
import signal
import time
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from random import Random, SystemRandom

from confluent_kafka import Producer
from kills import Ingest
from shop import USER_EVENTS

from generator.events import Plan, Traffic

KILLS = int(os.environ.get("KILLS", 20))
EVENTS = int(os.environ.get("EVENTS", 4000))
SEED = int(os.environ.get("SEED", SystemRandom().randrange(10**6)))
# Of each ingest of user-events: one to each of its tables. The last leaves no time to be killed.
COMMITS = 3
# Until the first it reads and writes; between two of them is little time.
LONGEST_DELAY = {0: 3.0}
AUDIT_EVERY = 5


def test_whatever_is_killed_each_message_is_there_once(lakehouse, tmp_path, capsys):
    random = Random(SEED)
    with capsys.disabled():
        print(f"\nchaos: SEED={SEED} KILLS={KILLS} EVENTS={EVENTS}")
    traffic = Traffic(Plan(EVENTS, 50, 500, 3, datetime(2026, 3, 1, tzinfo=UTC), 0.02, SEED))
    messages = traffic.messages()
    ledger = tmp_path / "acknowledged.jsonl"
    lakehouse.create_tables()
    acknowledged = produce(lakehouse, traffic.catalog.initial(traffic.plan.start), ledger)
    for number in range(1, KILLS + 1):
        acknowledged += produce(lakehouse, islice(messages, EVENTS // KILLS), ledger)
        kill_at_random(lakehouse, random, capsys)
        if number % AUDIT_EVERY == 0:
            lakehouse.ingest_when_free()
            assert lakehouse.audit().findings == []
    acknowledged += produce(lakehouse, messages, ledger)
    lakehouse.ingest_when_free()

    audit = lakehouse.audit(ledger=ledger)
    with capsys.disabled():
        print(f"chaos: {audit.verdict}; {audit.acknowledged:,} had been acknowledged")
    assert audit.findings == []
    assert (audit.acknowledged, audit.not_yet_taken_in) == (acknowledged, 0)
    tally, events = traffic.tally, f"topic = '{USER_EVENTS.topic}'"
    assert lakehouse.count("ops.dead_letters", events) == tally.bad
    assert lakehouse.count("ops.duplicates") == tally.duplicates
    assert lakehouse.count("staging.stg_user_events") == EVENTS - tally.bad - tally.duplicates


def produce(lakehouse, messages, ledger) -> int:
    """Produce messages, note each in the ledger once acknowledged, and return how many."""
    producer = Producer({"bootstrap.servers": lakehouse.settings.kafka_bootstrap_servers})
    lines = []

    def note(error, message) -> None:
        assert error is None
        coordinates = {"partition": message.partition(), "offset": message.offset()}
        value = message.value()
        digest = None if value is None else sha256(value).hexdigest()
        lines.append(json.dumps({"topic": message.topic(), **coordinates, "sha256": digest}))

    for topic, value, key in ((m.topic, m.value, m.key) for m in messages):
        producer.produce(topic, value, key, on_delivery=note)
        producer.poll(0)
    assert producer.flush(30) == 0
    with ledger.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return len(lines)


def kill_at_random(lakehouse, random: Random, capsys) -> None:
    commits = random.randrange(COMMITS + 1)
    delay = random.uniform(0, LONGEST_DELAY.get(commits, 0.05))
    run = Ingest(lakehouse)
    assert run.reach(lambda run: run.commits() >= commits and run.has_lock()), run.job.printed
    time.sleep(delay)
    run.kill()
    assert run.job.returncode == -signal.SIGKILL, run.job.printed
    with capsys.disabled():
        print(f"chaos: killed after {run.commits()} commits")
