"""One declaration per topic: what its messages must be, from which all else follows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa

from lakehouse.contracts.columns import column, columns_of
from lakehouse.contracts.fast import Accepted, FastPath
from lakehouse.contracts.parse import Parser


@dataclass(frozen=True)
class Requirement:
    """Fields that are required where another field has one of these values.

    `fields` are of the message, or of an embedded document: `event_data.price`.
    """

    field: str
    values: tuple[str, ...]
    fields: tuple[str, ...]
    error_class: str

    @property
    def rule(self) -> str:
        """The requirement in words."""
        fields = " and ".join(path.rpartition(".")[2] for path in self.fields)
        return f"{' and '.join(self.values)} need {fields}"


@dataclass(frozen=True)
class Contract:
    """What a topic's messages must be, and how its tables follow from that."""

    topic: str
    version: int
    payload: type[msgspec.Struct]
    # The field that the Kafka key repeats; a null field has a null key.
    key: str
    # The field that says when what is told happened; Kafka's timestamp where it is absent.
    time: str
    # Iceberg's transforms, by which staging is partitioned.
    partitioned_by: tuple[str, ...]
    # Fields whose text is kept whole -> their fields that become columns as well.
    embedded: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict)
    requires: tuple[Requirement, ...] = ()
    # Whether a null value deletes what the key names.
    tombstones: bool = False
    compacted: bool = False
    # The field by which a message repeats another; None: no message of the topic does.
    repeats_by: str | None = None
    # Fields, of the message or of an embedded document, that say something about an attempt to send
    # it: two deliveries that differ in nothing else have the same content.
    may_differ: frozenset[str] = frozenset()
    # Whether whole columns are parsed at once, which pays for topics with many messages.
    is_fast: bool = False

    @property
    def stem(self) -> str:
        """The topic as a part of names of tables: user_events."""
        return self.topic.replace("-", "_")

    @cached_property
    def columns(self) -> list[pa.Field]:
        """The columns of staging, without Kafka's."""
        return [
            *columns_of(self.payload),
            *(each for message in self.embedded.values() for each in columns_of(message)),
            *([column("is_deleted", bool)] if self.tombstones else []),
            column("extra", str),
        ]

    @cached_property
    def parse(self) -> Callable[[bytes | None, bytes | None, datetime], tuple[Any, ...]]:
        """Return one value per column from value, key and Kafka timestamp, or raise Rejected."""
        return Parser(self)

    @cached_property
    def accept(self) -> Callable[[pa.RecordBatch], Accepted] | None:
        """Do the same for all messages that are certain at once; None where nothing is."""
        return FastPath(self) if self.is_fast else None
