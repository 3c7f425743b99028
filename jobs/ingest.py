"""Kafka -> raw.*, staging.stg_user_events, staging.stg_product_metadata, ops.dead_letters

spark-submit jobs/ingest.py
"""

import argparse
import time

from pyspark.sql import SparkSession

from lakehouse.ingest import ingest
from lakehouse.job import run
from lakehouse.settings import Settings
from lakehouse.tables import TABLES, current_snapshot


def main(spark: SparkSession, settings: Settings) -> None:
    started = time.monotonic()
    reports = ingest(spark, settings)
    print(f"{'topic':<20}{'read':>12}{'staged':>12}{'dead':>12}{'seen before':>14}")
    for report in reports:
        t = report.total
        print(f"{report.topic:<20}{t.read:>12,}{t.staged:>12,}{t.dead:>12,}{t.seen:>14,}")
    for table in TABLES:
        print(f"{table.name} is at snapshot {current_snapshot(spark, table)}")
    print(f"done in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    run("ingest", main)
