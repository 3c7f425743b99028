"""Kafka -> raw.*, staging.stg_*, ops.duplicates, ops.dead_letters

spark-submit jobs/ingest.py [--accept-gap "why"] [--accept-new-topic "why"]
"""

import argparse
import time
from functools import partial

from pyspark.sql import SparkSession

from lakehouse.iceberg import current_snapshot
from lakehouse.ingest import ingest
from lakehouse.job import run
from lakehouse.settings import Settings
from lakehouse.tables import TABLES


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--accept-gap",
        metavar="WHY",
        help="go on where Kafka lost messages before they were taken in; recorded with the reason",
    )
    parser.add_argument(
        "--accept-new-topic",
        metavar="WHY",
        help="go on where a topic was deleted and made anew, or has moved to another cluster, from "
        "its beginning; recorded with the reason",
    )
    return parser.parse_args()


def main(options: argparse.Namespace, spark: SparkSession, settings: Settings) -> None:
    started = time.monotonic()
    reports = ingest(spark, settings, options.accept_gap, options.accept_new_topic)
    print(
        f"{'topic':<20}{'read':>12}{'staged':>12}{'duplicate':>12}{'dead':>12}{'seen before':>14}"
    )
    for report in reports:
        t = report.total
        print(
            f"{report.topic:<20}{t.read:>12,}{t.staged:>12,}{t.duplicate:>12,}"
            f"{t.dead:>12,}{t.seen:>14,}"
        )
    if retries := max(report.retries for report in reports):
        print(f"began again {retries} times after failures that passed")
    if again := sum(report.total.appended_again for report in reports):
        print(f"appended again {again} times after other commits")
    for table in TABLES:
        print(f"{table.name} is at snapshot {current_snapshot(spark, table)}")
    print(f"done in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    run("ingest", partial(main, parse()))
