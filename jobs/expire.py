"""staging.*, ops.* -> without old snapshots; settled dead letters -> without their payload

spark-submit jobs/expire.py [--older-than-days 5] [--dead-letters-older-than-days 90]
"""

import argparse
from datetime import timedelta
from functools import partial

from pyspark.sql import SparkSession

from lakehouse.job import run
from lakehouse.maintenance.expire import clear_settled_letters, expire
from lakehouse.settings import Settings
from lakehouse.tables.create import create_missing


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--older-than-days", type=float, default=5, metavar="DAYS")
    parser.add_argument("--dead-letters-older-than-days", type=float, default=90, metavar="DAYS")
    return parser.parse_args()


def main(options: argparse.Namespace, spark: SparkSession, _settings: Settings) -> None:
    create_missing(spark)
    age = timedelta(days=options.dead_letters_older_than_days)
    print(f"{clear_settled_letters(spark, age)} settled dead letters lost their payload")
    for result in expire(spark, timedelta(days=options.older_than_days)):
        print(
            f"{result.table}: {result.data_files} data files and "
            f"{result.manifests} manifests deleted"
        )


if __name__ == "__main__":
    run("expire", partial(main, parse()))
