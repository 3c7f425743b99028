"""Where a run begins in Kafka, by the tables alone; or why it must not.

What Kafka has lost for good can be accepted, with a reason. Everything else that would lose a
message, or take one for another, is refused with the way to resolve it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from lakehouse.accepted import AcceptedTopic, Gap, as_recorded, record_gaps, record_topic
from lakehouse.bookmarks import Bookmark, Frontier, Origin
from lakehouse.errors import LakehouseError
from lakehouse.generations import generation_of
from lakehouse.kafka import Topic
from lakehouse.tables import ACCEPTED_TOPICS, Table

log = logging.getLogger("lakehouse.preflight")


@dataclass(frozen=True)
class Plan:
    """The first offset to read of each partition, and what must be accepted for that."""

    # With its partitions as the tables are to number them.
    topic: Topic
    offsets: Frontier
    gaps: list[Gap]
    # The topic that this one took the place of, unless that was accepted before.
    replaced: Origin | None
    # How far raw has taken that in.
    taken: Frontier
    # How far each table has come.
    frontiers: dict[Table, Frontier]


def plan(
    topic: Topic,
    bookmarks: Mapping[Table, Bookmark],
    gaps: Sequence[Gap],
    topics: Sequence[AcceptedTopic],
    first_in_raw: Frontier,
) -> Plan:
    """Begin where the table that is least far ends.

    `bookmarks` are of all tables, raw first; `gaps` and `topics` are the accepted ones.
    `first_in_raw` has raw's first offset of each partition that another table does not know.
    """
    generation = topics[-1].generation if topics else 0
    _check_generation(topic.name, bookmarks, generation)
    topic, replaced = as_recorded(topic, (each.origin for each in bookmarks.values()), topics)
    if not replaced:
        _check_ends(topic, bookmarks)
    raw, *others = bookmarks
    offsets: Frontier = {}
    lost = []
    for partition, first in (_gone(topic, bookmarks) | topic.earliest).items():
        in_raw = _end_of_raw(bookmarks, partition, first, gaps)
        ends = [in_raw]
        for table in others:
            known_end = bookmarks[table].frontier.get(partition)
            end = first_in_raw.get(partition, in_raw) if known_end is None else known_end
            ends.append(_past(gaps, partition, end))
            _check_behind_raw(topic.name, table, partition, ends[-1], min(in_raw, first))
        if in_raw < first:
            lost.append(Gap(partition, in_raw, first))
        if partition in topic.earliest:
            offsets[partition] = max(min(ends), first)
        if len(set(ends)) > 1:
            log.warning(
                "the tables are not equally far; going on from the least",
                extra={"topic": topic.name, "partition": partition, "next_offsets": ends},
            )
    taken = {p: o for p, o in bookmarks[raw].frontier.items() if generation_of(p) == generation}
    frontiers = {table: bookmark.frontier for table, bookmark in bookmarks.items()}
    return Plan(topic, offsets, lost, replaced, taken, frontiers)


def accept(
    spark: SparkSession, plans: Sequence[Plan], why_gap: str | None, why_new_topic: str | None
) -> None:
    """Record what the plans need, for every later run and audit.

    LakehouseError, before anything is recorded, where nobody gave a reason.
    """
    anew = [each for each in plans if each.replaced]
    with_gaps = [each for each in plans if each.gaps]
    if anew and not why_new_topic:
        raise _not_accepted(anew)
    if with_gaps and not why_gap:
        raise _lost(with_gaps)
    for each in anew:
        record_topic(
            spark, each.topic.name, each.topic.generation, each.topic.origin, str(why_new_topic)
        )
    for each in with_gaps:
        record_gaps(spark, each.topic.name, each.gaps, str(why_gap))
    if why_new_topic and not anew:
        log.warning("--accept-new-topic: no topic is another than before; nothing was accepted")
    if why_gap and not with_gaps:
        log.warning("--accept-gap: Kafka has lost nothing; nothing was accepted")


def _not_accepted(plans: Sequence[Plan]) -> LakehouseError:
    moved = any(p.replaced and p.replaced.cluster_id != p.topic.origin.cluster_id for p in plans)
    way_on = (
        "Correct KAFKA_BOOTSTRAP_SERVERS; or, if the topic has moved to this cluster, go on from"
        if moved
        else "Go on from"
    )
    return LakehouseError(
        "; ".join(_difference(each) for each in plans)
        + ". What the old one held beyond that is not in the tables",
        f"Nothing was changed. {way_on} the beginning of the new one:"
        ' spark-submit jobs/ingest.py --accept-new-topic "why"; each audit will show it',
    )


def _difference(plan: Plan) -> str:
    name, (cluster_id, topic_id) = plan.topic.name, plan.topic.origin
    ends = ", ".join(f"{name}/{p} before offset {end}" for p, end in sorted(plan.taken.items()))
    ends = ends or "nothing of it"
    if plan.replaced and plan.replaced.cluster_id != cluster_id:
        return (
            f"{name} was taken in from the Kafka cluster {plan.replaced.cluster_id} and this is"
            f" {cluster_id}; the tables have {ends}"
        )
    return (
        f"The topic {name} was deleted and made anew: its id was"
        f" {plan.replaced and plan.replaced.topic_id} and is {topic_id}; the tables have {ends}"
    )


def _lost(plans: Sequence[Plan]) -> LakehouseError:
    lost = ", ".join(
        f"{each.topic.name}/{gap.partition} offsets {gap.start} to {gap.end - 1}"
        for each in plans
        for gap in each.gaps
    )
    return LakehouseError(
        f"Kafka no longer holds messages that were not yet taken in: {lost}",
        "Nothing was changed. If they cannot be restored, go on without them:"
        ' spark-submit jobs/ingest.py --accept-gap "why"; each audit will show them',
    )


def _gone(topic: Topic, bookmarks: Mapping[Table, Bookmark]) -> Frontier:
    """Partitions of earlier generations, and the end of what is known of them."""
    ends: Frontier = {}
    for bookmark in bookmarks.values():
        for partition, end in bookmark.frontier.items():
            if generation_of(partition) < topic.generation:
                ends[partition] = max(end, ends.get(partition, 0))
    return ends


def _end_of_raw(
    bookmarks: Mapping[Table, Bookmark], partition: int, first: int, gaps: Sequence[Gap]
) -> int:
    raw, *_ = bookmarks.values()
    if partition in raw.frontier:
        return _past(gaps, partition, raw.frontier[partition])
    known = (p for bookmark in bookmarks.values() for p in bookmark.frontier)
    if any(generation_of(p) == generation_of(partition) for p in known):
        return _past(gaps, partition, 0)
    # A topic that was never taken in begins where Kafka begins: what was before is no loss.
    return first


def _past(gaps: Sequence[Gap], partition: int, end: int) -> int:
    """Where a table goes on that has come to an accepted gap; before that it lacks more."""
    for gap in gaps:
        if gap.partition == partition and gap.start <= end < gap.end:
            end = gap.end
    return end


def _check_generation(topic: str, bookmarks: Mapping[Table, Bookmark], newest: int) -> None:
    for table, bookmark in bookmarks.items():
        held = max(map(generation_of, bookmark.frontier), default=0)
        if held > newest:
            raise LakehouseError(
                f"{table.name} holds generation {held} of {topic}, which {ACCEPTED_TOPICS.name}"
                " does not list",
                f"Nothing was changed. Bring the rows of {ACCEPTED_TOPICS.name} back, for example"
                " with CALL lake.system.set_current_snapshot",
            )


def _check_behind_raw(topic: str, table: Table, partition: int, end: int, held_by_raw: int) -> None:
    if end < held_by_raw:
        raise LakehouseError(
            f"{table.name} lacks {topic}/{partition} offsets {end} to {held_by_raw - 1}; Kafka no"
            " longer holds them, and raw does",
            "Nothing was changed. Fill it from raw, then run this again:"
            f" spark-submit jobs/replay.py --topic {topic}",
        )


def _check_ends(topic: Topic, bookmarks: Mapping[Table, Bookmark]) -> None:
    for table, bookmark in bookmarks.items():
        for partition, taken in bookmark.frontier.items():
            held = topic.latest.get(partition, 0)
            if taken > held and generation_of(partition) == topic.generation:
                raise LakehouseError(
                    f"{topic.name}/{partition} ends at offset {held} in Kafka, and {table.name}"
                    f" has taken in all before {taken}",
                    "Nothing was changed. Kafka has lost messages, or was restored from an older"
                    " copy: restore it in full before the next run",
                )
