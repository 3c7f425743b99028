"""Each kind of damage to a lakehouse is found, named and located, and repaired before the next."""

import json
import re
import runpy
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256

import broker
import pytest
from lakehouses import FaultHome, session_of, store_of
from pyspark.sql import functions as F  # noqa: N812
from shop import RAW_USER_EVENTS, STG_USER_EVENTS

from lakehouse.audit.run import audit
from lakehouse.dead_letters.browse import Selection
from lakehouse.dead_letters.settle import discard
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.branch_commit import replace_rows
from lakehouse.iceberg.catalog import current_snapshot, iceberg_table
from lakehouse.ingest.run import ingest
from lakehouse.kafka.topics import read_topics
from lakehouse.maintenance.expire import clear_settled_letters
from lakehouse.stack.home import REPOSITORY
from lakehouse.tables.definitions import ACCEPTED_GAPS, DEAD_LETTERS, DUPLICATES

pytestmark = pytest.mark.usefixtures("topics")
produce = partial(broker.produce, key="u")
EVENT = (
    '{{"event_id":"audit-{id}","user_id":"u","product_id":"P1","event_type":"view",'
    '"event_timestamp":"2026-03-05T10:00:00Z","event_data":{{}}}}'
)
RAW, STAGED = RAW_USER_EVENTS.identifier, STG_USER_EVENTS.identifier
LETTERS = DEAD_LETTERS.identifier


@pytest.fixture(scope="module")
def ingested(spark, settings, topics) -> int:
    """Two ingests: 4 good messages and 1 bad one, then 1 good one. Their partition."""
    produce(settings, *(EVENT.format(id=number) for number in range(4)), "audit-4 is no JSON")
    ingest(spark, settings)
    produce(settings, EVENT.format(id=5))
    ingest(spark, settings)
    return spark.table(STAGED).where("event_id = 'audit-5'").head().kafka_partition


@pytest.fixture
def offset_of(spark, ingested):
    def of(event_id: str) -> int:
        return spark.table(STAGED).where(f"event_id = '{event_id}'").head().kafka_offset

    return of


@contextmanager
def repaired(spark, *tables):
    """Afterwards the tables are at the snapshots that they are at now; or empty, without one."""
    before = [(table, current_snapshot(spark, table)) for table in tables]
    try:
        yield
    finally:
        for table, snapshot in before:
            if not snapshot:
                spark.sql(f"DELETE FROM {table.identifier}")
            elif current_snapshot(spark, table) != snapshot:
                spark.sql(
                    "CALL lake.system.set_current_snapshot(:table, :snapshot)",
                    {"table": table.identifier, "snapshot": snapshot},
                )


@pytest.fixture
def found(spark, settings, ingested):
    def by_rule(**options) -> dict:
        return {finding.rule: finding for finding in audit(spark, settings, **options).findings}

    return by_rule


def test_an_empty_lakehouse_is_conserved(spark, settings, stack, tmp_path):
    like = json.loads((stack.path / "stack.json").read_text())
    home = FaultHome(tmp_path / "empty", "empty", like)
    store_of(home).create_dir(home.bucket)
    empty = session_of(spark, home)
    assert audit(empty, settings).verdict == "conserved: 0 messages, each exactly once"


def test_each_message_is_counted_where_it_is(spark, settings, ingested):
    result = audit(spark, settings, is_full=True)
    assert result.findings == []
    (counts,) = (
        p for p in result.partitions if (p.topic, p.partition) == ("user-events", ingested)
    )
    assert (counts.start, counts.duplicate, counts.accepted_gap) == (0, 0, 0)
    assert counts.delivered == counts.raw == counts.frontier == counts.staged + counts.dead >= 6
    assert counts.dead >= 1


