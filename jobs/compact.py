"""staging.*, ops.* -> the same rows in fewer files

spark-submit jobs/compact.py
"""

import argparse

from pyspark.sql import SparkSession

from lakehouse.job import run
from lakehouse.maintenance.compact import compact
from lakehouse.settings import Settings
from lakehouse.tables.create import create_missing


def main(spark: SparkSession, _settings: Settings) -> None:
    create_missing(spark)
    for result in compact(spark):
        print(f"{result.table}: {result.rewritten} files became {result.added}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    run("compact", main)
