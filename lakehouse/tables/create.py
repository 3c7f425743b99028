"""The tables' declarations -> namespaces, tables and columns that are not there yet."""

import json
import re
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import catalog_properties, existing_table, java_class
from lakehouse.iceberg.table import CATALOG, Table
from lakehouse.tables.definitions import TABLES
from lakehouse.tables.drift import Alteration, Schema, alteration, never_had
from lakehouse.tables.warehouse import Warehouse

# Enough to tell what a folder is used for.
MAX_OBJECTS = 1000
# All that a creation leaves behind which was killed before the catalog knew of it.
_UNUSED = re.compile(r"/metadata/00000-[^/]*\.metadata\.json$")


def create_missing(spark: SparkSession) -> None:
    """Make namespaces, tables and columns that were never there; change nothing else.

    LakehouseError, before anything is made, if somebody has altered one of the tables.
    """
    warehouse = Warehouse.of(catalog_properties(spark).get("warehouse", ""))
    locations = {}
    new_columns = {}
    for table in TABLES:
        if loaded := existing_table(spark, table):
            _require_own(spark, table, loaded.location())
            metadata = loaded.operations().current()
            schemas = _schemas(spark, metadata)
            if found := alteration(table, schemas):
                raise _altered(spark, table, loaded, found)
            new_columns[table] = never_had(table, schemas)
        else:
            locations[table] = _free_location(spark, table, warehouse.place(table))
    for table, location in locations.items():
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {table.identifier.rpartition('.')[0]}")
        spark.sql(table.ddl(location))
    for table, names in new_columns.items():
        for before, name in pairwise(table.column_names):
            if name in names:
                column = f"{name} {table.spark_type(name)} AFTER {before}"
                spark.sql(f"ALTER TABLE {table.identifier} ADD COLUMN {column}")


def _require_own(spark: SparkSession, table: Table, location: str) -> None:
    """LakehouseError for a table that goes by the name of another of ours."""
    for other in TABLES:
        is_other = re.search(rf"/{re.escape(other.folder)}(-[0-9a-f]{{8}})?/?$", location)
        if other is table or not is_other:
            continue
        ours, its, third = table.name, other.name, f"{table.name}_2"
        steps = [(ours, third), (its, ours), (third, its)]
        if not existing_table(spark, other):
            steps = [(ours, its)]
        undo = "; ".join(f"ALTER TABLE {old} RENAME TO {new}" for old, new in steps)
        raise LakehouseError(
            f"{ours} is at {location}, where {its} was made: tables were renamed",
            f"Nothing was changed. Rename them back: {undo}; then run the same command again",
        )


def _schemas(spark: SparkSession, metadata: Any) -> list[Schema]:
    """Return the table's schemas, oldest first; the current one is repeated at the end."""
    parser = java_class(spark._jvm, "org.apache.iceberg.SchemaParser")
    listed = metadata.schemas()
    found = [json.loads(parser.toJson(listed.get(number))) for number in range(listed.size())]
    schemas = {schema["schema-id"]: schema["fields"] for schema in found}
    return [*(schemas[id_] for id_ in sorted(schemas)), schemas[metadata.currentSchemaId()]]


def _altered(spark: SparkSession, table: Table, loaded: Any, found: Alteration) -> LakehouseError:
    if found.undo:
        way_on = f"Undo it: {found.undo}"
    elif version := _version_before(spark, table, loaded):
        way_on = (
            "Bring the table back as it was, in spark-sql, as Trino would delete the files: "
            f"DROP TABLE {table.name}; CALL {CATALOG}.system.register_table('{table.name}', "
            f"'{version}')"
        )
    else:
        way_on = "No older version of its metadata is left: restore the table from a backup"
    return LakehouseError(
        f"{table.name} was altered beside the pipeline: {found.what}",
        f"Nothing was changed. {way_on}; then run the same command again",
    )


