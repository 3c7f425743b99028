"""An S3 object that is replaced only on condition, through the client of the Iceberg catalog.

The AWS SDK is the one that Iceberg brings into Spark's JVM, so endpoint and credentials are the
catalog's (`spark.sql.catalog.lake.*`), and no other S3 library is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from py4j.protocol import Py4JError

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import java_class
from lakehouse.iceberg.table import CATALOG

NOT_FOUND = 404
# Without it a connection that went dead holds a call for several times 30 s.
TIMEOUT_SECONDS = 5
# Ours have a few hundred bytes. Whatever else lies there is not read into memory.
MAX_BYTES = 64 * 1024
# 409 is Amazon's answer to one of two conditional writes at the same time.
CONDITION_FAILED = (409, 412)


@dataclass(frozen=True)
class Version:
    """Content, etag and age of the object when it was read."""

    # No more than MAX_BYTES.
    body: bytes
    etag: str
    # By the store's clock alone: its answer's Date less Last-Modified, both in whole seconds.
    age_seconds: float


class S3Object:
    """An object in the bucket of the catalog's warehouse. Can be used from several threads."""

    def __init__(self, jvm: Any, properties: dict[str, str], key: str):
        warehouse = urlsplit(properties.get("warehouse", ""))
        if not warehouse.scheme.startswith("s3"):
            raise LakehouseError(
                f"The warehouse {warehouse.geturl()!r} of the catalog `{CATALOG}` names no S3 "
                "bucket, and the locks of the writers are kept there",
                f"Set spark.sql.catalog.{CATALOG}.warehouse to s3://BUCKET/FOLDER",
            )
        self._bucket, self._key = warehouse.netloc, key
        self._io = java_class(jvm, "org.apache.iceberg.aws.s3.S3FileIO")()
        self._io.initialize(properties)
        self._client = self._io.client()
        sdk = "software.amazon.awssdk"
        self._get = java_class(jvm, f"{sdk}.services.s3.model.GetObjectRequest")
        self._put = java_class(jvm, f"{sdk}.services.s3.model.PutObjectRequest")
        self._content = java_class(jvm, f"{sdk}.core.sync.RequestBody")
        options = java_class(jvm, f"{sdk}.awscore.AwsRequestOverrideConfiguration")
        timeout = java_class(jvm, "java.time.Duration").ofSeconds(TIMEOUT_SECONDS)
        self._options = options.builder().apiCallTimeout(timeout).build()

    @property
    def address(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def read(self) -> Version | None:
        """None if there is no such object."""
        request = self._addressed(self._get)
        stream = self._unless((NOT_FOUND,), lambda: self._client.getObject(request.build()))
        if stream is None:
            return None
        answer = stream.response()
        body = self._unless((), lambda: stream.readNBytes(MAX_BYTES))
        # Closing it would read the rest.
        stream.abort()
        headers = answer.sdkHttpResponse()
        date, modified = (
            parsedate_to_datetime(headers.firstMatchingHeader(name).get())
            for name in ("Date", "Last-Modified")
        )
        return Version(bytes(body), answer.eTag(), (date - modified).total_seconds())

    def replace(self, etag: str | None, body: str) -> str | None:
        """The new etag, or None if the object is not (or no longer) the version of this etag.

        Without an etag: if there is an object. An answer that was lost on its way also comes out
        as None, as the client repeats the request: read it to know.
        """
        request = self._addressed(self._put)
        request = request.ifMatch(etag) if etag else request.ifNoneMatch("*")
        refusals = (*CONDITION_FAILED, NOT_FOUND) if etag else CONDITION_FAILED
        content = self._content.fromString(body)
        answer = self._unless(refusals, lambda: self._client.putObject(request.build(), content))
        return str(answer.eTag()) if answer else None

    def _addressed(self, request: Any) -> Any:
        builder = request.builder().bucket(self._bucket).key(self._key)
        return builder.overrideConfiguration(self._options)

    def _unless(self, statuses: tuple[int, ...], call: Callable[[], Any]) -> Any:
        """Return the call's result, or None if the store answers with one of these statuses."""
        try:
            return call()
        except Py4JError as error:
            if _status(error) in statuses:
                return None
            cause = getattr(error, "java_exception", None)
            raise LakehouseError(
                f"{self.address} can't be read or written: "
                f"{cause.getMessage() if cause else error}",
                "Check that the store answers and that you may write there, then run it again",
            ) from error

    def close(self) -> None:
        self._io.close()


def _status(error: Py4JError) -> int | None:
    """HTTP status of the store's answer; None if there was no answer."""
    try:
        return int(error.java_exception.statusCode())
    except (AttributeError, Py4JError):
        return None
