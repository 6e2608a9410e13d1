"""Makes `orders.csv` and `order_lines.csv`: 500 orders of an office supplier, 30 of them invalid, the same each time.

Run ``python -m sample_processes.data.make_orders`` after a change, and commit what it writes.
"""

from __future__ import annotations

import string
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from sample_processes.catalog import CATALOG, CURRENCIES, price_in

__all__ = ["Line", "Order", "make_orders"]

HERE = Path(__file__).parent
FIRST_DAY = datetime(2026, 11, 2, tzinfo=UTC)
COUNTRIES = {"US": 0.70, "CA": 0.08, "GB": 0.07, "DE": 0.06, "FR": 0.04, "NL": 0.03, "AU": 0.02}
ORDERS_AT_HOUR = [1, 1, 1, 1, 1, 2, 4, 8, 12, 15, 16, 15, 13, 14, 15, 14, 12, 9, 7, 6, 5, 4, 3, 2]
FIRST_NAMES = ["Amara", "Ben", "Carla", "Daniel", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko"]
FIRST_NAMES += ["Liam", "Maya", "Noah", "Olga", "Paulo", "Quinn", "Rosa", "Samir", "Tessa", "Uma", "Victor"]
LAST_NAMES = ["Adams", "Becker", "Chen", "Dubois", "Evans", "Fischer", "Garcia", "Hughes", "Ivanova", "Jansen", "Kim"]
LAST_NAMES += [
    "Lopez",
    "Martin",
    "Nguyen",
    "Okafor",
    "Patel",
    "Rossi",
    "Schmidt",
    "Taylor",
    "Visser",
    "Walker",
    "Young",
]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order; ``price`` in cents, of one piece."""

    sku: str
    name: str
    quantity: int
    price: int
    blocked: bool = False
    backorder: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order; ``total`` in cents, ``card`` the token of a card."""

    order_id: str
    customer: str
    email: str
    country: str | None
    placed_at: datetime
    currency: str
    total: int
    card: str
    lines: tuple[Line, ...]


def make_orders(count: int = 500, seed: int = 2026) -> list[Order]:
    """Return orders, oldest first: 6 % invalid, 3 % with a card that will be declined."""
    rng = np.random.default_rng(seed)
    orders = [_order(number, placed_at, rng) for number, placed_at in enumerate(_times(count, rng), start=10_001)]
    invalid = rng.choice(count, size=round(count * 0.06), replace=False)
    for position, index in enumerate(invalid):
        orders[index] = SPOILERS[position % len(SPOILERS)](orders[index])
    return orders


def _times(count: int, rng: np.random.Generator) -> list[datetime]:
    """Return when orders are placed: two weeks, half as many at weekends, few at night."""
    by_hour = np.array(ORDERS_AT_HOUR) / sum(ORDERS_AT_HOUR)
    by_day = np.array([2, 2, 2, 2, 2, 1, 1] * 2) / 24
    days, hours, seconds = (
        rng.choice(14, count, p=by_day),
        rng.choice(24, count, p=by_hour),
        rng.integers(0, 3600, count),
    )
    zipped = zip(days, hours, seconds, strict=True)
    return sorted(
        FIRST_DAY + timedelta(days=int(day), hours=int(hour), seconds=int(second)) for day, hour, second in zipped
    )


def _order(number: int, placed_at: datetime, rng: np.random.Generator) -> Order:
    country = str(rng.choice(list(COUNTRIES), p=list(COUNTRIES.values())))
    first, last = str(rng.choice(FIRST_NAMES)), str(rng.choice(LAST_NAMES))
    lines = _lines(CURRENCIES[country], rng)
    token = "".join(rng.choice(list(string.hexdigits[:16]), 8))
    return Order(
        order_id=f"O-{number}",
        customer=f"{first} {last}",
        email=f"{first}.{last}@example.{rng.choice(['com', 'org', 'net'])}".lower(),
        country=country,
        placed_at=placed_at,
        currency=CURRENCIES[country],
        total=_total(lines),
        card=f"card_{token}" + ("_declined" if rng.random() < 0.03 else ""),  # noqa: PLR2004 -- see make_orders
        lines=lines,
    )


def _lines(currency: str, rng: np.random.Generator) -> tuple[Line, ...]:
    count = rng.choice([1, 2, 3, 4, 5], p=[0.35, 0.30, 0.18, 0.11, 0.06])
    skus = rng.choice(list(CATALOG), size=count, replace=False)
    quantities = rng.choice([1, 2, 4, 6], size=count, p=[0.7, 0.2, 0.07, 0.03])
    blocked, backorder = rng.random(count) < 0.01, rng.random(count) < 0.05  # noqa: PLR2004 -- shares of the lines
    return tuple(
        Line(
            sku=str(sku),
            name=CATALOG[sku].name,
            quantity=int(quantity),
            price=price_in(currency, CATALOG[sku]),
            blocked=bool(is_blocked),
            backorder=bool(is_late),
        )
        for sku, quantity, is_blocked, is_late in zip(skus, quantities, blocked, backorder, strict=True)
    )


def _total(lines: tuple[Line, ...]) -> int:
    return sum(line.quantity * line.price for line in lines)


def _with_first_line(order: Order, line: Line) -> Order:
    """Return an order with another first line and a total that fits."""
    lines = (line, *order.lines[1:])
    return replace(order, lines=lines, total=_total(lines))


SPOILERS = (
    lambda order: replace(order, country=None),
    lambda order: _with_first_line(order, replace(order.lines[0], quantity=-1)),
    lambda order: replace(order, total=order.total + 1_000),
    lambda order: _with_first_line(order, replace(order.lines[0], sku="DESK-999")),
    lambda order: replace(order, lines=(), total=0),
    lambda order: replace(order, email=order.email.replace("@", " at ")),
)


def main() -> None:
    """Write both files."""
    orders = make_orders()
    heads = pd.DataFrame([asdict(order) for order in orders]).drop(columns="lines")
    heads["placed_at"] = heads.placed_at.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = pd.DataFrame(
        [
            {"order_id": order.order_id, "line": number, **asdict(line)}
            for order in orders
            for number, line in enumerate(order.lines, start=1)
        ]
    )
    heads.to_csv(HERE / "orders.csv", index=False, lineterminator="\n")
    lines.to_csv(HERE / "order_lines.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
