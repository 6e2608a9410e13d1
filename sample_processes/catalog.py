"""What the sample company sells, in what currency, and where it ships to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CATALOG", "CURRENCIES", "Product", "price_in"]


@dataclass(frozen=True, slots=True)
class Product:
    """A product; ``price`` is in US cents."""

    sku: str
    name: str
    price: int


_PRODUCTS = (
    Product("DESK-140", "Standing desk, 140 cm", 48_900),
    Product("DESK-180", "Standing desk, 180 cm", 57_900),
    Product("CHAIR-ERG", "Ergonomic chair", 32_900),
    Product("CHAIR-VIS", "Visitor chair", 11_900),
    Product("LAMP-LED", "Desk lamp, LED", 4_990),
    Product("LAMP-FLR", "Floor lamp", 8_990),
    Product("MON-27", "Monitor, 27 inch", 27_900),
    Product("MON-32", "Monitor, 32 inch", 42_900),
    Product("MON-ARM", "Monitor arm", 9_990),
    Product("KEY-MEC", "Mechanical keyboard", 12_900),
    Product("MOUSE-VRT", "Vertical mouse", 5_990),
    Product("DOCK-USB", "Docking station", 18_900),
    Product("CAM-HD", "Web camera", 7_990),
    Product("HEAD-ANC", "Headset with noise cancelling", 19_900),
    Product("CAB-3DR", "Cabinet, 3 drawers", 15_900),
    Product("BOARD-W", "Whiteboard", 10_900),
    Product("MAT-STD", "Standing mat", 5_490),
    Product("CABLE-KIT", "Cable kit", 2_490),
)
CATALOG: Mapping[str, Product] = {product.sku: product for product in _PRODUCTS}

CURRENCIES: Mapping[str, str] = {
    "US": "USD",
    "CA": "CAD",
    "GB": "GBP",
    "DE": "EUR",
    "FR": "EUR",
    "NL": "EUR",
    "AU": "AUD",
}
"""The currency of each country that the warehouse ships to."""

_RATES = {"USD": 1.0, "CAD": 1.36, "GBP": 0.79, "EUR": 0.92, "AUD": 1.52}


def price_in(currency: str, product: Product) -> int:
    """Return the list price of a product in hundredths of a currency, rounded to tens.

    Examples
    --------
    >>> price_in("EUR", CATALOG["MON-27"])
    25670
    """
    return round(product.price * _RATES[currency] / 10) * 10
