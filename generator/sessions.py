"""A shopper arrives -> what they do, in order: views, carts, purchases, and returns days later."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple, TypeVar

from generator.catalog import Catalog, Product, orphan

GUEST_SHARE = 0.15
ORPHAN_SHARE = 0.002
CART_SHARE = 0.13
REMOVAL_SHARE = 0.2
CHECKOUT_SHARE = 0.5
RETURN_SHARE = 0.08
# A customer who orders the usual thing first and looks around afterwards.
REORDER_SHARE = 0.02
REGULARS_EXPONENT = -0.4
ORPHAN_NUMBERS = (90_000, 100_000)

T = TypeVar("T")


class Action(NamedTuple):
    """One event before it has an id."""

    at: datetime
    user_id: str | None
    product_id: str
    event_type: str
    event_data: dict[str, Any]


def draws(random: Random, values: Sequence[T], cumulative: Sequence[float]) -> Iterator[T]:
    """Weighted choices without end. In bulk, because one at a time costs twice as much."""
    while True:
        yield from random.choices(values, cum_weights=cumulative, k=4096)


def _weighted(random: Random, weights: dict[T, float]) -> Iterator[T]:
    return draws(random, list(weights), list(accumulate(weights.values())))


class Shoppers:
    """Everyone who visits the shop."""

    def __init__(self, catalog: Catalog, users: int, random: Random):
        self._random = random
        self._users = draws(
            random,
            range(1, users + 1),
            list(accumulate(rank**REGULARS_EXPONENT for rank in range(1, users + 1))),
        )
        self._products = draws(random, catalog.products, catalog.popularity)
        self._views = _weighted(random, {1: 30, 2: 22, 3: 16, 4: 11, 5: 8, 6: 6, 8: 4, 12: 3})
        self._quantities = _weighted(random, {1: 74, 2: 15, 3: 5, 6: 4, 12: 2})
        self._devices = _weighted(random, {"mobile": 58, "desktop": 34, "tablet": 8})
        self._referrers = _weighted(
            random, {"search": 40, "direct": 25, "newsletter": 15, "social": 12, "ads": 8}
        )
        self._reasons = _weighted(random, {"unwanted": 5, "damaged": 3, "wrong item": 2})

    def visit(self, at: datetime) -> list[Action]:
        """One session, whose first event is at `at`. Prices hold for the whole session."""
        random = self._random
        user_id = None if random.random() < GUEST_SHARE else f"U{next(self._users):06d}"
        context = {"session_id": f"{random.getrandbits(64):016x}", "device": next(self._devices)}
        arrival = {**context, "referrer": next(self._referrers)}
        actions: list[Action] = []
        cart: list[tuple[Product, int]] = []
        if random.random() < REORDER_SHARE:
            cart.append((self._product(), next(self._quantities)))
            actions += self._checkout(at, user_id, cart, context)
            at += self._pause(20)
            cart.clear()
        for _ in range(next(self._views)):
            product = self._product()
            seen = {**arrival, "page": f"/products/{product.product_id}"}
            actions.append(Action(at, user_id, product.product_id, "view", seen))
            at += self._pause(40)
            if random.random() < CART_SHARE:
                cart.append((product, next(self._quantities)))
                actions.append(_priced(at, user_id, "add_to_cart", *cart[-1], context))
                at += self._pause(15)
        if cart and random.random() < REMOVAL_SHARE:
            removed, quantity = cart.pop(random.randrange(len(cart)))
            actions.append(_priced(at, user_id, "remove_from_cart", removed, quantity, context))
            at += self._pause(15)
        if cart and random.random() < CHECKOUT_SHARE:
            actions += self._checkout(at, user_id, cart, context)
        return actions

    def _checkout(
        self,
        at: datetime,
        user_id: str | None,
        cart: list[tuple[Product, int]],
        context: dict[str, Any],
    ) -> list[Action]:
        order = {**context, "order_id": f"O{self._random.getrandbits(48):012x}"}
        purchases, returns = [], []
        for product, quantity in cart:
            purchases.append(_priced(at, user_id, "purchase", product, quantity, order))
            if self._random.random() < RETURN_SHARE:
                later = at + timedelta(hours=self._random.uniform(2, 120))
                back = self._random.randint(1, quantity)
                reason = {**order, "reason": next(self._reasons)}
                returns.append(_priced(later, user_id, "return", product, back, reason))
        return purchases + returns

    def _product(self) -> Product:
        if self._random.random() < ORPHAN_SHARE:
            return orphan(self._random.randrange(*ORPHAN_NUMBERS))
        product = next(self._products)
        while product.is_deleted:
            product = next(self._products)
        return product

    def _pause(self, mean_seconds: float) -> timedelta:
        # At least a second, so that the order within a session is beyond doubt.
        return timedelta(seconds=1 + self._random.expovariate(1 / mean_seconds))


def _priced(
    at: datetime,
    user_id: str | None,
    event_type: str,
    product: Product,
    quantity: int,
    context: dict[str, Any],
) -> Action:
    data = {**context, "price": product.price, "quantity": quantity}
    return Action(at, user_id, product.product_id, event_type, data)