def test_an_audit_goes_on_where_the_last_one_that_held_has_ended(spark, settings, ingested, query):
    full = audit(spark, settings, is_full=True)
    (counts,) = (p for p in full.partitions if (p.topic, p.partition) == ("user-events", ingested))
    newest = f"""SELECT start_offset, end_offset, raw, staged, dead FROM ops.audits
        WHERE topic = 'user-events' AND partition = {ingested} ORDER BY audited_at DESC"""
    proven = query(newest)
    assert proven[0] == [0, counts.frontier, counts.raw, counts.staged, counts.dead]

    again = audit(spark, settings)
    assert again.verdict == "conserved: 0 messages, each exactly once"
    assert all(partition.start == partition.frontier for partition in again.partitions)
    assert query(newest) == proven

    produce(settings, EVENT.format(id="later"))
    ingest(spark, settings)
    later = audit(spark, settings)
    assert later.verdict == "conserved: 1 messages, each exactly once"
    assert query(newest)[0] == [counts.frontier, counts.frontier + 1, 1, 1, 0]


def changes_since_the_proof(result) -> list[str]:
    return result.changes["user-events"]


def test_a_loss_below_the_last_proof_is_found_and_its_snapshot_named(spark, settings, failed_job):
    assert audit(spark, settings, is_full=True).findings == []
    with repaired(spark, STG_USER_EVENTS):
        spark.sql(f"DELETE FROM {STAGED} WHERE event_id = 'audit-2'")
        result = audit(spark, settings)
        snapshot = current_snapshot(spark, STG_USER_EVENTS)
        printed = failed_job()
    assert [finding.rule for finding in result.findings] == ["unaccounted"]
    (change,) = changes_since_the_proof(result)
    assert re.fullmatch(
        r"staging\.stg_user_events: \w+ by spark \(engine-version 4\..*app-id .*\) at 20.* UTC in "
        rf"snapshot {snapshot} \(deleted-records \d+.*\)",
        change,
    )
    assert f"changed by others, so all offsets of user-events were compared: {change}" in printed


def test_a_row_that_trino_deleted_below_the_last_proof_is_found(
    spark, settings, query, failed_job, offset_of, ingested
):
    offset = offset_of("audit-2")
    assert audit(spark, settings, is_full=True).findings == []
    with repaired(spark, STG_USER_EVENTS):
        query("DELETE FROM staging.stg_user_events WHERE event_id = 'audit-2'")
        (query_id,) = query(
            "SELECT query_id FROM system.runtime.queries WHERE query LIKE 'DELETE FROM staging%' "
            "ORDER BY created DESC LIMIT 1"
        )[0]
        printed = failed_job()
        snapshot = current_snapshot(spark, STG_USER_EVENTS)
    assert re.search(
        rf"compared: staging\.stg_user_events: .* by trino \(.*trino_query_id {query_id}.*\) at "
        rf"20.* UTC in snapshot {snapshot} \(",
        printed,
    )
    assert (
        f"neither staged nor dead letters nor duplicates: user-events/{ingested}/{offset}"
        in printed
    )


def test_a_row_that_was_doubled_below_the_last_proof_is_found(spark, settings, found):
    assert audit(spark, settings, is_full=True).findings == []
    with repaired(spark, STG_USER_EVENTS):
        spark.sql(f"INSERT INTO {STAGED} SELECT * FROM {STAGED} WHERE event_id = 'audit-2'")
        assert found().keys() == {"twice"}


def test_rows_of_another_topic_that_were_deleted_make_nothing_wrong(spark, settings):
    with repaired(spark, DEAD_LETTERS):
        spark.sql(
            f"INSERT INTO {LETTERS} (topic, partition, offset, kafka_timestamp) VALUES "
            "('another', 0, 0, TIMESTAMP '2026-03-05 10:00:00')"
        )
        assert audit(spark, settings, is_full=True).findings == []
        spark.sql(f"DELETE FROM {LETTERS} WHERE topic = 'another'")
        result = audit(spark, settings)
        assert result.findings == []
        (change,) = changes_since_the_proof(result)
        assert f"in snapshot {current_snapshot(spark, DEAD_LETTERS)} (" in change
        # That audit held, so the next one need not look there again.
        again = audit(spark, settings)
    assert changes_since_the_proof(again) == []
    assert again.verdict == "conserved: 0 messages, each exactly once"


