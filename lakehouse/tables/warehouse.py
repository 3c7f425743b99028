"""A warehouse's address -> the folders of its tables and locks; no two warehouses share one."""

import re
from dataclasses import dataclass

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.table import CATALOG, Table
from lakehouse.tables.definitions import TABLES

# The local stack's. Its raw tables and locks are beside it, not in it.
DEFAULT_FOLDER = "warehouse"


@dataclass(frozen=True)
class Warehouse:
    """s3://BUCKET/FOLDER, without a slash at its end."""

    address: str

    @classmethod
    def of(cls, address: str) -> "Warehouse":
        warehouse = cls(address.rstrip("/"))
        if re.fullmatch(r"s3[an]?:(//[^/]*)?", warehouse.address):
            raise LakehouseError(
                f"The warehouse {address!r} of the catalog `{CATALOG}` names no folder in a bucket",
                f"Set spark.sql.catalog.{CATALOG}.warehouse to s3://BUCKET/FOLDER, and Trino's "
                "iceberg.jdbc-catalog.default-warehouse-dir with it; tables that exist stay where "
                "they are",
            )
        if any(f"/{table.folder}/" in f"{warehouse.address}/" for table in TABLES):
            raise LakehouseError(
                f"The warehouse {address!r} of the catalog `{CATALOG}` is inside the folder of a "
                "table of another one",
                f"Set spark.sql.catalog.{CATALOG}.warehouse to another folder",
            )
        return warehouse

    @property
    def root(self) -> str:
        """Return where `raw-data` and `locks` are: beside s3://BUCKET/warehouse, inside any other.

        Only one warehouse of a bucket has the bucket as its root, and no other shares one.
        """
        bucket, _, name = self.address.rpartition("/")
        is_default = name == DEFAULT_FOLDER and re.fullmatch(r"s3[an]?://[^/]+", bucket)
        return bucket if is_default else self.address

    def place(self, table: Table) -> str:
        """Return the location for a new table; an existing table keeps its own."""
        return f"{self.root if table.is_raw else self.address}/{table.folder}"

    def lock_key(self, topic: str, raw_location: str | None) -> str:
        """The key, in the warehouse's bucket, of the lock on a topic.

        It is beside the folder of raw's table, if there is one: an older version, which may hold
        the lock, has it there, whatever the warehouse is called.
        """
        bucket = re.match(r"[^:]*://[^/]*", self.address)
        root, separator, _ = (raw_location or "").rpartition(f"/raw-data/{topic}")
        if not (bucket and separator and f"{root}/".startswith(f"{bucket[0]}/")):
            root = self.root
        key = f"{root}/locks/{topic}.json"
        return key.removeprefix(f"{bucket[0]}/") if bucket else key
