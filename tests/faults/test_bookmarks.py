"""No order of appends, maintenance, rollbacks and crashes loses an idle topic's bookmark."""

import os

from bookmark_walk import MOST_SNAPSHOTS, Walk

INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", 1000))


def test_a_thousand_interleavings_leave_every_bookmark_and_few_snapshots(lakehouse, monkeypatch):
    walk = Walk(lakehouse.spark, monkeypatch)
    for seed in range(INTERLEAVINGS):
        walk.interleaving(seed)
    assert walk.most <= MOST_SNAPSHOTS


def test_some_interleavings_with_the_removal_of_files(lakehouse, monkeypatch):
    walk = Walk(lakehouse.spark, monkeypatch, searches_files=True)
    for seed in range(5):
        walk.interleaving(seed)
    assert walk.most <= MOST_SNAPSHOTS
