"""staging.*, ops.* -> without snapshots older than a number of days

spark-submit jobs/expire.py [--older-than-days 5]
"""

import argparse
from datetime import timedelta

from pyspark.sql import SparkSession

from lakehouse.job import run
from lakehouse.maintenance import expire
from lakehouse.settings import Settings


def parse() -> timedelta:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--older-than-days", type=float, default=5, metavar="DAYS")
    return timedelta(days=parser.parse_args().older_than_days)


if __name__ == "__main__":
    older_than = parse()

    def main(spark: SparkSession, _settings: Settings) -> None:
        for result in expire(spark, older_than):
            print(
                f"{result.table}: {result.data_files} data files and "
                f"{result.manifests} manifests deleted"
            )

    run("expire", main)
