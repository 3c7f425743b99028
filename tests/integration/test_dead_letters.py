"""What becomes of messages that break their contract: kept, counted, replayed once, discarded."""

import json
import re
import runpy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import typer
from altered import altered
from broker import produce
from shop import PRODUCT_METADATA, STG_USER_EVENTS, USER_EVENTS

from lakehouse.dead_letters import settle as dead_letters
from lakehouse.dead_letters.browse import Position, Selection
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.ingest.run import ingest
from lakehouse.ingest.topic_run import TopicRun
from lakehouse.maintenance.expire import clear_settled_letters
from lakehouse.stack.home import REPOSITORY
from lakehouse.tables.definitions import DEAD_LETTERS

pytestmark = pytest.mark.usefixtures("topics")
# Other tests' letters are of another day.
TODAY = Selection(day=datetime.now(UTC).date())
WISHLISTS = replace(TODAY, error_class="UNKNOWN_EVENT_TYPE")


def held() -> None:
    """The locks' check, where nobody else is there."""


def event(event_id: str, event_type: str = "wishlist") -> str:
    return json.dumps(
        {
            "event_id": event_id,
            "product_id": "P1",
            "event_type": event_type,
            "event_timestamp": "2026-03-05T10:00:00Z",
            "event_data": {},
        }
    )


@pytest.fixture
def with_wishlists(monkeypatch):
    """The contract of user-events as it will be when it knows wishlists: here as add_to_cart."""

    def parse(value, key, kafka_timestamp):
        return USER_EVENTS.parse(
            value.replace(b'"wishlist"', b'"add_to_cart"'), key, kafka_timestamp
        )

    later = altered(USER_EVENTS, {"parse": parse, "accept": None}, version=2)
    return lambda: monkeypatch.setattr(dead_letters, "CONTRACTS", (later, PRODUCT_METADATA))


@pytest.fixture
def places(query):
    def of(prefix: str) -> dict[str, int]:
        """Messages with this event id prefix by where they are; a replayed letter is staged."""
        rows = query(
            f"""
            SELECT 'staged', count(*) FROM staging.stg_user_events WHERE event_id LIKE '{prefix}%'
            UNION ALL
            SELECT coalesce(outcome, 'open'), count(*) FROM ops.dead_letters
            WHERE from_utf8(value) LIKE '%{prefix}%' GROUP BY 1
            """
        )
        return {place: count for place, count in rows if count}

    return of


def test_a_replay_stages_once_what_a_later_contract_accepts(
    spark, settings, places, query, with_wishlists
):
    produce(settings, event("wish-1"), event("wish-2"), '{"event_id":"wish-3"}')
    ingest(spark, settings)
    assert places("wish") == {"open": 3}

    (under_the_same,) = query_replay(spark)
    assert (under_the_same.passed, under_the_same.still_dead) == (0, 2)
    assert places("wish") == {"open": 3}

    with_wishlists()
    before = current_snapshot(spark, DEAD_LETTERS)
    (foreseen,) = query_replay(spark, dry_run=True)
    assert (foreseen.passed, foreseen.staged) == (2, 0)
    assert current_snapshot(spark, DEAD_LETTERS) == before

    (done,) = query_replay(spark)
    assert (done.passed, done.staged, done.still_dead) == (2, 2, 0)
    assert places("wish") == {"staged": 2, "replayed": 2, "open": 1}
    letters = query(
        "SELECT error_class, attempt, contract_version, replayed_at IS NULL FROM ops.dead_letters "
        "WHERE from_utf8(value) LIKE '%wish-%' ORDER BY partition, value"
    )
    assert sorted(letters) == [
        ["MISSING_FIELD", 1, 1, True],
        ["UNKNOWN_EVENT_TYPE", 3, 2, False],
        ["UNKNOWN_EVENT_TYPE", 3, 2, False],
    ]

    (again,) = query_replay(spark)
    assert (again.tried, again.staged) == (0, 0)
    assert places("wish") == {"staged": 2, "replayed": 2, "open": 1}


