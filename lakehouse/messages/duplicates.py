"""Find messages whose id was seen before, and say whether their content equals the first's."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import reduce
from operator import or_

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812
from xxhash import xxh64_intdigest

from lakehouse.contracts import RULES, Contract
from lakehouse.contracts.content import is_same_object

POSITION = ["kafka_partition", "kafka_offset"]
CONFLICT = "DUPLICATE_CONFLICT"
# Beyond, one range from the first day to the last: a condition of thousands takes longer.
MAX_RANGES = 100
# That of Spark's xxhash64.
_SEED = 42
_RESULT = [
    *POSITION,
    *("kafka_timestamp", "event_id", "first_partition", "first_offset", "is_same"),
]


def key_of(contract: Contract) -> str:
    """Return the hash of the id by which a message repeats another, as Spark's SQL."""
    return f"xxhash64(`{contract.id_column}`) AS event_key"


def conflict_detail(contract: Contract) -> str:
    return f"{contract.id_column}: {RULES[CONFLICT]}"


def find_repeated(
    contract: Contract, accepted: DataFrame, staged: DataFrame, horizon: timedelta
) -> DataFrame:
    """One row per accepted event that is not the first of its id (`contract.repeats_by`).

    `accepted` and `staged` have the columns of staging; no row is in both. Columns of the result:
    POSITION, kafka_timestamp, event_id, first_partition, first_offset, is_same (its values equal
    those of the first, aside from fields that the contract lets differ). A staged event comes
    before an accepted one, and among accepted ones the earliest by (kafka_timestamp,
    kafka_partition, kafka_offset) is the first. An event without an id repeats none.

    Only events of the days that `accepted` touches, and `horizon` around them, are looked at, and
    of these first the ids alone: an event that comes again has its day again, so a horizon of 0
    finds all redeliveries; a longer one finds more of the conflicts that change the day.
    """
    key = key_of(contract)
    days = accepted.select(F.to_date(contract.time).alias("day")).distinct().collect()
    staged = staged.where(within(contract.time, ranges_around([row.day for row in days], horizon)))
    keys = accepted.where(F.col(contract.id_column).isNotNull()).selectExpr(key)
    inside = keys.groupBy("event_key").count().where("count > 1").select("event_key")
    before = staged.selectExpr(key).join(F.broadcast(keys), "event_key", "left_semi")
    suspects = inside.union(before).distinct().persist()

    def suspected(events: DataFrame) -> DataFrame:
        return events.selectExpr("*", key).join(suspects, "event_key", "left_semi")

    try:
        if suspects.isEmpty():
            return _none(contract, accepted)
        return compared(contract, suspected(accepted), suspected(staged)).localCheckpoint()
    finally:
        suspects.unpersist()


def repeated_in(ordered: np.ndarray) -> np.ndarray:
    """Return the keys, which are ascending, that occur more than once."""
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def ranges_around(days: Iterable[date], horizon: timedelta) -> list[tuple[date, date]]:
    """Ranges from a day to before another that hold these days, and so many around each.

    They are few and simple, so that Iceberg prunes files by them.
    """
    ranges: list[tuple[date, date]] = []
    for day in sorted(days):
        start, end = day - horizon, day + horizon + timedelta(days=1)
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], end
        else:
            ranges.append((start, end))
    return [(ranges[0][0], ranges[-1][1])] if len(ranges) > MAX_RANGES else ranges


def within(time: str, ranges: Iterable[tuple[date, date]]) -> Column:
    """Whether the column `time` lies in one of these ranges."""
    at = F.col(time)
    return reduce(
        or_,
        ((at >= F.lit(start)) & (at < F.lit(end)) for start, end in ranges),
        F.lit(False),
    )


def compared(contract: Contract, accepted: DataFrame, staged: DataFrame) -> DataFrame:
    """find_repeated's answer, where `staged` has all events that have an id of `accepted`."""
    # Columns that hold a JSON object as text: what it holds is compared there, and may have had no
    # columns of its own yet when an event was staged.
    in_texts = [*contract.embedded, "extra"]
    in_values = set(contract.payload.__struct_fields__) - {*in_texts, *contract.may_differ}
    event_id = F.col(contract.id_column)

    def part(events: DataFrame, is_staged: bool) -> DataFrame:
        return events.where(event_id.isNotNull()).select(
            *POSITION,
            "kafka_timestamp",
            event_id.alias("event_id"),
            F.struct(*sorted(in_values)).alias("values"),
            F.struct(*in_texts).alias("texts"),
            F.lit(is_staged).alias("is_staged"),
        )

    order = Window.partitionBy("event_id").orderBy(
        F.desc("is_staged"), "kafka_timestamp", *POSITION
    )
    first = F.first(F.struct(*POSITION, "values", "texts")).over(order)
    # Null where the texts have to be parsed.
    is_same = F.when(~F.col("values").eqNullSafe(F.col("first.values")), False).when(
        F.col("texts").eqNullSafe(F.col("first.texts")), True
    )
    pairs = (
        part(accepted, False)
        .union(part(staged, True))
        .withColumns({"number": F.row_number().over(order), "first": first})
        .where("number > 1 AND NOT is_staged")
        .select(
            *POSITION,
            "kafka_timestamp",
            "event_id",
            F.col("first.kafka_partition").alias("first_partition"),
            F.col("first.kafka_offset").alias("first_offset"),
            is_same.alias("is_same"),
            *(
                F.when(F.isnull(is_same), F.col(f"{texts}.{name}")).alias(f"{side}_{name}")
                for side, texts in (("own", "texts"), ("first", "first.texts"))
                for name in in_texts
            ),
        )
    )
    may_differ = contract.may_differ
    return pairs.mapInArrow(
        lambda batches: _decided(batches, may_differ), pairs.select(_RESULT).schema
    )


def _decided(
    batches: Iterable[pa.RecordBatch], may_differ: frozenset[str]
) -> Iterator[pa.RecordBatch]:
    """Pairs of rows -> is_same where it is null, from the texts that follow the other columns."""
    for batch in batches:
        *result, is_same = batch.columns[: len(_RESULT)]
        texts = [column.to_pylist() for column in batch.columns[len(_RESULT) :]]
        own, first = texts[: len(texts) // 2], texts[len(texts) // 2 :]
        decided = [
            known
            if known is not None
            else all(
                is_same_object(ours[row], its[row], may_differ)
                for ours, its in zip(own, first, strict=True)
            )
            for row, known in enumerate(is_same.to_pylist())
        ]
        yield pa.RecordBatch.from_arrays([*result, pa.array(decided, pa.bool_())], _RESULT)


def _none(contract: Contract, accepted: DataFrame) -> DataFrame:
    event_id = F.col(contract.id_column).alias("event_id")
    position = accepted.select(*POSITION, "kafka_timestamp", event_id).limit(0)
    return position.selectExpr(
        "*", "0 AS first_partition", "0L AS first_offset", "false AS is_same"
    )


def event_keys(event_ids: pa.Array) -> np.ndarray:
    """Return what Spark's xxhash64 makes of each id; a null counts as an empty text."""
    texts = event_ids.fill_null("").cast(pa.binary())
    keys = [xxh64_intdigest(event_id, _SEED) for event_id in texts.to_pylist()]
    return np.array(keys, np.uint64).view(np.int64)
