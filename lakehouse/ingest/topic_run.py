"""One topic's batches within a run of the ingest."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from lakehouse.contracts import Contract
from lakehouse.errors import LakehouseError
from lakehouse.ingest.dead_letter_limits import DeadLetterLimits
from lakehouse.ingest.planned_offsets import planned_offsets
from lakehouse.ingest.results import BatchSummary, TopicReport
from lakehouse.ingest.starting_offsets import Plan
from lakehouse.ingest.writer import BatchWriter
from lakehouse.kafka.client import reader_options, source_options
from lakehouse.kafka.consumer_group import publish_frontier
from lakehouse.kafka.generations import in_kafka, recorded
from lakehouse.kafka.offsets import Frontier, OffsetRange
from lakehouse.kafka.open_transactions import find_waiting
from lakehouse.kafka.topics import read_topics
from lakehouse.scratch import scratch
from lakehouse.settings import Settings

MESSAGES_PER_BATCH = 2**22
RETRY_MILLISECONDS = 1000

log = logging.getLogger("lakehouse.ingest")


class TopicRun:
    """One topic's query, from where its tables end to the end of what the topic holds now."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        plan: Plan,
        check_locks: Callable[[], None],
        report: TopicReport,
    ):
        self._spark = spark
        self._settings = settings
        self._contract = contract
        self._plan = plan
        self._check_locks = check_locks
        self._limits = DeadLetterLimits(
            contract.topic, settings.dead_letter_warn, settings.dead_letter_stop
        )
        self._writer = BatchWriter(
            spark,
            contract,
            plan.topic.origin,
            reader_options(settings),
            settings.dead_letter_value_limit,
            timedelta(days=settings.duplicate_horizon_days),
            plan.frontiers,
            plan.last_messages,
        )
        self._reached = plan.offsets
        self._checkpoint = TemporaryDirectory(
            prefix="ingest-", dir=scratch(), ignore_cleanup_errors=True
        )
        self._query: StreamingQuery | None = None
        self._report = report
        self.failure: Exception | None = None

    def start(self) -> None:
        """Spark plans the batches; the messages are read by the tasks that write them."""
        topic = self._plan.topic
        if all(topic.latest[p] <= offset for p, offset in self._plan.offsets.items()):
            return
        begin = {in_kafka(partition): offset for partition, offset in self._plan.offsets.items()}
        self._query = (
            self._spark.readStream.format("kafka")
            .options(**source_options(self._settings))
            .option("subscribe", topic.name)
            .option("startingOffsets", json.dumps({topic.name: begin}))
            .option("maxOffsetsPerTrigger", MESSAGES_PER_BATCH)
            # By default 10 ms, which a broker that starts again outlasts.
            .option("fetchOffset.retryIntervalMs", RETRY_MILLISECONDS)
            .load()
            .writeStream.foreachBatch(self._write)
            .queryName(topic.name)
            # A URI would have %20 for a blank, and Spark a folder of that name.
            .option("checkpointLocation", f"file:{self._checkpoint.name}")
            .trigger(availableNow=True)
            .start()
        )

    def finish(self) -> None:
        if self._query:
            self._query.awaitTermination()
        self._check_topic()
        self._check_locks()
        # Where no message follows a gap, no batch has moved the bookmarks past it.
        self._writer.reach({gap.partition: gap.end for gap in self._plan.gaps})
        ends = self._writer.frontier
        publish_frontier(
            self._settings, self._contract.topic, {p: ends.get(p, 0) for p in self._plan.offsets}
        )
        self._report.waiting = find_waiting(self._settings, self._contract.topic)

    def stop(self) -> None:
        if self._query:
            self._query.stop()
        self._checkpoint.cleanup()

    def _check(self, batch: BatchSummary) -> None:
        """Refuse a commit that would break the promise: the last step before it."""
        self._limits.check(batch)
        self._check_topic()
        self._check_locks()

    def _check_topic(self) -> None:
        """Raise if the topic was made anew since it was planned: Spark reads on in the new one."""
        (now,) = read_topics(self._settings, [self._contract.topic])
        if not now.origin.may_be(self._plan.topic.origin):
            raise LakehouseError(
                f"The topic {now.name} was deleted and made anew while it was read",
                "What was read last was not committed. Run this again: it says how to go on",
            )

    def _write(self, _messages: DataFrame, batch_id: int) -> None:
        """Commit what Spark has planned, in one batch or, if it is too many bytes, in several."""
        planned = self._ends(batch_id)
        try:
            while ranges := self._left(planned):
                started = time.monotonic()
                batch = self._writer.prepare(ranges)
                self._check(batch.summary)
                result = self._writer.commit(batch)
                self._reached = self._reached | batch.summary.ends
                self._report.batches.append(result)
                log.info(
                    "batch committed",
                    extra={
                        "topic": self._contract.topic,
                        "batch": batch_id,
                        **asdict(result),
                        "seconds": round(time.monotonic() - started, 2),
                    },
                )
        except Exception as error:
            self.failure = error
            raise

    def _left(self, planned: Frontier) -> list[OffsetRange]:
        """Return the planned offset ranges that are not committed yet."""
        return [
            OffsetRange(partition, self._reached.get(partition, 0), end)
            for partition, end in planned.items()
            if end > self._reached.get(partition, 0)
        ]

    def _ends(self, batch_id: int) -> Frontier:
        """Return the end offsets that Spark has planned for the batch."""
        offsets = planned_offsets(Path(self._checkpoint.name), batch_id)[self._contract.topic]
        generation = self._plan.topic.generation
        return {recorded(int(p), generation): end for p, end in offsets.items()}