def query_replay(spark, which: Selection = WISHLISTS, dry_run: bool = False) -> list:
    return [
        result
        for result in dead_letters.replay(spark, which, timedelta(0), dry_run, held)
        if result.topic == "user-events"
    ]


def test_of_two_letters_with_one_event_a_replay_stages_one(
    spark, settings, places, query, with_wishlists
):
    other = event("twice-wish").replace('"P1"', '"P2"')
    produce(settings, event("twice-wish"), event("twice-wish"), other, partition=0)
    ingest(spark, settings)
    with_wishlists()
    (done,) = query_replay(spark)
    assert (done.passed, done.staged, done.duplicate) == (1, 1, 1)
    assert done.by_class == {"DUPLICATE_CONFLICT": 1}
    assert places("twice-wish") == {"staged": 1, "replayed": 1, "duplicate": 1, "open": 1}
    assert query(
        "SELECT d.offset - s.kafka_offset, d.first_offset - s.kafka_offset FROM ops.duplicates d"
        " JOIN staging.stg_user_events s USING (event_id) WHERE event_id = 'twice-wish'"
    ) == [[1, 0]]
    conflict = replace(TODAY, error_class="DUPLICATE_CONFLICT")
    assert dead_letters.discard(spark, conflict, "other tests count wishlists", False, held) == 1


def test_a_replay_that_ended_between_its_two_commits_stages_nothing_twice(
    spark, settings, places, with_wishlists, monkeypatch
):
    produce(settings, event("halfway-wish"))
    ingest(spark, settings)
    with_wishlists()
    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "settle", None)
        with pytest.raises(TypeError):
            query_replay(spark)
    assert places("halfway-wish") == {"staged": 1, "open": 1}

    (done,) = query_replay(spark)
    assert (done.passed, done.staged) == (1, 0)
    assert places("halfway-wish") == {"staged": 1, "replayed": 1}


def test_an_ingest_that_stages_the_event_during_a_replay_leaves_it_staged_once(
    spark, settings, places, query, with_wishlists, monkeypatch
):
    produce(settings, event("beside-wish"))
    ingest(spark, settings)
    with_wishlists()
    write_rows = dead_letters.write_rows

    def after_an_ingest(rows, layout):
        """The ids of staging were looked at, and nothing is committed yet."""
        monkeypatch.setattr(dead_letters, "write_rows", write_rows)
        produce(settings, event("beside-wish", "add_to_cart"))
        ingest(spark, settings)
        return write_rows(rows, layout)

    monkeypatch.setattr(dead_letters, "write_rows", after_an_ingest)
    (done,) = query_replay(spark)
    assert (done.staged, done.duplicate) == (0, 1)
    assert places("beside-wish") == {"staged": 1, "duplicate": 1}


def test_a_replay_that_stages_the_event_during_an_ingest_leaves_it_staged_once(
    spark, settings, places, with_wishlists, monkeypatch
):
    produce(settings, event("within-wish"))
    ingest(spark, settings)
    with_wishlists()
    check = TopicRun._check

    def after_a_replay(run, batch):
        """The batch is written, and not committed yet."""
        monkeypatch.setattr(TopicRun, "_check", check)
        query_replay(spark)
        check(run, batch)

    monkeypatch.setattr(TopicRun, "_check", after_a_replay)
    produce(settings, event("within-wish", "add_to_cart"))
    report = ingest(spark, settings)["user-events"]
    assert (report.total.staged, report.total.duplicate, report.retries) == (0, 1, 1)
    assert places("within-wish") == {"staged": 1, "replayed": 1}


