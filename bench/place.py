"""Shared services -> an empty lakehouse for one run, and what the run has left in it."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from pyiceberg.manifest import DataFile
from pyiceberg.table import StaticTable

from lakehouse.stack.home import CONF, REGION, Home, StackSettings


class Place(Home):
    """Broker and store are those of another home; bucket and catalog are its own."""

    def __init__(self, shared: Home, name: str):
        path = shared.path / "runs" / name
        (path / "logs").mkdir(parents=True)
        shutil.copyfile(shared.path / "stack.json", path / "stack.json")
        self.name = name
        self.bucket = f"bench-{name}"
        super().__init__(StackSettings(home=path, catalog_uri=None))
        with closing(sqlite3.connect(self.catalog_file)) as catalog:
            catalog.executescript((CONF / "catalog.sql").read_text())
        self.store.create_dir(self.bucket)

    @property
    def exports(self) -> dict[str, str]:
        return super().exports | {"ICEBERG_WAREHOUSE": f"s3://{self.bucket}/warehouse"}

    @cached_property
    def store(self) -> fs.S3FileSystem:
        return fs.S3FileSystem(
            access_key=self.exports["AWS_ACCESS_KEY_ID"],
            secret_key=self.exports["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self.exports["S3_ENDPOINT"],
            region=REGION,
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )

    @property
    def file_io(self) -> dict[str, str]:
        """PyIceberg's properties of the store."""
        return {
            "s3.endpoint": self.exports["S3_ENDPOINT"],
            "s3.access-key-id": self.exports["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": self.exports["AWS_SECRET_ACCESS_KEY"],
            "s3.region": REGION,
        }

    def remove(self) -> None:
        """Remove all but logs: a bucket frees its disk when it goes as a whole."""
        self.store.delete_dir(self.bucket)
        self.catalog_file.unlink()

    def tables(self) -> dict[str, str]:
        """Name -> where its metadata is now."""
        with closing(sqlite3.connect(self.catalog_file, timeout=30)) as catalog:
            query = "SELECT table_namespace || '.' || table_name, metadata_location"
            return dict(catalog.execute(f"{query} FROM iceberg_tables ORDER BY 1"))

    def table(self, name: str) -> StaticTable:
        return StaticTable.from_metadata(self.tables()[name], self.file_io)

    def rows(self, name: str) -> int:
        """Count rows as the last commit does."""
        metadata = self.store.open_input_stream(self.tables()[name].removeprefix("s3://"))
        with metadata as file:
            known = json.loads(file.read())
        for snapshot in known.get("snapshots", []):
            if snapshot["snapshot-id"] == known["current-snapshot-id"]:
                return int(snapshot["summary"]["total-records"])
        return 0


@dataclass(frozen=True)
class Contents:
    """What a table holds now, by its manifests; snapshots are all that were committed."""

    rows: int
    files: int
    snapshots: int
    bytes: int


def data_files(table: StaticTable) -> list[DataFile]:
    return [task.file for task in table.scan().plan_files()]


def contents(table: StaticTable) -> Contents:
    files = data_files(table)
    return Contents(
        rows=sum(file.record_count for file in files),
        files=len(files),
        snapshots=len(table.metadata.snapshots),
        bytes=sum(file.file_size_in_bytes for file in files),
    )


def paths(table: StaticTable) -> list[str]:
    """Name files as the file system of a place does."""
    return [file.file_path.removeprefix("s3://") for file in data_files(table)]


def tally(files: list[str], store: fs.FileSystem, parent: str | None) -> tuple[int, Decimal]:
    """Rows and sum of price * quantity, by pyarrow; `parent` is the struct that has the two."""
    rows, amount = 0, Decimal(0)
    columns = [f"{parent}.{name}" if parent else name for name in ("price", "quantity")]
    for path in files:
        read = pq.read_table(path, filesystem=store, columns=columns)
        price, quantity = (read.flatten() if parent else read).columns
        rows += read.num_rows
        amount += pc.sum(pc.multiply(price, quantity.cast(pa.decimal128(10, 0)))).as_py() or 0
    return rows, amount
