"""Kafka -> raw.*, staging.stg_*, ops.duplicates, ops.dead_letters

spark-submit jobs/ingest.py [--accept-gap TOPIC/PARTITION:FIRST-LAST ...]
                            [--accept-new-topic TOPIC:NUMBER:ID ...] [--why "..."]

What can be accepted is named by the refusal, with the whole command.
"""

import argparse
import time
from functools import partial

from pyspark.sql import SparkSession

from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.ingest.acceptance import Acceptance, NamedGap, NamedTopic
from lakehouse.ingest.run import ingest
from lakehouse.job import run
from lakehouse.settings import Settings
from lakehouse.tables.definitions import TABLES


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--accept-gap",
        type=NamedGap.of,
        nargs="+",
        default=[],
        metavar="TOPIC/PARTITION:FIRST-LAST",
        help="go on without offsets that Kafka lost before they were taken in; recorded with --why",
    )
    parser.add_argument(
        "--accept-new-topic",
        type=NamedTopic.of,
        nargs="+",
        default=[],
        metavar="TOPIC:NUMBER:ID",
        help="go on where a topic was deleted and made anew, or has moved to another cluster, from "
        "its beginning; recorded with --why",
    )
    parser.add_argument("--why", default="", help="the reason, which each audit shows")
    options = parser.parse_args()
    if (options.accept_gap or options.accept_new_topic) and not options.why.strip(" ."):
        parser.error("--why must say the reason for which this is accepted")
    return options


def main(options: argparse.Namespace, spark: SparkSession, settings: Settings) -> None:
    started = time.monotonic()
    acceptance = Acceptance(tuple(options.accept_gap), tuple(options.accept_new_topic), options.why)
    reports = ingest(spark, settings, acceptance)
    counts = ("read", "staged", "duplicate", "dead", "already in tables")
    print(f"{'topic':<20}" + "".join(f"{name:>{max(12, len(name) + 2)}}" for name in counts))
    for report in reports:
        t = report.total
        values = zip(counts, (t.read, t.staged, t.duplicate, t.dead, t.seen), strict=True)
        print(
            f"{report.topic:<20}" + "".join(f"{n:>{max(12, len(name) + 2)},}" for name, n in values)
        )
    if retries := max(report.retries for report in reports):
        print(f"began again {retries} times after failures that passed")
    if again := sum(report.total.appended_again for report in reports):
        print(f"appended again {again} times after other commits")
    for waiting in (each for report in reports for each in report.waiting):
        print(waiting)
    for table in TABLES:
        if snapshot := current_snapshot(spark, table):
            print(f"{table.name} is at snapshot {snapshot}")
    print(f"done in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    run("ingest", partial(main, parse()))
