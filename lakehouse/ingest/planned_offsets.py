"""Spark's checkpoint -> the offsets that Spark has planned for a batch."""

import json
from pathlib import Path
from typing import Any

from lakehouse.errors import LakehouseError

VERSION = "v1"


def planned_offsets(checkpoint: Path, batch_id: int) -> Any:
    """Return where a batch of a query with one source ends, as that source writes its offsets.

    `foreachBatch` is not told, and the rows alone do not say it: a partition without new messages
    has none. `lastProgress` is a batch behind, and a data source in Python lacks admission control
    and availableNow until PySpark 4.2 (SPARK-55304). So this reads the file that Spark writes
    before it begins a batch: the version of its format, a line about the batch, one per source.
    LakehouseError if that format is another one.
    """
    log = checkpoint / "offsets" / str(batch_id)
    version, *lines = log.read_text().splitlines()
    if version != VERSION or len(lines) != 2:
        raise LakehouseError(
            f"Spark's offset log {log} is of version {version} with {len(lines)} further lines, "
            f"where {VERSION} with 2 was expected",
            "Use the PySpark of requirements.lock: another one may write its plan otherwise",
        )
    return json.loads(lines[1])
