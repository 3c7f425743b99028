"""Decoded messages, and what the tables hold of them -> where each is, and where it belongs."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.iceberg.table import Table
from lakehouse.messages.duplicates import CONFLICT, POSITION, conflict_detail, find_repeated
from lakehouse.messages.outcomes import DISCARDED, DUPLICATE, REPLAYED
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, staging_table

# Target of a message; discarded and waiting ones stay where they are.
STAGED, REPEATED, DEAD, DISCARD, WAITING = "staged", "repeated", "dead", "discarded", "waiting"
UNDECIDED = "undecided"

# Of a placed message: whether its rows in a table have to be changed.
NEW_LETTER = f"""
    place = '{DEAD}' AND (
        letter.outcome IN ('{REPLAYED}', '{DUPLICATE}') OR letter.outcome IS NULL
        AND NOT (letter.error_class <=> error_class AND letter.error_detail <=> error_detail))
"""
NEW_ROW = f"IF(place = '{STAGED}', copies <> 1 OR NOT is_same_row, copies > 0)"
NEW_DUPLICATE = f"IF(place = '{REPEATED}', is_decided_now, is_duplicate)"
SETTLED_AS = f"IF(place = '{REPEATED}', '{DUPLICATE}', '{REPLAYED}')"
NEWLY_SETTLED = f"""
    place IN ('{STAGED}', '{REPEATED}') AND letter IS NOT NULL
    AND NOT letter.outcome <=> {SETTLED_AS}
"""
_IS_OPEN = "letter IS NOT NULL AND letter.outcome IS NULL"
_COUNTS = {
    "examined": "true",
    "changed": " OR ".join(f"({c})" for c in (NEW_LETTER, NEW_ROW, NEW_DUPLICATE, NEWLY_SETTLED)),
    STAGED: f"place = '{STAGED}' AND copies = 0",
    "replaced": f"place = '{STAGED}' AND copies > 0 AND {NEW_ROW}",
    "removed": f"place <> '{STAGED}' AND copies > 0",
    "newly_dead": f"{NEW_LETTER} AND NOT ({_IS_OPEN})",
    "new_verdict": f"{NEW_LETTER} AND {_IS_OPEN}",
    "passed": f"{NEWLY_SETTLED} AND {_IS_OPEN}",
    "duplicate": f"place = '{REPEATED}' AND NOT is_duplicate",
    **{place: f"place = '{place}'" for place in (REPEATED, WAITING, UNDECIDED)},
    **{each: each for each in (NEW_LETTER, NEW_ROW, NEW_DUPLICATE, NEWLY_SETTLED)},
}


def counted(places: DataFrame) -> Counter[str]:
    """Count messages by outcome and by table that must change."""
    row = places.select(*(F.count_if(F.expr(each)) for each in _COUNTS.values())).collect()[0]
    return Counter(dict(zip(_COUNTS, row, strict=True)))


def placed(
    contract: Contract, decoded: DataFrame, held: Mapping[Table, DataFrame], is_last: bool
) -> DataFrame:
    """One row per message; rows that tables hold have their POSITION.

    Columns: POSITION, error_class, error_detail; copies (how often it is staged), is_same_row (as
    it should be), is_duplicate, letter (null if there is none); place, is_decided_now.

    What a table holds stays there if it can. Open letters that would pass, and duplicates, are
    decided anew if `is_last`: once all rows are back that may be their first.
    """
    columns = staging_table(contract).column_names
    row = F.struct(*columns)
    staged = held[staging_table(contract)].groupBy(POSITION)
    letter = F.struct("outcome", "error_class", "error_detail", "attempt").alias("letter")
    letters = held[DEAD_LETTERS].select(*POSITION, letter).dropDuplicates(POSITION)
    places = decoded.join(
        staged.agg(F.count("*").alias("copies"), F.first(row).alias("row")), POSITION, "left"
    ).join(letters, POSITION, "left")
    if DUPLICATES in held:
        duplicates = held[DUPLICATES].select(*POSITION, F.lit(True).alias("is_duplicate"))
        places = places.join(duplicates.dropDuplicates(POSITION), POSITION, "left")
    else:
        places = places.withColumn("is_duplicate", F.lit(False))
    return (
        places.withColumn("is_same_row", row.eqNullSafe(F.col("row")))
        .fillna({"copies": 0, "is_duplicate": False})
        .withColumn(
            "place",
            F.when(F.isnotnull("error_class"), DEAD)
            .when(F.col("letter.outcome") == DISCARDED, DISCARD)
            .when(F.expr("copies > 0 AND NOT is_duplicate"), STAGED)
            .when((F.col("copies") > 0) | F.lit(is_last), UNDECIDED)
            .when(F.col("is_duplicate"), REPEATED)
            .when(F.expr(_IS_OPEN), WAITING)
            .otherwise(UNDECIDED),
        )
        .select(
            *(*POSITION, "error_class", "error_detail", "copies", "is_same_row", "is_duplicate"),
            *("letter", "place", (F.col("place") == UNDECIDED).alias("is_decided_now")),
        )
    )


def repeated_among(
    contract: Contract, decoded: DataFrame, places: DataFrame, staged: DataFrame, horizon: timedelta
) -> DataFrame:
    """find_repeated for those that are undecided; `staged` are all rows of staging."""
    columns = staging_table(contract).column_names

    def here(place: str) -> DataFrame:
        there = places.where(F.col("place") == place).select(POSITION)
        return decoded.join(there, POSITION, "left_semi").select(columns)

    is_here = places.where("copies > 0").select(POSITION)
    if not is_here.isEmpty():
        elsewhere = staged.join(is_here, POSITION, "left_anti").select(columns)
        staged = elsewhere.unionByName(here(STAGED))
    undecided = here(UNDECIDED).persist()
    try:
        return find_repeated(contract, undecided, staged.select(columns), horizon)
    finally:
        undecided.unpersist()


def decided(contract: Contract, places: DataFrame, repeated: DataFrame | None) -> DataFrame:
    """Decide undecided messages: they are staged unless they repeat another."""
    is_undecided = F.col("place") == UNDECIDED
    if repeated is None:
        return places.withColumn("place", F.when(is_undecided, STAGED).otherwise(F.col("place")))
    is_conflict = F.col("is_same").eqNullSafe(False)
    verdict = {"error_class": CONFLICT, "error_detail": conflict_detail(contract)}
    return places.join(
        F.broadcast(repeated.select(*POSITION, "is_same")), POSITION, "left"
    ).withColumns(
        {
            "place": F.when(~is_undecided, F.col("place"))
            .when(is_conflict, DEAD)
            .when(F.col("is_same"), REPEATED)
            .otherwise(STAGED),
            **{
                name: F.when(is_conflict, value).otherwise(F.col(name))
                for name, value in verdict.items()
            },
        }
    )
