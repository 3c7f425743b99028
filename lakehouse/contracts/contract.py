"""One declaration per topic: what its messages must be, from which all else follows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import inspect

from lakehouse.contracts.columns import columns_of
from lakehouse.contracts.fast import Accepted, FastPath
from lakehouse.contracts.parse import Parser
from lakehouse.contracts.value_types import Instant, is_personal, kind_of, said_of


@dataclass(frozen=True)
class Requirement:
    """Fields that are required where another field has one of these values.

    `fields` are of the message, or of an embedded document: `event_data.price`.
    """

    field: str
    values: tuple[str, ...]
    fields: tuple[str, ...]
    error_class: str = "MISSING_FIELD"

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
    # Of its staging table.
    description: str
    payload: type[msgspec.Struct]
    # The field that the Kafka key repeats; a null field has a null key.
    key: str
    # The field that says when what is told happened; Kafka's timestamp where it is absent.
    time: str
    # Iceberg's transforms, by which staging is partitioned; an empty tuple for a small topic.
    partitioned_by: tuple[str, ...]
    # Required fields of type msgspec.Raw, which hold an object: its text is kept whole -> those of
    # its fields that become columns as well.
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
    # Days without a message after which somebody should look; None: it may always be silent.
    silent_days: int | None = None

    def __post_init__(self) -> None:
        """Refuse a declaration from which no tables or parser would follow."""
        fields = {field.name: kind_of(field.type) for field in msgspec.structs.fields(self.payload)}
        for role in ("key", "time", "repeats_by"):
            name = getattr(self, role)
            if name is not None and name not in fields:
                raise ValueError(
                    f"{self.topic}: {role} is {name}, which is no field of the message"
                )
        if not isinstance(fields[self.key][0], inspect.StrType):
            raise ValueError(f"{self.topic}: the key is {self.key}, which is no text")
        if fields[self.time][0] != inspect.type_info(Instant):
            raise ValueError(f"{self.topic}: the time is {self.time}, which is no Instant")
        for name in self.embedded:
            if fields.get(name) != (inspect.RawType(), False):
                raise ValueError(f"{self.topic}: {name} is embedded, but no required msgspec.Raw")
        for name, (kind, _) in fields.items():
            if isinstance(kind, inspect.AnyType):
                raise ValueError(f"{self.topic}: {name} is a Label outside an embedded document")
        names = [column.name for column in self.columns]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{self.topic}: two columns of staging have one name: {name}")
        if self.tombstones and self.repeats_by == self.key:
            raise ValueError(
                f"{self.topic}: a tombstone has the key {self.key} of an earlier message, so a"
                " message can't be known by it as the repetition of another"
            )

    @property
    def stem(self) -> str:
        """The topic as a part of names of tables: user_events."""
        return self.topic.replace("-", "_")

    @property
    def id_column(self) -> str:
        """The field by which messages repeat each other, for topics where they may."""
        if self.repeats_by is None:
            raise ValueError(f"{self.topic}: no message repeats another")
        return self.repeats_by

    @cached_property
    def columns(self) -> list[pa.Field]:
        """The columns of staging, without Kafka's."""
        return [
            *columns_of(self.payload),
            *(each for message in self.embedded.values() for each in columns_of(message)),
            *([pa.field("is_deleted", pa.bool_())] if self.tombstones else []),
            pa.field("extra", pa.string()),
        ]

    @cached_property
    def descriptions(self) -> dict[str, str]:
        """What the columns of staging hold, without Kafka's."""
        found = {
            name: meta.description or ""
            for name, type_ in self._types.items()
            if (meta := said_of(type_))
        }
        if self.tombstones:
            found["is_deleted"] = "True for a tombstone, which has no other attributes."
        return found | {
            "extra": "Fields that the contract does not know, as a JSON object; null if none."
        }

    @cached_property
    def personal(self) -> frozenset[str]:
        """The columns of staging that are about a person, `extra` perhaps among them."""
        found = {name for name, type_ in self._types.items() if is_personal(type_)}
        return frozenset(found | {"extra"} if found else found)

    @property
    def _types(self) -> dict[str, Any]:
        return {
            field.name: field.type
            for message in (self.payload, *self.embedded.values())
            for field in msgspec.structs.fields(message)
        }

    @cached_property
    def parse(self) -> Callable[[bytes | None, bytes | None, datetime], tuple[Any, ...]]:
        """Return one value per column from value, key and Kafka timestamp, or raise Rejected."""
        return Parser(self)

    @cached_property
    def accept(self) -> Callable[[pa.RecordBatch], Accepted] | None:
        """Do the same for all messages that are certain at once; None where nothing is."""
        return FastPath(self) if self.is_fast else None
