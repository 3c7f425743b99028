"""What Iceberg keeps of a file's columns, by its specification."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.iceberg.column_stats import ColumnStatsMode, metrics_of

CUT = "truncate(4)"


def metrics(tmp_path, type_: str, mode: str, values: pa.Array, row_group_size: int = 100):
    path = tmp_path / "file.parquet"
    pq.write_table(
        pa.table({"c": values}),
        path,
        row_group_size=row_group_size,
        store_decimal_as_integer=True,
    )
    return metrics_of(pq.read_metadata(path), {"c": ColumnStatsMode(7, type_, mode)})


@pytest.mark.parametrize(
    ("type_", "values", "lower", "upper"),
    [
        ("int", pa.array([-1, 258], pa.int32()), "ffffffff", "02010000"),
        ("long", pa.array([1, 2**40]), "0100000000000000", "0000000000010000"),
        ("boolean", pa.array([False, True]), "00", "01"),
        (
            "timestamptz",
            pa.array([datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            "40420f0000000000",
            "40420f0000000000",
        ),
        (
            "decimal(18, 6)",
            pa.array([Decimal("-0.000001"), Decimal("0.000128")], pa.decimal128(18, 6)),
            "ff",
            "0080",
        ),
        ("string", pa.array(["ab", "b"]), "6162", "62"),
        ("string", pa.array(["abcde", "abcdz"]), "61626364", "61626365"),
        ("string", pa.array(["a\U0010ffff\U0010ffff\U0010ffffz"]), None, "62"),
        ("string", pa.array(["abc\ud7ffz".encode("utf-8", "surrogatepass").decode()]), None, None),
        ("binary", pa.array([b"\x00\xff\xff\xff\xff"]), "00ffffff", "01"),
        ("binary", pa.array([b"\xff" * 5]), "ffffffff", None),
    ],
)
def test_bounds_of_each_type(tmp_path, type_, values, lower, upper):
    found = metrics(tmp_path, type_, CUT, values)
    if lower:
        assert found.lower[7].hex() == lower
    if upper or type_ == "binary":
        assert (found.upper[7].hex() if 7 in found.upper else None) == upper


def test_a_cut_character_before_the_surrogates_is_followed_by_one_after_them(tmp_path):
    found = metrics(tmp_path, "string", CUT, pa.array(["abc\ud7ffz"]))
    assert found.upper[7].decode() == "abc\ue000"


def test_counts_are_of_all_row_groups(tmp_path):
    found = metrics(tmp_path, "long", CUT, pa.array([3, None, 1, None, 2]), row_group_size=2)
    assert (found.values, found.nulls) == ({7: 5}, {7: 2})
    assert (found.lower[7][0], found.upper[7][0]) == (1, 3)
    assert found.sizes[7] > 0


def test_of_a_column_of_nulls_there_are_no_bounds(tmp_path):
    found = metrics(tmp_path, "long", CUT, pa.array([None, None], pa.int64()))
    assert (found.nulls, found.lower, found.upper) == ({7: 2}, {}, {})


def test_a_table_says_how_much_of_a_column_may_be_seen(tmp_path):
    values = pa.array(["secret@example.com"])
    assert metrics(tmp_path, "string", "none", values).values == {}
    assert metrics(tmp_path, "string", "counts", values).lower == {}
    assert metrics(tmp_path, "string", "full", values).lower[7] == b"secret@example.com"


def test_text_too_long_for_parquet_to_note_makes_no_bound_of_the_rest(tmp_path):
    values = pa.array(["x", "a" * 100_000])
    found = metrics(tmp_path, "string", CUT, values, row_group_size=1)
    assert 7 not in found.lower or found.lower[7] == b"aaaa"