@pytest.mark.parametrize("checks_that_pass", [0, 1, 2])
def test_a_replay_that_loses_its_lock_commits_nothing_more(
    spark, settings, places, with_wishlists, checks_that_pass
):
    name = f"lost{checks_that_pass}-wish"
    produce(settings, event(name))
    ingest(spark, settings)
    with_wishlists()
    passing = iter([None] * checks_that_pass)

    def check() -> None:
        if next(passing, "lost") == "lost":
            raise LakehouseError("The lock on user-events is lost: a test took it", "Again")

    before = current_snapshot(spark, STG_USER_EVENTS), current_snapshot(spark, DEAD_LETTERS)
    with pytest.raises(LakehouseError, match="The lock on user-events is lost"):
        dead_letters.replay(spark, WISHLISTS, timedelta(0), False, check)
    after = current_snapshot(spark, STG_USER_EVENTS), current_snapshot(spark, DEAD_LETTERS)
    assert (after == before) == (checks_that_pass == 0)
    # Staging first, then duplicates, then the letter.
    assert places(name) == {"open": 1} | ({"staged": 1} if checks_that_pass else {})

    query_replay(spark)
    assert places(name) == {"staged": 1, "replayed": 1}


def test_a_letter_that_another_discards_during_a_discard_keeps_the_first_reason(
    spark, settings, places, query, monkeypatch
):
    produce(settings, event("both-wish"))
    ingest(spark, settings)
    replace_rows = dead_letters.replace_rows

    def after_another(*arguments):
        monkeypatch.setattr(dead_letters, "replace_rows", replace_rows)
        assert dead_letters.discard(spark, WISHLISTS, "first", False, held) == 1
        return replace_rows(*arguments)

    monkeypatch.setattr(dead_letters, "replace_rows", after_another)
    assert dead_letters.discard(spark, WISHLISTS, "second", False, held) == 0
    assert query(
        "SELECT reason FROM ops.dead_letters WHERE from_utf8(value) LIKE '%both-wish%'"
    ) == [["first"]]


def test_a_replayed_message_keeps_its_coordinates_and_bytes(spark, settings, query, with_wishlists):
    value = event("bytes-wish").replace("{}", '{"note" : "caf\\u00e9 ☕"}')
    produce(settings, value, headers=[("source", b"app"), ("none", None)])
    ingest(spark, settings)
    ((partition, offset),) = query(
        'SELECT "partition", "offset" FROM ops.dead_letters '
        "WHERE from_utf8(value) LIKE '%bytes-wish%'"
    )
    with_wishlists()
    query_replay(spark, Selection(positions=(Position("user-events", partition, offset),)))
    assert query(
        "SELECT kafka_partition, kafka_offset, event_data FROM staging.stg_user_events "
        "WHERE event_id = 'bytes-wish'"
    ) == [[partition, offset, '{"note" : "caf\\u00e9 ☕"}']]


def test_a_discarded_letter_has_its_reason_and_is_not_replayed(
    spark, settings, places, query, with_wishlists
):
    produce(settings, event("unwanted-wish"))
    ingest(spark, settings)
    assert dead_letters.discard(spark, WISHLISTS, "", dry_run=True, check_locks=held) == 1
    assert places("unwanted") == {"open": 1}
    assert (
        dead_letters.discard(spark, WISHLISTS, "test traffic", dry_run=False, check_locks=held) == 1
    )
    with_wishlists()
    assert query_replay(spark)[0].tried == 0
    assert places("unwanted") == {"discarded": 1}
    assert query(
        "SELECT reason FROM ops.dead_letters WHERE from_utf8(value) LIKE '%unwanted%'"
    ) == [["test traffic"]]


def test_a_settled_letter_loses_its_payload_and_stays_accounted_for(spark, settings, query):
    produce(settings, event("private-wish"))
    ingest(spark, settings)
    dead_letters.discard(spark, WISHLISTS, "test traffic", dry_run=False, check_locks=held)
    assert clear_settled_letters(spark, timedelta(days=1)) == 0
    count = "SELECT count(*) FROM ops.dead_letters"
    (before,) = query(count)
    assert clear_settled_letters(spark, timedelta(0)) > 0
    assert query(count) == [before]
    assert query(
        "SELECT count(*) FROM ops.dead_letters WHERE from_utf8(value) LIKE '%private%'"
    ) == [[0]]


def test_a_batch_of_bad_messages_alone_commits(spark, settings, places):
    produce(settings, *(f"all-bad-{number} is no JSON" for number in range(50)))
    total = ingest(spark, settings)["user-events"].total
    assert (total.staged, total.dead) == (0, 50)
    assert places("all-bad") == {"open": 50}