def test_a_table_that_lost_the_snapshot_of_the_last_audit_is_looked_at_in_full(spark, settings):
    with repaired(spark, DEAD_LETTERS):
        before = current_snapshot(spark, DEAD_LETTERS)
        spark.sql(
            f"INSERT INTO {LETTERS} (topic, partition, offset, kafka_timestamp) VALUES "
            "('another', 0, 0, TIMESTAMP '2026-03-05 10:00:00')"
        )
        assert audit(spark, settings, is_full=True).findings == []
        audited = current_snapshot(spark, DEAD_LETTERS)
        spark.sql(
            "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
            {"table": LETTERS, "snapshot": before},
        )
        result = audit(spark, settings)
    assert result.findings == []
    (change,) = changes_since_the_proof(result)
    assert f"ops.dead_letters: snapshot {audited}, at which the last audit looked, is not" in change
    assert result.messages > 0


def test_a_proof_of_an_old_version_is_not_relied_on(spark, settings, ingested):
    """One that did not note which snapshots it had looked at."""
    assert audit(spark, settings, is_full=True).findings == []
    columns = ("raw", "staged", "dead", "duplicate")
    unknown = ", ".join(f"{name}_snapshot = NULL" for name in columns)
    spark.sql(f"UPDATE lake.ops.audits SET {unknown} WHERE topic = 'user-events'")
    result = audit(spark, settings)
    (change,) = changes_since_the_proof(result)
    assert "did not note" in change
    assert result.messages > 0


def test_a_deleted_staged_row_is_found(spark, found, offset_of, ingested):
    offset = offset_of("audit-2")
    with repaired(spark, STG_USER_EVENTS):
        spark.sql(f"DELETE FROM {STAGED} WHERE event_id = 'audit-2'")
        findings = found(is_full=True)
    assert findings.keys() == {"unaccounted"}
    finding = findings["unaccounted"]
    assert (finding.count, finding.examples) == (1, [f"user-events/{ingested}/{offset}"])
    assert "spark-submit jobs/replay.py --topic user-events" in finding.fix
    assert found(is_full=True) == {}


def test_a_row_that_is_twice_in_a_table_is_found_there(spark, found):
    tables = (STG_USER_EVENTS, RAW_USER_EVENTS, DEAD_LETTERS)
    conditions = ("event_id = 'audit-2'", "offset = 0", "CAST(value AS STRING) LIKE 'audit-4%'")
    for table, condition in zip(tables, conditions, strict=True):
        with repaired(spark, table):
            rows = spark.table(table.identifier).where(condition).limit(1)
            rows.writeTo(table.identifier).append()
            findings = found(is_full=True)
        assert findings.keys() == {"twice"}
        assert findings["twice"].count == 1
        assert f"more than once in {table.name}" in str(findings["twice"])


def letter_of(spark, event_id: str, outcome: str):
    """A dead letter at the offset of a staged event."""
    coordinates = spark.table(STAGED).where(f"event_id = '{event_id}'").head()
    spark.sql(
        f"INSERT INTO {LETTERS} (topic, partition, offset, kafka_timestamp, outcome) VALUES "
        f"('user-events', {coordinates.kafka_partition}, {coordinates.kafka_offset}, "
        f"TIMESTAMP '2026-03-05 10:00:00', {outcome})"
    )


def test_a_message_that_is_staged_and_dead_is_found(spark, found, offset_of, ingested):
    with repaired(spark, DEAD_LETTERS):
        letter_of(spark, "audit-1", "NULL")
        findings = found(is_full=True)
    assert findings.keys() == {"in two places"}
    assert findings["in two places"].examples == [f"user-events/{ingested}/{offset_of('audit-1')}"]


def test_a_letter_that_was_settled_elsewhere_must_be_there(spark, settings, found):
    with repaired(spark, DEAD_LETTERS, STG_USER_EVENTS):
        letter_of(spark, "audit-1", "'replayed'")
        assert found(is_full=True) == {}
        spark.sql(f"DELETE FROM {STAGED} WHERE event_id = 'audit-1'")
        findings = found(is_full=True)
        assert findings.keys() == {"settled, but not there"}
        assert "settled as rows of staging.stg_user_events" in str(*findings.values())


