"""Messages of both topics -> what the marts must show, computed a second time and another way.

Plain Python over the messages, with rules of its own: nothing here is shared with the code
that parses, stages and sums in the lakehouse, so a mistake there is not repeated here.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from generator import validity
from generator.messages import Received
from lakehouse.contracts.topics.product_metadata import CONTRACT as PRODUCT_METADATA
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS


class Shown(NamedTuple):
    """What the marts show of a product: its latest state that is not a deletion."""

    name: str | None
    category: str


class Purchase(NamedTuple):
    at: datetime
    amount: int


NOT_KNOWN = Shown(None, "Unknown product")


@dataclass
class Revenue:
    """One row of product_category_revenue, in millionths."""

    gross: int = 0
    returned: int = 0
    purchases: int = 0
    units: int = 0
    buyers: set[str] = field(default_factory=set)


@dataclass
class Views:
    """One row of top_viewed_products."""

    count: int = 0
    viewers: set[str] = field(default_factory=set)


class Sums:
    """State that the marts need, far smaller than the events themselves."""

    def __init__(self) -> None:
        self.events: set[str] = set()
        # By product, not by category: the category is only known when all products are read.
        self.sales: dict[tuple[date, str], Revenue] = defaultdict(Revenue)
        self.views: dict[tuple[date, str], Views] = defaultdict(Views)
        self.first_views: dict[tuple[str, date, str], datetime] = {}
        self.purchases: dict[tuple[str, date, str], list[Purchase]] = defaultdict(list)

    def add(self, event: validity.Event) -> None:
        if event.event_id in self.events:
            return
        self.events.add(event.event_id)
        day, user_id, product_id = event.at.date(), event.user_id, event.product_id
        if event.event_type == "view":
            views = self.views[day, product_id]
            views.count += 1
            if user_id is not None:
                views.viewers.add(user_id)
                grain = (user_id, day, product_id)
                self.first_views[grain] = min(event.at, self.first_views.get(grain, event.at))
        elif event.event_type in ("purchase", "return"):
            self._add_sale(event, self.sales[day, product_id])

    def _add_sale(self, event: validity.Event, sales: Revenue) -> None:
        amount = event.price * event.quantity
        if event.event_type == "return":
            sales.returned += amount
            return
        sales.gross += amount
        sales.purchases += 1
        sales.units += event.quantity
        if event.user_id is not None:
            sales.buyers.add(event.user_id)
            grain = (event.user_id, event.at.date(), event.product_id)
            self.purchases[grain].append(Purchase(event.at, amount))


def expected(user_events: Iterable[Received], products: Iterable[Received]) -> dict[str, Any]:
    """Counts and all rows of the marts. Of several events with one event_id the first counts."""
    read = {USER_EVENTS.topic: 0, PRODUCT_METADATA.topic: 0}
    valid = dict(read)
    latest: dict[str, tuple[tuple[datetime, int, int], Shown]] = {}
    for message in products:
        read[PRODUCT_METADATA.topic] += 1
        product = validity.product(message)
        if product is None:
            continue
        valid[PRODUCT_METADATA.topic] += 1
        version = (product.updated_at, message.partition, message.offset)
        is_newer = product.product_id not in latest or version > latest[product.product_id][0]
        if is_newer and not product.is_deleted:
            category = "Uncategorized" if product.category is None else product.category
            latest[product.product_id] = version, Shown(product.name, category)
    sums = Sums()
    for message in user_events:
        read[USER_EVENTS.topic] += 1
        event = validity.event(message)
        if event is not None:
            valid[USER_EVENTS.topic] += 1
            sums.add(event)
    shown = {product_id: product for product_id, (_, product) in latest.items()}
    return {
        "produced": read,
        "valid": valid,
        "invalid": {topic: read[topic] - valid[topic] for topic in read},
        "distinct_events": len(sums.events),
        "product_category_revenue": list(_category_revenue(sums, shown)),
        "top_viewed_products": list(_top_viewed(sums, shown)),
        "same_day_purchasers": list(_same_day(sums)),
    }


def _category_revenue(sums: Sums, shown: dict[str, Shown]) -> Iterator[dict[str, Any]]:
    totals: dict[tuple[date, str], Revenue] = defaultdict(Revenue)
    for (day, product_id), sales in sums.sales.items():
        total = totals[day, shown.get(product_id, NOT_KNOWN).category]
        total.gross += sales.gross
        total.returned += sales.returned
        total.purchases += sales.purchases
        total.units += sales.units
        total.buyers |= sales.buyers
    for (day, category), total in sorted(totals.items(), key=lambda item: item[0]):
        yield {
            "event_date": day.isoformat(),
            "category": category,
            "gross_revenue": _money(total.gross),
            "returned_amount": _money(total.returned),
            "net_revenue": _money(total.gross - total.returned),
            "purchase_count": total.purchases,
            "units_sold": total.units,
            "buyers": len(total.buyers),
        }


def _top_viewed(sums: Sums, shown: dict[str, Shown]) -> Iterator[dict[str, Any]]:
    ranks: dict[tuple[date, str], int] = {}
    of_day: dict[date, int] = defaultdict(int)
    by_rank = sorted(sums.views, key=lambda grain: (-sums.views[grain].count, grain[1]))
    for day, product_id in by_rank:
        of_day[day] += 1
        ranks[day, product_id] = of_day[day]
    for (day, product_id), views in sorted(sums.views.items(), key=lambda item: item[0]):
        product = shown.get(product_id, NOT_KNOWN)
        yield {
            "event_date": day.isoformat(),
            "product_id": product_id,
            "name": product.name,
            "category": product.category,
            "view_count": views.count,
            "unique_viewers": len(views.viewers),
            "view_rank": ranks[day, product_id],
        }


def _same_day(sums: Sums) -> Iterator[dict[str, Any]]:
    for grain, purchases in sorted(sums.purchases.items(), key=lambda item: item[0]):
        viewed_at = sums.first_views.get(grain)
        after = [p for p in purchases if viewed_at is not None and p.at >= viewed_at]
        if viewed_at is None or not after:
            continue
        user_id, day, product_id = grain
        purchased_at = min(p.at for p in after)
        yield {
            "user_id": user_id,
            "event_date": day.isoformat(),
            "product_id": product_id,
            "first_viewed_at": viewed_at.isoformat(timespec="microseconds"),
            "purchased_at": purchased_at.isoformat(timespec="microseconds"),
            "minutes_to_purchase": (purchased_at - viewed_at) // timedelta(minutes=1),
            "amount": _money(sum(p.amount for p in after)),
        }


def _money(millionths: int) -> str:
    sign = "-" if millionths < 0 else ""
    whole, fraction = divmod(abs(millionths), 1_000_000)
    return f"{sign}{whole}.{fraction:06d}"


def as_json(expectation: dict[str, Any]) -> str:
    return json.dumps(expectation, ensure_ascii=False, indent=1)
