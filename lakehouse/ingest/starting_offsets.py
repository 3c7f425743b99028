"""Tables' bookmarks, Kafka's topics -> the offsets at which a run begins, or why it must not.

What Kafka has lost for good can be accepted, with a reason. Everything else that would lose a
message, or take one for another, is refused with the way to resolve it.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.table import Table
from lakehouse.ingest.acceptance import Acceptance, NamedGap, NamedTopic, command
from lakehouse.kafka.generations import generation_of
from lakehouse.kafka.offsets import Frontier, LastMessage, Origin
from lakehouse.kafka.topics import Topic
from lakehouse.tables.accepted import AcceptedTopic, Gap, as_recorded, record_gaps, record_topic
from lakehouse.tables.bookmarks import Bookmark
from lakehouse.tables.definitions import ACCEPTED_TOPICS

log = logging.getLogger("lakehouse.ingest")


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
    # The last messages that raw has taken in.
    last_messages: dict[int, LastMessage] = field(default_factory=dict)
    # Partitions, and offsets at which Kafka has another message than was taken in from there.
    changed: Sequence[tuple[int, int]] = ()


def plan(
    topic: Topic,
    bookmarks: Mapping[Table, Bookmark],
    gaps: Sequence[Gap],
    topics: Sequence[AcceptedTopic],
    first_in_raw: Frontier,
    changed: Sequence[tuple[int, int]] = (),
) -> Plan:
    """Begin where the table that is least far ends.

    `bookmarks` are of all tables, raw first; `gaps` and `topics` are the accepted ones.
    `first_in_raw` has raw's first offset of each partition that another table does not know. A log
    with `changed` messages counts as another topic.
    """
    generation = topics[-1].generation if topics else 0
    _check_generation(topic.name, bookmarks, generation)
    topic, replaced = as_recorded(topic, (each.origin for each in bookmarks.values()), topics)
    if changed and not replaced:
        replaced, topic = topic.origin, topic.of_generation(generation + 1)
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
    last_messages = bookmarks[raw].last_messages
    return Plan(topic, offsets, lost, replaced, taken, frontiers, last_messages, changed)


def accept(
    spark: SparkSession,
    plans: Sequence[Plan],
    acceptance: Acceptance,
    known_gaps: Collection[NamedGap] = (),
    known_topics: Collection[NamedTopic] = (),
) -> None:
    """Record what the plans need and a person has accepted by name, for later runs and audits.

    LakehouseError, before anything is recorded, where something else is needed than is accepted.
    `known_gaps` and `known_topics` were accepted before: to name one of them again is no mistake.
    """
    topics = {_named_topic(each): each for each in plans if each.replaced}
    gaps = {_named_gap(each, gap): (each, gap) for each in plans for gap in each.gaps}
    is_other_gap = set(acceptance.gaps) - gaps.keys() - set(known_gaps)
    is_other_topic = set(acceptance.topics) - topics.keys() - set(known_topics)
    way_on = command(gaps, topics)
    if is_other_topic or topics.keys() - set(acceptance.topics):
        raise _not_accepted(list(topics.values()), is_other_topic, way_on)
    if is_other_gap or gaps.keys() - set(acceptance.gaps):
        raise _lost(list(gaps), is_other_gap, way_on)
    for plan in topics.values():
        topic = plan.topic
        record_topic(spark, topic.name, topic.generation, topic.origin, acceptance.why)
    for plan in plans:
        if plan.gaps:
            record_gaps(spark, plan.topic.name, plan.gaps, acceptance.why)
    if acceptance.topics and not topics:
        log.warning("--accept-new-topic: accepted before; nothing was accepted now")
    if acceptance.gaps and not gaps:
        log.warning("--accept-gap: accepted before; nothing was accepted now")


def named_gap(topic: str, gap: Gap) -> NamedGap:
    """The name by which a gap is accepted."""
    return NamedGap(topic, gap.partition, gap.start, gap.end - 1)


def _named_gap(plan: Plan, gap: Gap) -> NamedGap:
    return named_gap(plan.topic.name, gap)


def _named_topic(plan: Plan) -> NamedTopic:
    return NamedTopic(plan.topic.name, plan.topic.generation, plan.topic.origin.topic_id)


def _not_accepted(
    plans: Sequence[Plan], others: Collection[NamedTopic], way_on: str
) -> LakehouseError:
    if not plans:
        return _is_other("--accept-new-topic", others, "no topic is another than before")
    if any(p.replaced == p.topic.origin for p in plans):
        start = "Restore the log that was there; or, if this one is to stay, go on from"
    elif any(p.replaced and p.replaced.cluster_id != p.topic.origin.cluster_id for p in plans):
        start = (
            "Correct KAFKA_BOOTSTRAP_SERVERS; or, if the topic has moved to this cluster, go on"
            " from"
        )
    else:
        start = "Go on from"
    return LakehouseError(
        "; ".join(_difference(each) for each in plans)
        + ". What the old one held beyond that is not in the tables",
        f"Nothing was changed. {start} the beginning of the new one: {way_on}; each audit will"
        " show it",
    )


def _is_other(
    option: str, names: Collection[NamedGap | NamedTopic], instead: str
) -> LakehouseError:
    return LakehouseError(
        f"{option} names {', '.join(sorted(map(str, names)))}, and {instead}",
        "Nothing was changed. Leave it out",
    )


def _difference(plan: Plan) -> str:
    name, (cluster_id, topic_id) = plan.topic.name, plan.topic.origin
    ends = ", ".join(f"{name}/{p} before offset {end}" for p, end in sorted(plan.taken.items()))
    ends = ends or "nothing of it"
    if plan.replaced == plan.topic.origin:
        where = ", ".join(f"{name}/{p} offset {offset}" for p, offset in plan.changed)
        return (
            f"Kafka has another message than was taken in from there at {where}, as after an"
            " unclean leader election or on a broker restored from an older copy; the tables have"
            f" {ends}"
        )
    if plan.replaced and plan.replaced.cluster_id != cluster_id:
        return (
            f"{name} was taken in from the Kafka cluster {plan.replaced.cluster_id} and this is"
            f" {cluster_id}; the tables have {ends}"
        )
    return (
        f"The topic {name} was deleted and made anew: its id was"
        f" {plan.replaced and plan.replaced.topic_id} and is {topic_id}; the tables have {ends}"
    )


def _lost(gaps: Collection[NamedGap], others: Collection[NamedGap], way_on: str) -> LakehouseError:
    if not gaps:
        return _is_other("--accept-gap", others, "Kafka has lost nothing")
    return LakehouseError(
        "Kafka no longer holds messages that were not yet taken in:"
        f" {', '.join(sorted(map(str, gaps)))}",
        f"Nothing was changed. If they cannot be restored, go on without them: {way_on}; each"
        " audit will show them",
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
    """The offset to resume at: past the gap if the table has reached it, else unchanged."""
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
