"""Read, write and commit Iceberg tables, from Spark's JVM and from Arrow."""
