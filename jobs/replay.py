"""raw.* -> staging.stg_*, ops.duplicates, ops.dead_letters, as the contract of today has them

spark-submit jobs/replay.py --topic TOPIC [--days FROM..TO] [--offsets PARTITION:FIRST-LAST ...]
                            [--dry-run]

Days are those of the Kafka timestamp. TO and LAST are included. With both, both must hold; without,
all that raw holds of the topic is compared. Rows that are right stay untouched.
"""

import argparse
from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from lakehouse.console import print_table
from lakehouse.contracts import CONTRACTS
from lakehouse.job import run
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked
from lakehouse.settings import Settings


def days(text: str) -> tuple[date, date]:
    first, last = map(date.fromisoformat, text.split(".."))
    return first, last


def offsets(text: str) -> OffsetRange:
    partition, _, span = text.partition(":")
    first, last = map(int, span.split("-"))
    return OffsetRange(int(partition), first, last + 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    topics = [contract.topic for contract in CONTRACTS]
    parser.add_argument("--topic", required=True, choices=topics)
    parser.add_argument("--days", type=days, metavar="FROM..TO")
    parser.add_argument(
        "--offsets", type=offsets, nargs="+", default=(), metavar="PARTITION:FIRST-LAST"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be")
    return parser.parse_args()


def main(options: argparse.Namespace, spark: SparkSession, settings: Settings) -> None:
    asked = Asked(options.days, tuple(options.offsets))
    result = replay(spark, settings, options.topic, asked, options.dry_run)
    counts = vars(result)
    print_table([name.replace("_", " ") for name in counts], [list(counts.values())])
    if result.examined == result.unchanged:
        print("nothing to change")
    if options.dry_run:
        print("dry run: nothing was changed")


if __name__ == "__main__":
    run("replay", partial(main, parse()))
