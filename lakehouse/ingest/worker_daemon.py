"""Spark's parent of its Python workers, which have from their birth what our tasks import.

Else each of them takes 0.8 CPU-seconds to import it. Named by spark.python.daemon.module.
"""

from pyspark.daemon import manager

import lakehouse.ingest.task  # noqa: F401

if __name__ == "__main__":
    manager()
