"""No order of appends, maintenance, rollbacks and crashes loses an idle topic's bookmark.

INTERLEAVINGS=1000 makes pytest try more than the hundred of each run.
"""

import os

from bookmark_walk import MOST_SNAPSHOTS, Walk, local_session

INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", 100))


def test_interleavings_leave_every_bookmark_and_few_snapshots(spark, tmp_path, monkeypatch):
    walk = Walk(local_session(spark, tmp_path), monkeypatch)
    for seed in range(INTERLEAVINGS):
        walk.interleaving(seed)
    assert walk.most <= MOST_SNAPSHOTS


def test_some_interleavings_with_the_removal_of_files(lakehouse, monkeypatch):
    walk = Walk(lakehouse.spark, monkeypatch, searches_files=True)
    for seed in range(5):
        walk.interleaving(seed)
    assert walk.most <= MOST_SNAPSHOTS
