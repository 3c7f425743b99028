"""A plan -> the messages of some days of a shop, in the order in which they are delivered.

Same plan, same bytes, same order. Messages are made as they are asked for: only those that
are still under way (late ones, returns to come) are held in memory.
"""

import hashlib
import heapq
from bisect import bisect
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from itertools import accumulate, count
from random import Random

from generator.catalog import Catalog
from generator.faults import spoiled
from generator.messages import Message, encode
from generator.sessions import Action, Shoppers
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS

LATE_SHARE = 0.02
DUPLICATE_SHARE = 0.01
CHANGES_PER_PRODUCT_AND_DAY = 0.0375
# Visits by hour of the day: few at night, a bump at noon, most in the evening.
RHYTHM = (6, 4, 3, 2, 2, 3, 6, 12, 20, 26, 30, 34, 38, 36, 32, 32, 34, 40, 50, 62, 70, 64, 42, 18)
_BY_HOUR = list(accumulate(RHYTHM, initial=0))


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is made."""

    events: int
    products: int
    users: int
    days: int
    start: datetime
    bad_rate: float
    seed: int


@dataclass
class Tally:
    """Counts of the special messages that were made."""

    bad: int = 0
    duplicates: int = 0
    late: int = 0


class Traffic:
    """The stream of one plan: `catalog.initial()` comes first, then `messages()`."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.tally = Tally()
        self.catalog = Catalog(plan.products, plan.seed)
        self._random = Random(plan.seed)
        self._shoppers = Shoppers(self.catalog, plan.users, self._random)
        self._end = plan.start + timedelta(days=plan.days)
        self._made = 0
        # The number breaks ties of time, so that messages themselves are never compared.
        self._under_way: list[tuple[datetime, int, Message]] = []
        self._number = count()
        # Of all options: another plan with the same seed must not reuse an id for other content.
        digest = hashlib.blake2b(repr(astuple(plan)).encode(), digest_size=10).hexdigest()
        self._id_prefix = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:]}-"

    def messages(self) -> Iterator[Message]:
        """Exactly `plan.events` user events, and the product changes of those days."""
        plan = self.plan
        change_times = self._change_times()
        next_change = next(change_times, self._end)
        while self._made < plan.events:
            # Time follows the number of events made, so that both end together.
            now = moment(self._made / plan.events, plan)
            while next_change <= now:
                self._deliver(next_change, self.catalog.change(next_change))
                next_change = next(change_times, self._end)
            for action in self._shoppers.visit(now):
                if action.at < self._end and self._made < plan.events:
                    self._send(action)
            while self._under_way and self._under_way[0][0] <= now:
                yield heapq.heappop(self._under_way)[2]
        while self._under_way:
            yield heapq.heappop(self._under_way)[2]

    def _change_times(self) -> Iterator[datetime]:
        span = self._end - self.plan.start
        changes = int(self.plan.products * self.plan.days * CHANGES_PER_PRODUCT_AND_DAY)
        random = Random(f"changes {self.plan.seed}")
        for number in range(changes):
            # Jitter below the spacing: a product's updated_at only ever goes up.
            yield self.plan.start + span * ((number + random.random() / 2) / changes)

    def _send(self, action: Action) -> None:
        self._made += 1
        random = self._random
        event = {
            "event_id": f"{self._id_prefix}{self._made:012x}",
            "user_id": action.user_id,
            "product_id": action.product_id,
            "event_type": action.event_type,
            "event_timestamp": action.at,
            "event_data": action.event_data,
        }
        key = None if action.user_id is None else action.user_id.encode()
        if random.random() < self.plan.bad_rate:
            self.tally.bad += 1
            self._deliver(action.at, Message(USER_EVENTS.topic, key, spoiled(event, random)))
            return
        message = Message(USER_EVENTS.topic, key, encode(event))
        delivered_at = action.at
        if random.random() < LATE_SHARE:
            self.tally.late += 1
            # A phone that was offline: an hour at least, some days at most.
            delivered_at += timedelta(hours=min(1 + random.expovariate(1 / 10), 72))
        self._deliver(delivered_at, message)
        if random.random() < DUPLICATE_SHARE and self._made < self.plan.events:
            self._made += 1
            self.tally.duplicates += 1
            again = timedelta(seconds=1 + random.expovariate(1 / 600))
            self._deliver(delivered_at + again, message)

    def _deliver(self, at: datetime, message: Message) -> None:
        heapq.heappush(self._under_way, (at, next(self._number), message))


def moment(share: float, plan: Plan) -> datetime:
    """When `share` of the plan's traffic lies in the past: days alike, hours after RHYTHM."""
    day, within = divmod(share * plan.days, 1)
    visits = within * _BY_HOUR[-1]
    hour = bisect(_BY_HOUR, visits) - 1
    hours = hour + (visits - _BY_HOUR[hour]) / RHYTHM[hour]
    return plan.start + timedelta(days=day, hours=hours)
