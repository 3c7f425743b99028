"""The object store where files of tables lie."""

from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from pyarrow import fs

# By default 3 attempts, after waits of milliseconds.
ATTEMPTS = 8


@dataclass(frozen=True)
class Store:
    """An S3 client's settings, as Iceberg's catalog has them."""

    endpoint: str | None
    region: str | None
    access_key: str | None
    secret_key: str | None
    session_token: str | None
    path_style: bool
    attempts: int

    @classmethod
    def of(cls, properties: dict[str, str]) -> "Store":
        get = properties.get
        return cls(
            get("s3.endpoint"),
            get("client.region"),
            get("s3.access-key-id"),
            get("s3.secret-access-key"),
            get("s3.session-token"),
            get("s3.path-style-access", "false").lower() == "true",
            1 + int(get("s3.retry.num-retries", ATTEMPTS - 1)),
        )


@cache
def connected(store: Store) -> fs.S3FileSystem:
    """Kept by a task's process for the tasks that follow."""
    endpoint = urlsplit(store.endpoint or "")
    return fs.S3FileSystem(
        access_key=store.access_key,
        secret_key=store.secret_key,
        session_token=store.session_token,
        region=store.region,
        scheme=endpoint.scheme or "https",
        endpoint_override=endpoint.netloc or None,
        force_virtual_addressing=not store.path_style,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=store.attempts),
        # One request for a small file, instead of the three of a multipart upload.
        allow_delayed_open=True,
    )


def object_key(location: str) -> str:
    """bucket/folder/name of s3://bucket/folder/name, in which any character may stand.

    A location is no URL: neither `#` nor `?` ends it, and %2F stays as it is.
    """
    return location.partition("://")[2]