def _version_before(spark: SparkSession, table: Table, loaded: Any) -> str | None:
    """The newest file of the table's metadata in which all columns are as they should be."""
    parser = java_class(spark._jvm, "org.apache.iceberg.TableMetadataParser")
    files = loaded.operations().current().previousFiles()
    for number in reversed(range(files.size())):
        file = files.get(number).file()
        try:
            metadata = parser.read(loaded.io(), file)
        except Py4JJavaError:
            # Expired, or removed with orphans.
            continue
        if not alteration(table, _schemas(spark, metadata)):
            return str(file)
    return None


def _free_location(spark: SparkSession, table: Table, place: str) -> str:
    """Return a location for a new table; raise LakehouseError if other objects lie there."""
    # A folder of a file system is of one user, as in the training of the class archive.
    found = _names_below(spark, f"{place}/", f"{place}-") if place.startswith("s3") else []
    found = [name for name in found if re.match(rf"{re.escape(place)}(-[0-9a-f]{{8}})?/", name)]
    used = [name for name in found if not _UNUSED.search(name)]
    # Another job may have made the table, and written to it, since it was looked for.
    if used and existing_table(spark, table) is None:
        raise _in_use(spark, table, place, used)
    # A table that somebody has renamed may own what the place holds: dropping it must not harm us.
    return f"{place}-{uuid4().hex[:8]}" if found else place


def _names_below(spark: SparkSession, *prefixes: str) -> list[str]:
    """Names of objects that begin so, of each prefix no more than tells what is there."""
    io = java_class(spark._jvm, "org.apache.iceberg.aws.s3.S3FileIO")()
    io.initialize(catalog_properties(spark))
    try:
        return [
            name
            for prefix in prefixes
            for name in islice(_names(io.listPrefix(prefix).iterator()), MAX_OBJECTS)
        ]
    finally:
        io.close()


def _names(listed: Any) -> Iterator[str]:
    while listed.hasNext():
        yield listed.next().location()


def _in_use(spark: SparkSession, table: Table, place: str, used: list[str]) -> LakehouseError:
    cause = f"{table.name} is not in the catalog, and its place {place} holds objects ({used[0]})"
    if owner := _owner(spark, used[0]):
        return LakehouseError(
            f"{cause}: they are of {owner}, so the table was renamed",
            f"Nothing was changed. Rename it back: ALTER TABLE {owner} RENAME TO {table.name}; "
            "a copy is made by CREATE TABLE ... AS SELECT",
        )
    folder = re.split(r"/(?:meta)?data/", used[0].removeprefix(place))[0]
    names = _names_below(spark, f"{place}{folder}/metadata/")
    versions = [name for name in names if name.endswith(".metadata.json")]
    if versions:
        newest = max(versions, key=lambda name: name.rpartition("/")[2])
        return LakehouseError(
            f"{cause}, so it was dropped",
            f"Nothing was changed. Bring it back with spark-sql: CALL {CATALOG}.system."
            f"register_table('{table.name}', '{newest}'); or, to begin it anew, move the objects "
            "elsewhere",
        )
    return LakehouseError(
        f"{cause} that no table knows",
        "Nothing was changed. Move them elsewhere, then run the same command again",
    )


def _owner(spark: SparkSession, name: str) -> str | None:
    """The table of the catalog that has its location where this object is."""
    util = java_class(spark._jvm, "org.apache.iceberg.spark.Spark3Util")
    for (namespace,) in spark.sql(f"SHOW NAMESPACES IN {CATALOG}").collect():
        for row in spark.sql(f"SHOW TABLES IN {CATALOG}.`{namespace}`").collect():
            other = f"{namespace}.{row.tableName}"
            try:
                identifier = f"{CATALOG}.`{namespace}`.`{row.tableName}`"
                loaded = util.loadIcebergTable(spark._jsparkSession, identifier)
            except (PySparkException, Py4JJavaError):
                continue
            if name.startswith(f"{loaded.location().rstrip('/')}/"):
                return other
    return None
