import json
import runpy
from datetime import UTC, datetime

import pytest

from lakehouse.audit.run import Audit
from lakehouse.stack.home import REPOSITORY
from lakehouse.tables.accepted import AcceptedTopic, Gap

SINCE = datetime(2026, 3, 5, 10, tzinfo=UTC)
RESULT = Audit(
    is_full=True,
    partitions=[],
    gaps={"user-events": [Gap(0, 4, 6, "a week off")]},
    accepted_topics={"user-events": [AcceptedTopic(1, "c", "t", "the disk was full", SINCE)]},
    findings=[],
)


@pytest.fixture
def job() -> dict:
    return runpy.run_path(f"{REPOSITORY}/jobs/audit.py")


def test_what_was_accepted_is_shown_with_its_reason(job, capsys):
    job["print_text"](RESULT, None)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "accepted gap: user-events/0 4..6: a week off",
        "accepted new topic: user-events generation 1, id t on cluster c, since 2026-03-05 "
        "10:00:00 UTC, its partition 0 recorded as 1000000: the disk was full",
        "verdict: conserved: 0 messages, each exactly once",
    ]


def test_what_was_accepted_is_in_the_document(job):
    document = json.loads(job["as_json"](RESULT))
    assert document["gaps"]["user-events"] == [
        {"partition": 0, "start": 4, "end": 6, "reason": "a week off"}
    ]
    assert document["accepted_topics"]["user-events"] == [
        {
            "generation": 1,
            "cluster_id": "c",
            "topic_id": "t",
            "reason": "the disk was full",
            "accepted_at": "2026-03-05 10:00:00+00:00",
        }
    ]
