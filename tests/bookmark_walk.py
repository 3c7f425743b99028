"""Appends, maintenance, rollbacks and crashes in seeded orders, beside a model of the bookmarks."""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from lakehouses import new_session
from pyspark.sql import SparkSession

from lakehouse.iceberg.catalog import iceberg_table, snapshots
from lakehouse.iceberg.table import Table
from lakehouse.kafka.offsets import Origin
from lakehouse.maintenance import expire as maintenance
from lakehouse.tables.append import append
from lakehouse.tables.bookmarks import bookmark_properties, read_bookmark
from lakehouse.tables.definitions import DEAD_LETTERS

HERE = Origin("cluster", "topic")
TOPICS = ("user-events", "product-metadata")
RETAINED = 3
STEPS = 6
# Commits that come between what an expiry chooses and what it removes.
OVERTAKING = RETAINED + 1
# The most commits without bookmarks in a row: those that overtook the last expiry of one
# interleaving, all steps of the next, and one more while its expiry carries the bookmarks forward.
MOST_WITHOUT = OVERTAKING + STEPS + 1
# What is retained may end within such a row, and is kept back to the snapshot before it.
MOST_SNAPSHOTS = (RETAINED - 1) + MOST_WITHOUT + 1 + OVERTAKING


class CrashError(Exception):
    """Where the process would have ended."""


class Walk:
    """A table to which both topics append, as to ops.dead_letters; its commits hold no files.

    Expiry `searches_files` or, 20 times as fast, commits the same without a search for files.
    """

    def __init__(
        self, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, searches_files: bool = False
    ):
        self._spark = spark
        self._patch = monkeypatch
        self._table = replace(DEAD_LETTERS, name="ops.walk")
        spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.ops")
        spark.sql(
            "CREATE OR REPLACE TABLE lake.ops.walk (topic STRING, partition INT, offset BIGINT)"
            " USING iceberg"
        )
        if not searches_files:
            monkeypatch.setattr(maintenance, "_remove", _remove_metadata)
            monkeypatch.setattr(maintenance, "checked_now", lambda _: datetime.now(UTC))
        monkeypatch.setattr(maintenance, "RETAINED_SNAPSHOTS", RETAINED)
        monkeypatch.setattr(maintenance, "TABLES", (self._table,))
        # Snapshot -> what each topic's bookmark must be there.
        self._model: dict[int, dict[str, int]] = {}
        self._offset = 0
        self.most = 0
        for topic in TOPICS:
            self._append(topic)

    def interleaving(self, seed: int) -> None:
        chance = random.Random(seed)
        # One of the two topics is idle throughout.
        busy = chance.choice(TOPICS)
        for _ in range(STEPS):
            step = chance.choice(("append", "foreign", "foreign", "roll back", "expire", "crash"))
            if step == "append":
                self._append(busy)
            elif step == "foreign":
                self._foreign()
            elif step == "roll back":
                self._roll_back(chance)
            else:
                self._expire(chance, is_killed=step == "crash")
            self.check(f"seed {seed}, {step}")
        self._expire(chance, is_killed=False)
        self.check(f"seed {seed}, at its end")
        self.most = max(self.most, len(list(self._now.snapshots())))

    def check(self, when: str) -> None:
        expected = self._model[self._head]
        for topic in TOPICS:
            bookmark = read_bookmark(self._spark, self._table, topic)
            assert bookmark.frontier == {0: expected[topic]}, f"{when}: {topic}"
            assert bookmark.origin == HERE, f"{when}: {topic}"

    @property
    def _now(self):
        return iceberg_table(self._spark, self._table)

    @property
    def _head(self) -> int | None:
        current = self._now.currentSnapshot()
        return current.snapshotId() if current else None

    def _append(self, topic: str) -> None:
        self._offset += 1
        head = self._head
        properties = bookmark_properties(topic, HERE, {0: self._offset})
        append(self._spark, self._table, [], head, properties)
        self._model[self._head] = self._model.get(head, {}) | {topic: self._offset}

    def _foreign(self) -> None:
        """A commit without properties, as of a compaction or of SQL."""
        before = self._model[self._head]
        self._now.newFastAppend().commit()
        self._model[self._head] = before

    def _roll_back(self, chance: random.Random) -> None:
        left = [each.snapshotId() for each in snapshots(self._now)]
        self._now.manageSnapshots().rollbackTo(chance.choice(left)).commit()

    def _expire(self, chance: random.Random, is_killed: bool) -> None:
        """With other commits between what it looks at and what it removes, or ended there."""
        is_overtaken = [chance.random() < 0.5 for _ in range(2)]
        remove, carry = maintenance._remove, maintenance.append

        def then_carry(*arguments):
            before = self._model[self._head]
            if is_overtaken[0]:
                if is_killed:
                    raise CrashError
                # Once: the append is tried again.
                is_overtaken[0] = False
                self._foreign()
            carry(*arguments)
            self._model[self._head] = before

        def then_remove(*arguments):
            if is_killed:
                raise CrashError
            for _ in range(OVERTAKING if is_overtaken[1] else 0):
                self._foreign()
            return remove(*arguments)

        with self._patch.context() as patch, suppress(CrashError):
            patch.setattr(maintenance, "append", then_carry)
            patch.setattr(maintenance, "_remove", then_remove)
            maintenance.expire(self._spark, timedelta(0))


def local_session(spark: SparkSession, folder: Path) -> SparkSession:
    """With a catalog and tables on this disk: a commit takes a tenth of one to S3."""
    return new_session(
        spark,
        {
            "uri": f"jdbc:sqlite:file:{folder}/catalog.db",
            "warehouse": f"file:{folder}/warehouse",
            "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
        },
    )


def _remove_metadata(spark: SparkSession, table: Table, ids: list[int]) -> SimpleNamespace:
    """Commit what Iceberg's Spark action commits."""
    update = iceberg_table(spark, table).expireSnapshots().expireOlderThan(0)
    for each in ids:
        update = update.expireSnapshotId(each)
    update.cleanExpiredFiles(False).commit()
    return SimpleNamespace(deletedDataFilesCount=int, deletedManifestsCount=int)