def test_a_duplicate_counts_instead_of_a_staged_row(spark, settings, ingested, found):
    with repaired(spark, DUPLICATES, STG_USER_EVENTS, DEAD_LETTERS):
        letter_of(spark, "audit-1", "'duplicate'")
        event = spark.table(STAGED).where("event_id = 'audit-1'").head()
        spark.sql(f"DELETE FROM {STAGED} WHERE event_id = 'audit-1'")
        assert "settled as rows of ops.duplicates" in str(*found(is_full=True).values())
        spark.sql(
            f"INSERT INTO {DUPLICATES.identifier} VALUES ('user-events', {ingested}, "
            f"{event.kafka_offset}, TIMESTAMP '2026-03-05 10:00:00', 'audit-1', 0, 0)"
        )
        result = audit(spark, settings, is_full=True)
        assert result.findings == []
        assert sum(partition.duplicate for partition in result.partitions) == 1
        spark.sql(f"UPDATE {LETTERS} SET outcome = NULL WHERE outcome = 'duplicate'")
        assert found(is_full=True).keys() == {"in two places"}


def test_a_deleted_raw_row_is_found(spark, found, offset_of, ingested):
    offset = offset_of("audit-2")
    with repaired(spark, RAW_USER_EVENTS):
        spark.sql(f"DELETE FROM {RAW} WHERE partition = {ingested} AND offset = {offset}")
        findings = found(is_full=True)
    assert findings.keys() == {"not in raw"}
    assert findings["not in raw"].examples == [f"user-events/{ingested}/{offset}"]


def test_what_kafka_holds_and_no_table_is_found(spark, found, offset_of, ingested):
    offset = offset_of("audit-2")
    with lost(spark, ingested, offset):
        findings = found(is_full=True)
    assert findings.keys() == {"not in raw"}


@contextmanager
def lost(spark, partition: int, offset: int):
    with repaired(spark, RAW_USER_EVENTS, STG_USER_EVENTS):
        spark.sql(f"DELETE FROM {RAW} WHERE partition = {partition} AND offset = {offset}")
        spark.sql(
            f"DELETE FROM {STAGED} WHERE kafka_partition = {partition} AND kafka_offset = {offset}"
        )
        yield


def test_an_accepted_gap_is_shown_and_explains_what_is_missing(
    spark, settings, offset_of, ingested
):
    offset = offset_of("audit-2")
    with lost(spark, ingested, offset), repaired(spark, ACCEPTED_GAPS):
        spark.sql(
            f"INSERT INTO {ACCEPTED_GAPS.identifier} VALUES ('user-events', {ingested}, {offset}, "
            f"{offset + 1}, 'the disk was full', TIMESTAMP '2026-03-06 00:00:00')"
        )
        result = audit(spark, settings, is_full=True)
    assert result.findings == []
    assert [gap.reason for gap in result.gaps["user-events"]] == ["the disk was full"]
    counts = {p.partition: p for p in result.partitions if p.topic == "user-events"}
    assert counts[ingested].accepted_gap == 1
    assert counts[ingested].raw == counts[ingested].delivered - 1


def test_a_rolled_back_table_is_to_be_filled_by_the_next_ingest(spark, found, ingested):
    (first, *_) = spark.table(f"{STAGED}.history").orderBy("made_current_at").collect()
    with repaired(spark, STG_USER_EVENTS):
        spark.sql(
            "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
            {"table": STG_USER_EVENTS.identifier, "snapshot": first.snapshot_id},
        )
        findings = found()
    assert findings.keys() == {"apart"}
    assert findings["apart"].examples == [f"user-events/{ingested}"]
    assert "run jobs/ingest.py again" in findings["apart"].fix


def test_a_rollback_of_what_was_proven_is_found(spark, settings, found):
    audit(spark, settings)
    tables = (RAW_USER_EVENTS, STG_USER_EVENTS)
    with repaired(spark, *tables):
        for table in tables:
            (first, *_) = (
                spark.table(f"{table.identifier}.history").orderBy("made_current_at").collect()
            )
            spark.sql(
                "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
                {"table": table.identifier, "snapshot": first.snapshot_id},
            )
        assert found().keys() == {"rolled back"}


