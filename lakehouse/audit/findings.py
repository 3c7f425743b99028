"""What an audit can find, in words: the rule that is broken, and the way to resolve it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lakehouse.audit.conservation import PartitionCount, Pattern, Problem

EXAMPLES = 4
INGEST = "run jobs/ingest.py again"
# Not a rule of conservation: the audit compares it where a ledger has digests.
OTHER_CONTENT = "other content"
REPLAY = "spark-submit jobs/replay.py --topic {topic}"
ROLL_BACK = (
    "find in lake.{table}.snapshots the one before the damage, "
    "CALL lake.system.rollback_to_snapshot('{table}', snapshot_id), then " + INGEST
)
# Rule -> what is wrong with the offsets, and what to do.
RULES = {
    "no coordinates": (
        "rows of {table} have no partition or offset",
        "Something else than jobs/ingest.py wrote them: delete them, or " + ROLL_BACK,
    ),
    "twice": (
        "offsets are more than once in {table}",
        "Something else than jobs/ingest.py wrote them: " + ROLL_BACK,
    ),
    "beyond the bookmark": (
        "offsets in {table} lie at or past its own bookmark",
        f"If a replay was interrupted, or was of a part, `{REPLAY}` ends it; else something else "
        "than our jobs wrote them: delete them before the next ingest, as it brings them again",
    ),
    "ahead of raw": (
        "offsets in {table} lie past the frontiers of raw and staging",
        "Both were rolled back: " + INGEST,
    ),
    "not in raw": (
        "offsets that Kafka or another table holds are missing in {table}",
        "Rows were removed: " + ROLL_BACK,
    ),
    "acknowledged": (
        "offsets that the producer had acknowledged are missing in {table}",
        "They are in Kafka, or lost to it; if it holds them, " + ROLL_BACK,
    ),
    OTHER_CONTENT: (
        "offsets in {table} have another value than the producer had acknowledged",
        "The topic was restored from another copy, or the table was changed: compare both with "
        "the producer's own records, and replace the wrong ones by hand",
    ),
    "unaccounted": (
        "offsets in raw are neither staged nor dead letters nor duplicates",
        "If an ingest was interrupted, "
        + INGEST
        + f"; else rows were removed, often from {{table}}: `{REPLAY}` brings them back from raw",
    ),
    "settled, but not there": (
        "dead letters were settled as rows of {table}, which has none at their offsets",
        f"Rows were removed: `{REPLAY}` brings them back from raw",
    ),
    "in two places": (
        "offsets are more than one of staged, dead letter and duplicate",
        f"If a replay was interrupted, run it again, `jobs/dead_letters.py replay` or `{REPLAY}`; "
        "else something else than our jobs wrote one of the two rows: delete that one",
    ),
}


@dataclass(frozen=True)
class Finding:
    """A broken rule: how many offsets break it, examples, and the remedy."""

    rule: str
    subject: str
    count: int
    what: str
    examples: list[str]
    fix: str

    def __str__(self) -> str:
        where = ", ".join(self.examples) + (", ..." if self.count > len(self.examples) else "")
        return f"{self.subject}: {self.count:,} {self.what}: {where}. {self.fix}"


def findings_of(
    topic: str, tables: dict[str, str], broken: Iterable[tuple[Problem, Pattern]]
) -> list[Finding]:
    """One per rule and table of a topic; `tables` gives the name of a place's table."""
    patterns: dict[Problem, list[Pattern]] = defaultdict(list)
    for problem, pattern in broken:
        patterns[problem].append(pattern)
    findings = []
    for problem, those in patterns.items():
        what, fix = (
            text.format(table=tables[problem.place], topic=topic) for text in RULES[problem.rule]
        )
        coordinates = sorted({(p.partition, o) for p in those for o in (p.first, p.last)})
        examples = [f"{topic}/{partition}/{offset}" for partition, offset in coordinates]
        count = sum(pattern.offsets for pattern in those)
        findings.append(Finding(problem.rule, topic, count, what, examples[:EXAMPLES], fix))
    return findings


def another_topic(topic: str) -> Finding:
    """Report a topic that is another: its offsets say nothing about those in the tables."""
    return Finding(
        "another topic",
        topic,
        1,
        "topic in Kafka is not the one that the tables were filled from",
        [topic],
        "It was deleted and made anew, or this is another cluster: jobs/ingest.py refuses, and "
        "says how to go on",
    )


def frontier_findings(
    partition: PartitionCount, staged: int, delivered: int | None, proven: int
) -> Iterator[Finding]:
    """How far raw has taken a partition in, against staging, Kafka and the audits before.

    `proven` is how far those audits have come; `delivered` is None where Kafka can't tell, as of a
    topic that another has taken the place of.
    """
    raw = f"raw has taken in up to {partition.frontier:,}"
    if partition.frontier != staged:
        yield _frontier_finding(
            "apart",
            partition,
            f"{raw} and staging up to {staged:,}",
            "An ingest was interrupted or is running, or a table was rolled back: " + INGEST,
        )
    if delivered is not None and partition.frontier > delivered:
        yield _frontier_finding(
            "not of this topic",
            partition,
            f"{raw}, but Kafka has only come to {delivered:,}",
            "It has lost messages, or was restored from an older copy: restore it in full",
        )
    if partition.frontier < proven:
        yield _frontier_finding(
            "rolled back",
            partition,
            f"{raw}, and an earlier audit has proved up to {proven:,}",
            f"raw was rolled back: {INGEST}, then jobs/audit.py --full",
        )


def _frontier_finding(rule: str, partition: PartitionCount, what: str, fix: str) -> Finding:
    where = f"{partition.topic}/{partition.partition}"
    return Finding(rule, partition.topic, 1, f"frontier: {what}", [where], fix)
