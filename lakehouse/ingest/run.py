"""Kafka -> raw.*, staging.stg_*, ops.duplicates, ops.dead_letters, in bounded micro-batches."""

import logging
from collections.abc import Callable

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import SparkSession

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.errors import LakehouseError
from lakehouse.ingest.acceptance import NOTHING, Acceptance, NamedGap, NamedTopic
from lakehouse.ingest.results import TopicReport
from lakehouse.ingest.starting_offsets import Plan, accept, named_gap, plan
from lakehouse.ingest.topic_run import TopicRun
from lakehouse.kafka.last_message import changed_messages
from lakehouse.kafka.topics import Topic, read_topics
from lakehouse.locks.writer_lock import writer_locks
from lakehouse.remedies import remedy
from lakehouse.retry import cause, is_transient, retrying
from lakehouse.settings import Settings
from lakehouse.tables.accepted import accepted_gaps, accepted_topics
from lakehouse.tables.bookmarks import first_offsets, read_bookmark
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import tables_of

log = logging.getLogger("lakehouse.ingest")


def ingest(
    spark: SparkSession,
    settings: Settings,
    acceptance: Acceptance = NOTHING,
) -> dict[str, TopicReport]:
    """Take in everything that all topics hold now, and stop.

    Each run begins where the tables end. Spark's checkpoint lives as long as the run: there is
    none that could be lost, grow old or disagree with the tables. What can pass is tried again, for
    `settings.retry_seconds` without progress at most.

    Returns a report for each topic, with its counts of messages. Raises LakehouseError, with the
    way on, if a topic is missing, has lost messages, is another than before or has another writer,
    or if more messages break the contract than is allowed; then no message of the batch is in any
    table, and those before it are in all.
    """
    names = [contract.topic for contract in CONTRACTS]
    reports = [TopicReport(name) for name in names]

    def count_retry() -> None:
        for report in reports:
            report.retries += 1

    def achieved() -> int:
        return sum(report.total.read - report.total.seen for report in reports)

    retries = retrying(settings.retry_seconds, achieved, count_retry)
    # Before anything is retried: a broker that never answered is most likely a wrong address.
    read_topics(settings, names)
    with writer_locks(spark, names, settings.writer_lease_seconds) as check_locks:
        try:
            retries(_attempt, spark, settings, reports, acceptance, check_locks)
        except LakehouseError:
            raise
        except Exception as error:
            if not isinstance(error, PySparkException | Py4JError):
                # A mistake of ours, whose trace is short and says where.
                log.error("the ingest stopped", exc_info=error)
            raise LakehouseError(
                f"The ingest stopped: {cause(error)}",
                f"Nothing is lost or doubled: {remedy(error)} and run the same command again",
            ) from error
    return {report.topic: report for report in reports}


def _attempt(
    spark: SparkSession,
    settings: Settings,
    reports: list[TopicReport],
    acceptance: Acceptance,
    check_locks: Callable[[], None],
) -> None:
    """Begin where the tables end by now, however an earlier attempt has ended."""
    check_locks()
    create_missing(spark)
    topics = read_topics(settings, [report.topic for report in reports])
    plans = [
        _plan(spark, settings, contract, topic)
        for contract, topic in zip(CONTRACTS, topics, strict=True)
    ]
    accept(spark, plans, acceptance, *_accepted_before(spark, acceptance))
    runs = [
        TopicRun(spark, settings, contract, plan, check_locks, report)
        for contract, plan, report in zip(CONTRACTS, plans, reports, strict=True)
    ]
    try:
        for run in runs:
            run.start()
        for run in runs:
            run.finish()
    except StreamingQueryException as error:
        # Prefer our own exception to Spark's wrapper, and a permanent failure to a transient one.
        failures = [run.failure for run in runs if run.failure]
        raise min(failures, key=is_transient, default=error) from error
    finally:
        for run in runs:
            run.stop()


def _plan(spark: SparkSession, settings: Settings, contract: Contract, topic: Topic) -> Plan:
    bookmarks = {
        table: read_bookmark(spark, table, contract.topic) for table in tables_of(contract)
    }
    gaps, topics = accepted_gaps(spark, topic.name), accepted_topics(spark, topic.name)
    raw, *others = bookmarks
    known = bookmarks[raw].frontier.keys()
    # Asks for a query, and only where a run was interrupted or a table was lost.
    is_unknown = any(known - bookmarks[table].frontier.keys() for table in others)
    first_in_raw = first_offsets(spark, raw, topic.name) if is_unknown else {}
    generation = topics[-1].generation if topics else 0
    changed = changed_messages(settings, topic, bookmarks[raw].last_messages, generation)
    return plan(topic, bookmarks, gaps, topics, first_in_raw, changed)


def _accepted_before(
    spark: SparkSession, acceptance: Acceptance
) -> tuple[list[NamedGap], list[NamedTopic]]:
    """Gaps and topics on record, of those topics that the acceptance names."""
    gaps = [
        named_gap(name, gap)
        for name in {each.topic for each in acceptance.gaps}
        for gap in accepted_gaps(spark, name)
    ]
    topics = [
        NamedTopic(name, each.generation, each.topic_id)
        for name in {each.topic for each in acceptance.topics}
        for each in accepted_topics(spark, name)
    ]
    return gaps, topics
