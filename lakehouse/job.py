"""What all jobs share: logging, one session, and failures as one line and an exit code."""

import logging
from collections.abc import Callable

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError, reported
from lakehouse.logs import configure_logging
from lakehouse.remedies import remedy
from lakehouse.retry import cause
from lakehouse.scratch import empty_scratch
from lakehouse.settings import Settings, load_settings

log = logging.getLogger("lakehouse.job")


def run(name: str, job: Callable[[SparkSession, Settings], None]) -> None:
    """Exit 0 when the job returned, 1 with one line of cause and fix when it could not."""
    configure_logging()
    with reported():
        settings = load_settings()
        try:
            spark = SparkSession.builder.appName(name).getOrCreate()
            try:
                empty_scratch()
                job(spark, settings)
            finally:
                spark.stop()
        except (PySparkException, Py4JError) as error:
            log.error("job failed", exc_info=error)
            raise LakehouseError(
                cause(error), f"To go on, {remedy(error)} and run the same command again"
            ) from error