def test_a_row_at_an_offset_that_its_table_has_not_come_to_is_found(spark, found):
    with repaired(spark, RAW_USER_EVENTS):
        rows = spark.table(RAW).limit(1)
        rows.withColumn("offset", F.col("offset") + 10_000).writeTo(RAW).append()
        findings = found()
    assert findings.keys() == {"beyond the bookmark"}
    assert "offsets in raw.user_events lie" in str(findings["beyond the bookmark"])


def test_a_frontier_beyond_the_end_of_the_topic_is_found(found, monkeypatch, ingested):
    def cut_short(settings, names):
        (topic,) = read_topics(settings, names)
        return [replace(topic, latest=topic.latest | {ingested: 1})]

    monkeypatch.setattr("lakehouse.audit.run.read_topics", cut_short)
    findings = found()
    assert findings.keys() == {"not of this topic"}
    assert "Kafka has only come to 1" in str(findings["not of this topic"])


def test_a_file_that_is_missing_or_cut_is_found(spark, found):
    file = spark.table(f"{STAGED}.files").head().file_path
    io = iceberg_table(spark, STG_USER_EVENTS).io()
    content = io.newInputFile(file).newStream().readAllBytes()

    def write(data: bytes) -> None:
        stream = io.newOutputFile(file).createOrOverwrite()
        stream.write(data)
        stream.close()

    try:
        io.deleteFile(file)
        missing = found()
        write(content[:-1])
        cut = found()
    finally:
        write(content)
    assert missing.keys() == cut.keys() == {"files"}
    assert missing["files"].examples == [f"{file} is missing"]
    assert cut["files"].examples == [
        f"{file} has {len(content) - 1:,} bytes instead of {len(content):,}"
    ]
    assert found(is_full=True) == {}


@pytest.fixture
def ledger(settings, tmp_path, ingested):
    """All that Kafka holds, and one message that it will hold."""
    end = read_topics(settings, ["user-events"])[0].latest[ingested]
    file = tmp_path / "acknowledged messages.jsonl"
    lines = ({"topic": "user-events", "partition": ingested, "offset": o} for o in range(end))
    later = {"topic": "user-events", "partition": ingested, "offset": end + 5}
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, later]))
    return file


def test_what_a_producer_had_acknowledged_is_in_raw(spark, settings, ledger, offset_of, ingested):
    result = audit(spark, settings, ledger=ledger)
    assert result.findings == []
    assert result.acknowledged == len(ledger.read_text().splitlines())
    assert result.not_yet_taken_in == 1

    with lost(spark, ingested, offset := offset_of("audit-2")):
        found = {f.rule: f for f in audit(spark, settings, ledger=ledger).findings}
    assert found.keys() == {"not in raw", "acknowledged"}
    assert found["acknowledged"].examples == [f"user-events/{ingested}/{offset}"]


def test_a_value_that_is_not_the_one_that_was_acknowledged_is_found(
    spark, settings, tmp_path, offset_of, ingested
):
    """Digests by Python: of each value, of none, in capital letters, and of another value."""
    rows = spark.table(RAW).where(f"partition = {ingested}").orderBy("offset").collect()
    digests = {row.offset: sha256(row.value).hexdigest() for row in rows}
    digests[rows[0].offset] = digests[rows[0].offset].upper()
    digests[rows[1].offset] = None
    ledger = tmp_path / "ledger.jsonl"

    def audited() -> dict:
        lines = (
            {"topic": "user-events", "partition": ingested, "offset": offset, "sha256": digest}
            for offset, digest in digests.items()
        )
        ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return {f.rule: f for f in audit(spark, settings, ledger=ledger).findings}

    assert audited() == {}
    wrong = offset_of("audit-3")
    digests[wrong] = sha256(b"another value").hexdigest()
    findings = audited()
    assert findings.keys() == {"other content"}
    finding = findings["other content"]
    assert (finding.count, finding.examples) == (1, [f"user-events/{ingested}/{wrong}"])