def test_one_bad_message_among_many_good_ones_is_the_only_dead_letter(spark, settings, places):
    good = [event(f"among-{number}", "view") for number in range(20_000)]
    produce(settings, *good[:9_999], "among bad", *good[9_999:])
    total = ingest(spark, settings)["user-events"].total
    assert (total.staged, total.dead) == (20_000, 1)
    assert places("among") == {"staged": 20_000, "open": 1}


def test_a_value_above_the_limit_is_kept_by_length_digest_and_beginning(spark, settings, query):
    value = "no JSON " * 1000
    produce(settings, value)
    ingest(spark, settings.model_copy(update={"dead_letter_value_limit": 5000}))
    rows = query(
        "SELECT from_utf8(value), value_bytes, value_sha256 FROM ops.dead_letters "
        "WHERE value_bytes = 8000"
    )
    # printf 'no JSON %.0s' {1..1000} | sha256sum
    assert rows == [
        [value[:1024], 8000, "ffcdf9b2459479f023e439f5489da97ce74bd4d5198673db357da658a23caebe"]
    ]
    (replayed,) = query_replay(spark, TODAY)
    assert replayed.cut == 1


def test_too_many_dead_letters_stop_the_run_before_it_commits(spark, settings, places):
    produce(settings, event("stop-1", "view"), "stop-2 is no JSON", "stop-3 is no JSON")
    strict = settings.model_copy(update={"dead_letter_stop": 0.5})
    with pytest.raises(LakehouseError) as stopped:
        ingest(spark, strict)
    assert "user-events: 2 of 3 messages of this run (66.7%) break" in str(stopped.value)
    assert re.search(r"MALFORMED_JSON 2 times \(for example user-events/\d/", str(stopped.value))
    assert places("stop-") == {}
    ingest(spark, settings.model_copy(update={"dead_letter_stop": 0.7}))
    assert places("stop-") == {"staged": 1, "open": 2}


def test_many_dead_letters_are_warned_of(spark, settings, caplog):
    produce(settings, "warn-1 is no JSON", event("warn-2", "view"))
    with caplog.at_level("WARNING", "lakehouse"):
        ingest(spark, settings)
    (record,) = [record for record in caplog.records if "DEAD_LETTER_WARN" in record.message]
    assert (record.topic, record.share, record.dead, record.read) == ("user-events", 0.5, 1, 2)


@pytest.fixture
def job(spark, settings, monkeypatch, capsys):
    """jobs/dead_letters.py with these words, in the session of the tests; what it prints."""

    def run(*words: str) -> str:
        monkeypatch.setattr("lakehouse.job.run", lambda _, job: job(spark, settings))
        script = runpy.run_path(f"{REPOSITORY}/jobs/dead_letters.py")
        capsys.readouterr()
        script["app"](words, standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_the_job_counts_shows_replays_and_discards(settings, spark, command, job):
    produce(settings, event("job-wish"), "job-\x1b[31m")
    ingest(spark, settings)
    wishlists = ("--class", "UNKNOWN_EVENT_TYPE", "--day", str(TODAY.day))

    summary = command("spark-submit", "jobs/dead_letters.py", "summary").stdout
    assert re.search(r"user-events +\S+ +UNKNOWN_EVENT_TYPE +event_type", summary)
    shown = job("show", *wishlists)
    assert "event_type: must be one of view" in shown
    assert "job-wish" not in shown
    shown = job("show", "--payload", "--limit", "1000")
    assert "job-wish" in shown
    assert r"job-\x1b[31m" in shown
    assert "nothing was changed" in job("replay", *wishlists, "--dry-run")
    reason = ("--reason", "test traffic")
    assert "1 dead letters would be discarded" in job("discard", *wishlists, *reason, "--dry-run")
    assert "1 dead letters are discarded" in job("discard", *wishlists, *reason)
    assert "test traffic" in job("show", "--settled", *wishlists)


def test_the_job_discards_nothing_without_being_told_what(job):
    with pytest.raises(typer.BadParameter, match="say which"):
        job("discard", "--reason", "everything")
