"""staging.*, ops.* -> without old snapshots; settled dead letters -> without their payload

spark-submit jobs/expire.py [--older-than-days 5] [--dead-letters-older-than-days 90]
"""

from datetime import timedelta
from typing import Annotated

import typer
from pyspark.sql import SparkSession

from lakehouse.console import as_help, command_line
from lakehouse.job import run
from lakehouse.maintenance.expire import clear_settled_letters, expire
from lakehouse.tables.create import create_missing

app = command_line()


@app.command(help=as_help(__doc__))
def main(
    older_than_days: Annotated[
        float, typer.Option(metavar="DAYS", help="Age of snapshots that are dropped.")
    ] = 5,
    dead_letters_older_than_days: Annotated[
        float, typer.Option(metavar="DAYS", help="Since they were settled.")
    ] = 90,
) -> None:
    snapshots, letters = timedelta(days=older_than_days), timedelta(dead_letters_older_than_days)
    run("expire", lambda spark, _: expire_and_report(spark, snapshots, letters))


def expire_and_report(spark: SparkSession, snapshots: timedelta, letters: timedelta) -> None:
    create_missing(spark)
    print(f"{clear_settled_letters(spark, letters)} settled dead letters lost their payload")
    for result in expire(spark, snapshots):
        print(
            f"{result.table}: {result.data_files} data files and "
            f"{result.manifests} manifests deleted"
        )


if __name__ == "__main__":
    app()
