"""Decoded messages, and what the tables hold of them -> what the tables must hold instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.dead_letters import DISCARDED, DUPLICATE, REPLAYED
from lakehouse.duplicates import CONFLICT, CONFLICT_DETAIL, POSITION, find_repeated
from lakehouse.tables import DEAD_LETTERS, DUPLICATES, Table, staging_table, tables_of
from lakehouse.write import dead_letter_rows, duplicate_rows

# Where a message belongs.
STAGED, REPEATED, DEAD, DISCARD, WAITING = "staged", "repeated", "dead", "discard", "waiting"
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Placement:
    """Where each of some decoded messages is, and where it belongs.

    `held` are the rows that the tables hold of them, and `places` has one row for each: POSITION,
    the verdict, is_staged, is_duplicate, is_letter, outcome (of the letter) and place.
    """

    contract: Contract
    decoded: DataFrame
    held: Mapping[Table, DataFrame]
    places: DataFrame
    # What find_repeated says of those that no table could place.
    repeated: DataFrame | None

    def _at(self, *places: str) -> DataFrame:
        return self.places.where(F.col("place").isin(*places))

    def staged(self) -> DataFrame:
        rows = self.decoded.join(self._at(STAGED), POSITION, "left_semi")
        return rows.select(staging_table(self.contract).column_names)

    def duplicates(self) -> DataFrame:
        known = self._at(REPEATED)
        if self.repeated is None:
            return self._held_once(DUPLICATES, known)
        known = known.join(self.repeated, POSITION, "left_anti")
        return self._held_once(DUPLICATES, known).unionByName(
            duplicate_rows(self.contract, self.repeated)
        )

    def dead_letters(self, value_limit: int, now: datetime) -> DataFrame:
        """Those of the messages that break the contract, with what is true of them now."""
        verdicts = self._at(DEAD).select(*POSITION, "error_class", "error_detail")
        dead = self.decoded.drop("error_class", "error_detail").join(verdicts, POSITION)
        fresh = dead_letter_rows(self.contract, dead, value_limit)
        letters = self._held_once(DEAD_LETTERS, verdicts).withColumn("is_known", F.lit(True))
        old, new = letters.alias("old"), fresh.alias("new")
        is_known = F.coalesce("old.is_known", F.lit(False))
        verdict = ("error_class", "error_detail")
        is_same = reduce(
            and_, (F.col(f"old.{name}").eqNullSafe(F.col(f"new.{name}")) for name in verdict)
        )
        is_discarded = F.col("old.outcome") == DISCARDED
        stays = is_known & F.when(F.isnull("old.outcome"), is_same).otherwise(is_discarded)
        again = {
            "attempt": F.coalesce("old.attempt", F.lit(0)) + 1,
            "replayed_at": F.when(is_known, F.lit(now)),
        }
        return new.join(old, DEAD_LETTERS.position, "left").select(
            [
                F.when(stays, F.col(f"old.{name}"))
                .otherwise(again.get(name, F.col(f"new.{name}")))
                .alias(name)
                for name in DEAD_LETTERS.column_names
            ]
        )

    def settled_letters(self, now: datetime) -> DataFrame:
        """Those of the messages that are rows of another table."""
        is_duplicate = F.col("place") == REPEATED
        elsewhere = self._at(STAGED, REPEATED).select(
            *POSITION, F.when(is_duplicate, DUPLICATE).otherwise(REPLAYED).alias("settled_as")
        )
        letters = self._held_once(DEAD_LETTERS, elsewhere, "settled_as")
        is_new = ~F.col("outcome").eqNullSafe(F.col("settled_as"))
        changed = {
            "attempt": F.col("attempt") + 1,
            "replayed_at": F.lit(now),
            "contract_version": F.lit(self.contract.version),
            "outcome": F.col("settled_as"),
        }
        return letters.select(
            [
                F.when(is_new, changed.get(name, F.col(name))).otherwise(F.col(name)).alias(name)
                for name in DEAD_LETTERS.column_names
            ]
        )

    def held_at(self, table: Table, *places: str) -> DataFrame:
        """The rows of a table at the positions of messages that belong there; of all without."""
        at = self._at(*places) if places else self.places
        rows = self.held[table].join(at.select(POSITION), POSITION, "left_semi")
        return rows.select(table.column_names)

    def _held_once(self, table: Table, messages: DataFrame, *more: str) -> DataFrame:
        rows = self.held[table].join(messages.select(*POSITION, *more), POSITION)
        return rows.dropDuplicates(POSITION).select(*table.column_names, *more)


def placed(
    contract: Contract,
    decoded: DataFrame,
    held: Mapping[Table, DataFrame],
    staged: DataFrame,
    horizon: timedelta,
    is_last: bool,
) -> Placement:
    """Hold messages against the rows of tables, which have their POSITION; `staged` are all.

    What a table holds stays there if it can. Open letters that would pass, and duplicates, are
    decided anew if `is_last`: once all rows are back that may be their first.
    """
    places = _places(contract, decoded, held, is_last).localCheckpoint()
    repeated = None
    is_undecided = F.col("place") == UNDECIDED
    if DUPLICATES in tables_of(contract) and not places.where(is_undecided).isEmpty():
        columns = staging_table(contract).column_names
        elsewhere = staged.join(places, POSITION, "left_anti").select(columns)
        here = decoded.join(places.where(F.col("place") == STAGED), POSITION, "left_semi")
        undecided = decoded.join(places.where(is_undecided), POSITION, "left_semi").select(columns)
        repeated = find_repeated(undecided, elsewhere.unionByName(here.select(columns)), horizon)
    return Placement(contract, decoded, held, _decided(places, repeated), repeated)


def _places(
    contract: Contract, decoded: DataFrame, held: Mapping[Table, DataFrame], is_last: bool
) -> DataFrame:
    def known(table: Table, flag: str, *columns: str) -> DataFrame:
        rows = held[table].select(*POSITION, F.lit(True).alias(flag), *columns)
        return rows.dropDuplicates(POSITION)

    places = (
        decoded.select(*POSITION, "error_class", "error_detail")
        .join(known(staging_table(contract), "is_staged"), POSITION, "left")
        .join(known(DEAD_LETTERS, "is_letter", "outcome"), POSITION, "left")
    )
    if DUPLICATES in held:
        places = places.join(known(DUPLICATES, "is_duplicate"), POSITION, "left")
    else:
        places = places.withColumn("is_duplicate", F.lit(False))
    places = places.fillna(False, ["is_staged", "is_letter", "is_duplicate"])
    return places.withColumn(
        "place",
        F.when(F.isnotnull("error_class"), DEAD)
        .when(F.col("outcome") == DISCARDED, DISCARD)
        .when(F.expr("is_staged AND NOT is_duplicate"), STAGED)
        .when(F.col("is_staged") | F.lit(is_last), UNDECIDED)
        .when(F.col("is_duplicate"), REPEATED)
        .when(F.expr("is_letter AND outcome IS NULL"), WAITING)
        .otherwise(UNDECIDED),
    )


def _decided(places: DataFrame, repeated: DataFrame | None) -> DataFrame:
    is_decided = F.col("place") != UNDECIDED
    if repeated is None:
        return places.withColumn("place", F.when(is_decided, F.col("place")).otherwise(STAGED))
    is_conflict = F.col("is_same").eqNullSafe(False)
    return (
        places.join(repeated.select(*POSITION, "is_same"), POSITION, "left")
        .withColumns(
            {
                "error_class": _either(is_conflict, F.lit(CONFLICT), "error_class"),
                "error_detail": _either(is_conflict, F.lit(CONFLICT_DETAIL), "error_detail"),
                "place": F.when(is_decided, F.col("place"))
                .when(F.isnull("is_same"), STAGED)
                .when(F.col("is_same"), REPEATED)
                .otherwise(DEAD),
            }
        )
        .drop("is_same")
        .localCheckpoint()
    )


def _either(condition: Column, value: Column, otherwise: str) -> Column:
    return F.when(condition, value).otherwise(F.col(otherwise))
