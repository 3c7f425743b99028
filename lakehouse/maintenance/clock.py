"""The time by which things are deleted for their age: this machine's, if the store's agrees."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import catalog_properties, java_class
from lakehouse.iceberg.table import CATALOG

# NTP keeps clocks within seconds; a mistaken time zone is an hour or more.
MOST_APART = timedelta(minutes=5)


def now() -> datetime:
    return datetime.now(UTC)


def checked_now(spark: SparkSession) -> datetime:
    """This machine's time; LakehouseError if the store's is more than five minutes from it.

    A clock that is days ahead makes everything look old enough to be deleted.
    """
    here, there = now(), _store_time(spark)
    if abs(here - there) > MOST_APART:
        raise LakehouseError(
            f"This machine's clock says {here:%Y-%m-%d %H:%M:%S} UTC and the store's "
            f"{there:%Y-%m-%d %H:%M:%S} UTC, more than five minutes apart",
            "Nothing was deleted, because its age is not certain. Set the clock that is wrong, then"
            " run this again",
        )
    return here


def _store_time(spark: SparkSession) -> datetime:
    """The Date of an answer of the store, in whole seconds; also of one that is a refusal."""
    properties = catalog_properties(spark)
    bucket = urlsplit(properties.get("warehouse", "")).netloc
    io = java_class(spark._jvm, "org.apache.iceberg.aws.s3.S3FileIO")()
    with closing(io):
        io.initialize(properties)
        model = "software.amazon.awssdk.services.s3.model.HeadBucketRequest"
        request = java_class(spark._jvm, model).builder().bucket(bucket).build()
        try:
            http = io.client().headBucket(request).sdkHttpResponse()
        except Py4JJavaError as error:
            http = _refusal(error)
        date = http.firstMatchingHeader("Date").orElse(None) if http else None
    if date is None:
        raise LakehouseError(
            f"The store of the catalog `{CATALOG}` does not tell the time, by which the age of "
            "what is to be deleted is checked",
            "Check that it answers, then run this again",
        )
    return parsedate_to_datetime(str(date))


def _refusal(error: Py4JJavaError) -> Any:
    """The store's HTTP answer; None where there was none."""
    try:
        return error.java_exception.awsErrorDetails().sdkHttpResponse()
    except Py4JError:
        return None