def test_a_line_of_the_ledger_that_is_of_no_message_is_refused(spark, settings, ledger):
    with ledger.open("a") as file:
        file.write('{"topic": "user-events", "offset": 5}\n')
    with pytest.raises(LakehouseError, match=r"has a line that says .*'partition': None"):
        audit(spark, settings, ledger=ledger)
    ledger.write_text('{"topic": "user-events", "partition": 0, "offset": 0, "sha256": "abc"}\n')
    with pytest.raises(LakehouseError, match=r"has a line that says .*'sha256': 'abc'"):
        audit(spark, settings, ledger=ledger)


@pytest.fixture
def failed_job(spark, settings, ingested, monkeypatch, capsys):
    """jobs/audit.py with these words, in the session of the tests; what it prints."""

    def run(*words: str) -> str:
        monkeypatch.setattr("lakehouse.job.run", lambda _, job: job(spark, settings))
        script = runpy.run_path(f"{REPOSITORY}/jobs/audit.py")
        capsys.readouterr()
        with pytest.raises(SystemExit, match="1"):
            script["app"](words, standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_the_job_ends_with_its_verdict(command, ingested, ledger):
    printed = command("spark-submit", "jobs/audit.py", "--full", "--ledger", str(ledger)).stdout
    assert re.search(rf"user-events +{ingested} +0 ", printed)
    assert "1 of them not yet taken in" in printed
    assert printed.splitlines()[-1].startswith("verdict: conserved: ")


def test_the_job_fails_with_findings(command, spark, ingested, failed_job):
    with repaired(spark, STG_USER_EVENTS):
        spark.sql(f"DELETE FROM {STAGED} WHERE event_id = 'audit-2'")
        document = command("spark-submit", "jobs/audit.py", "--full", "--json", exit_code=1).stdout
        printed = failed_job("--full").splitlines()
    audited = json.loads(document)
    assert audited["verdict"] == "NOT conserved: 1 findings"
    assert not audited["is_conserved"]
    (finding,) = audited["findings"]
    assert (finding["rule"], finding["count"]) == ("unaccounted", 1)
    (partition,) = (
        p
        for p in audited["partitions"]
        if (p["topic"], p["partition"]) == ("user-events", ingested)
    )
    assert partition["staged"] + partition["dead"] == partition["raw"] - 1
    assert printed[-1] == "verdict: NOT conserved: 1 findings"
    assert printed[-2].startswith("user-events: 1 offsets in raw are neither staged nor dead")


def test_what_our_own_jobs_and_compactions_change_is_looked_at_by_nobody(
    spark, settings, query, ingested
):
    produce(settings, "no JSON, to be settled", EVENT.format(id="compacted"))
    ingest(spark, settings)
    assert audit(spark, settings, is_full=True).findings == []
    before = snapshots(spark)
    produce(settings, EVENT.format(id="after"))
    ingest(spark, settings)
    event = spark.table(STAGED).where("event_id = 'audit-1'").localCheckpoint()
    at = current_snapshot(spark, STG_USER_EVENTS)
    replace_rows(spark, STG_USER_EVENTS, event.select(STG_USER_EVENTS.position), event, at)
    assert discard(spark, Selection(), "only a test", False, lambda: None) > 0
    assert clear_settled_letters(spark, timedelta()) > 0
    spark.sql(f"DELETE FROM {STAGED} WHERE false")
    query("ALTER TABLE raw.user_events EXECUTE optimize")
    every_file = "options => map('rewrite-all', 'true')"
    spark.sql(f"CALL lake.system.rewrite_data_files(table => '{STAGED}', {every_file})")
    after = snapshots(spark)
    assert all(after[table] != before[table] for table in (RAW_USER_EVENTS, STG_USER_EVENTS))
    assert after[DEAD_LETTERS] != before[DEAD_LETTERS]
    result = audit(spark, settings)
    assert result.changes == {"user-events": [], "product-metadata": []}
    assert result.verdict == "conserved: 1 messages, each exactly once"


def snapshots(spark) -> dict:
    return {t: current_snapshot(spark, t) for t in (RAW_USER_EVENTS, STG_USER_EVENTS, DEAD_LETTERS)}
