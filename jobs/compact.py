"""staging.*, ops.* -> the same rows in fewer files

spark-submit jobs/compact.py
"""

from pyspark.sql import SparkSession

from lakehouse.console import as_help, command_line
from lakehouse.job import run
from lakehouse.maintenance.compact import compact
from lakehouse.settings import Settings
from lakehouse.tables.create import create_missing

app = command_line()


@app.command(help=as_help(__doc__))
def main() -> None:
    run("compact", compact_and_report)


def compact_and_report(spark: SparkSession, _settings: Settings) -> None:
    create_missing(spark)
    for result in compact(spark):
        print(f"{result.table}: {result.rewritten} files became {result.added}")


if __name__ == "__main__":
    app()
