"""Any order of messages, runs, crashes, rollbacks and maintenance ends with each message once.

STATES=50 makes pytest try more orders than the few of each run.
"""

import os
from contextlib import suppress
from datetime import timedelta

import pytest
from broker import EVENT
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from shop import USER_EVENTS

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import iceberg_table, snapshots
from lakehouse.ingest import writer as write
from lakehouse.maintenance import expire as maintenance
from lakehouse.maintenance.compact import compact
from lakehouse.tables.definitions import tables_of

STATES = int(os.environ.get("STATES", 3))
STEPS = 10
TABLES = tables_of(USER_EVENTS)


class CrashError(LakehouseError):
    """Stands for the end of a process."""


class Shop(RuleBasedStateMachine):
    """Beside the lakehouse, its model: how many events, repetitions and bad messages were sent."""

    def __init__(self, new_lakehouse):
        super().__init__()
        self.lakehouse = new_lakehouse()
        self.events = self.repetitions = self.bad = 0

    @property
    def sent(self) -> int:
        return self.events + self.repetitions + self.bad

    @rule(events=st.integers(1, 3), bad=st.booleans())
    def produce(self, events, bad):
        ids = range(self.events, self.events + events)
        self._send(*(EVENT.format(id=number) for number in ids), *(["no JSON"] if bad else []))
        self.events += events
        self.bad += bad

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def produce_again(self, data):
        self._send(EVENT.format(id=data.draw(st.integers(0, self.events - 1))))
        self.repetitions += 1

    def _send(self, *values):
        self.lakehouse.produce(*values, key="u")

    @precondition(lambda self: self.sent)
    @rule()
    def run(self):
        self.lakehouse.ingest()
        audit = self.lakehouse.audit()
        assert audit.verdict == f"conserved: {self.sent} messages, each exactly once"
        found = [
            self.lakehouse.count(table)
            for table in ("staging.stg_user_events", "ops.duplicates", "ops.dead_letters")
        ]
        assert found == [self.events, self.repetitions, self.bad]

    @precondition(lambda self: self.sent)
    @rule(whole=st.integers(0, len(TABLES) - 1), is_committed=st.booleans())
    def crash(self, whole, is_committed):
        """After so many tables, before the commit to the next one or between it and its answer."""
        appended = []

        def append(*arguments):
            if len(appended) == whole:
                if is_committed:
                    original(*arguments)
                raise CrashError("crash", "")
            appended.append(original(*arguments))
            return appended[-1]

        original = write.append
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "append", append)
            with suppress(CrashError):
                self.lakehouse.ingest()

    @precondition(lambda self: self.sent)
    @rule(table=st.sampled_from(TABLES), data=st.data())
    def roll_back(self, table, data):
        """To any snapshot that is left."""
        spark = self.lakehouse.spark
        self.lakehouse.create_tables()
        before = [snapshot.snapshotId() for snapshot in snapshots(iceberg_table(spark, table))][1:]
        if before:
            spark.sql(
                "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
                {"table": table.identifier, "snapshot": data.draw(st.sampled_from(before))},
            )

    @rule()
    def compact(self):
        self.lakehouse.create_tables()
        compact(self.lakehouse.spark)

    @rule()
    def expire_all_but_one(self):
        self.lakehouse.create_tables()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(maintenance, "RETAINED_SNAPSHOTS", 1)
            maintenance.expire(self.lakehouse.spark, timedelta(0))

    def teardown(self):
        if self.sent:
            self.run()


def test_each_message_is_there_once_whatever_came_before(new_lakehouse):
    run_state_machine_as_test(
        lambda: Shop(new_lakehouse),
        settings=settings(
            max_examples=STATES,
            stateful_step_count=STEPS,
            deadline=None,
            # Finding a shorter way to the same failure takes longer than reading this one.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
