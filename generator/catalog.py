"""Faker -> the products of a shop and their changes, as messages for product-metadata.

The shop is the same for every seed, so that several runs are traffic of one shop; a run's
seed decides what changes and when.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import accumulate
from random import Random

from faker import Faker

from generator.messages import Message, encode
from lakehouse.contracts.topics.product_metadata import CONTRACT as PRODUCT_METADATA

SHOP_SEED = 2024
CATEGORIES = {
    "Kitchen": ("Kettle", "Teapot", "Mug", "Cake Tin", "Baking Set"),
    "Home Decor": ("Lantern", "Photo Frame", "Cushion", "Wall Clock", "Candle Holder"),
    "Garden": ("Planter", "Bird Feeder", "Watering Can", "Hammock", "Herb Marker"),
    "Toys": ("Puzzle", "Doll House", "Building Blocks", "Spinning Top", "Card Game"),
    "Stationery": ("Notebook", "Gift Wrap", "Fountain Pen", "Calendar", "Sticker Pack"),
    "Bags": ("Lunch Bag", "Shopper", "Backpack", "Wash Bag", "Purse"),
    "Lighting": ("Desk Lamp", "Fairy Lights", "Night Light", "Floor Lamp", "Bulb"),
    "Textiles": ("Tea Towel", "Blanket", "Apron", "Table Runner", "Rug"),
}
UNCATEGORIZED_SHARE = 0.03
UNBRANDED_SHARE = 0.08
DELETION_SHARE = 0.05
# Shoppers look for a product that is still there; this many at least always are.
DELETED_AT_MOST = 0.02
# The n-th most popular product is viewed about n ** -0.9 times as often as the first.
POPULARITY_EXPONENT = -0.9


@dataclass(slots=True)
class Product:
    """Return the products that the shop offers at the moment."""

    product_id: str
    name: str
    category: str | None
    brand: str | None
    price: Decimal
    is_deleted: bool = False

    def message(self, updated_at: datetime) -> Message:
        value = {
            "product_id": self.product_id,
            "name": self.name,
            "category": self.category,
            "brand": self.brand,
            "price": self.price,
            "updated_at": updated_at,
        }
        return Message(PRODUCT_METADATA.topic, self.product_id.encode(), encode(value))


@cache
def _words() -> tuple[list[str], list[str]]:
    """Brands and colours. Faker is slow, so it is asked once, and never for an event."""
    fake = Faker(["en_GB", "de_DE", "fr_FR"])
    fake.seed_instance(SHOP_SEED)
    brands = [fake.company() for _ in range(80)]
    # Faker's colours are CSS names: MediumSeaGreen.
    colours = [re.sub(r"\B(?=[A-Z])", " ", fake["en_GB"].color_name()) for _ in range(60)]
    return brands, colours


def cents(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-2)


class Catalog:
    """The products of one run; `change` moves them on."""

    def __init__(self, size: int, seed: int):
        self._random = Random(f"catalog {seed}")
        shop = Random(SHOP_SEED)
        self.products = [_product(number, shop) for number in range(1, size + 1)]
        ranks = list(range(1, size + 1))
        # Shuffled, or P00001 would be the bestseller of every shop.
        shop.shuffle(ranks)
        self.popularity = list(accumulate(rank**POPULARITY_EXPONENT for rank in ranks))
        self.deletions = 0

    def initial(self, opened_at: datetime) -> Iterator[Message]:
        """Every product once, last updated in the 30 days before."""
        for product in self.products:
            age = timedelta(microseconds=self._random.randrange(1, 30 * 86_400_000_000))
            yield product.message(opened_at - age)

    def change(self, at: datetime) -> Message:
        """Make a change: a deletion, another category, or most often another price."""
        product = self._random.choice(self.products)
        while product.is_deleted:
            product = self._random.choice(self.products)
        kind = self._random.random()
        if kind < DELETION_SHARE and self.deletions < int(len(self.products) * DELETED_AT_MOST):
            product.is_deleted = True
            self.deletions += 1
            return Message(PRODUCT_METADATA.topic, product.product_id.encode(), None)
        if kind < 2 * DELETION_SHARE:
            product.category = self._random.choice(list(CATEGORIES))
        else:
            percent = self._random.randrange(75, 130)
            product.price = cents(max(1, int(product.price * percent)))
        return product.message(at)


def _product(number: int, shop: Random) -> Product:
    brands, colours = _words()
    category = shop.choice(list(CATEGORIES))
    name = f"{shop.choice(colours)} {shop.choice(CATEGORIES[category])}"
    return Product(
        product_id=f"P{number:05d}",
        name=name,
        category=None if shop.random() < UNCATEGORIZED_SHARE else category,
        brand=None if shop.random() < UNBRANDED_SHARE else shop.choice(brands),
        # Most things are cheap and a few are dear, and prices end in 5 or 9.
        price=cents(10 * int(shop.lognormvariate(4.9, 0.9)) + shop.choice((5, 9))),
    )


def orphan(number: int) -> Product:
    """A product that was never announced: its events arrive, its product row does not."""
    return Product(f"P{number}", "", None, None, cents(1995))
