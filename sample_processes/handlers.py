"""What the Python tasks of the sample processes do. Each takes the variables that its parameters name."""

from __future__ import annotations

import re
from typing import Any

from orchkit.errors import PermanentError

__all__ = [
    "approve_document",
    "notify_warehouse",
    "pack_parcel",
    "process_line_item",
    "require_approval",
    "return_document",
    "send_confirmation",
    "ship_domestic",
    "ship_international",
    "update_crm",
    "validate_order",
]

Json = dict[str, Any]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}")


# Order to cash ------------------------------------------------------------------------------------


def validate_order(order: Json) -> Json:
    """Return what is wrong with an order, as far as one can see without asking another system.

    Examples
    --------
    >>> validate_order({"country": None, "email": "ada@example.com", "items": [], "total": 0})
    {'valid': False, 'problems': ['no country', 'no items']}
    """
    items = order["items"]
    expected = {
        "no country": bool(order["country"]),
        "bad e-mail": bool(_EMAIL.fullmatch(order["email"])),
        "no items": bool(items),
        "bad quantity": all(item["quantity"] > 0 for item in items),
        "wrong total": order["total"] == sum(item["quantity"] * item["price"] for item in items),
    }
    problems = [problem for problem, holds in expected.items() if not holds]
    return {"valid": not problems, "problems": problems}


def pack_parcel(order: Json) -> Json:
    """Return what can be shipped, and what it costs: the lines before a blocked one, without those on back order.

    Examples
    --------
    >>> desk = {"sku": "DESK-140", "quantity": 1, "price": 48_900, "blocked": False, "backorder": False}
    >>> late = desk | {"sku": "LAMP-LED", "backorder": True}
    >>> pack_parcel({"id": "O-7", "items": [desk, late]})
    {'items': [{'sku': 'DESK-140', 'quantity': 1}], 'amount': 48900}
    """
    blocked = next((number for number, item in enumerate(order["items"]) if item["blocked"]), None)
    packed = [item for item in order["items"][:blocked] if not item["backorder"]]
    if not packed:
        message = f"There is nothing to ship for {order['id']}: every line is blocked or on back order."
        raise PermanentError(message)
    return {
        "items": [{"sku": item["sku"], "quantity": item["quantity"]} for item in packed],
        "amount": sum(item["quantity"] * item["price"] for item in packed),
    }


def require_approval(vendor_answer: Json) -> str:
    """Return the id of an approved document; fail for good where the vendor has not approved it."""
    if not vendor_answer.get("approved"):
        message = f"The vendor has not approved {vendor_answer['id']}."
        raise PermanentError(message)
    return str(vendor_answer["id"])


# Order notification, routing and lines ------------------------------------------------------------


def update_crm(order: Json) -> str:
    """Return the note that the CRM keeps."""
    return f"{order['customer']} placed {order['id']}"


def notify_warehouse(order: Json) -> int:
    """Return how many pieces the warehouse is told to expect."""
    return sum(item["quantity"] for item in order["items"])


def send_confirmation(order: Json) -> Json:
    """Return the e-mail that the customer gets."""
    return {"to": order["email"], "subject": f"Thank you for {order['id']}"}


def ship_domestic(order: Json) -> Json:
    """Return the parcel."""
    return {"carrier": "Domestic Parcel", "order_id": order["id"]}


def ship_international(order: Json) -> Json:
    """Return the freight; it needs customs papers."""
    return {"carrier": "World Freight", "order_id": order["id"], "papers": ["customs declaration"]}


def process_line_item(item: Json) -> Json:
    """Return what was taken from the shelf."""
    return {"sku": item["sku"], "quantity": item["quantity"]}


# Document processing ------------------------------------------------------------------------------


def approve_document(document: Json) -> str:
    """Return the decision; the manager's signature is taken for granted here."""
    return f"{document['title']}: approved"


def return_document(document: Json) -> str:
    """Return the decision."""
    return f"{document['title']}: returned"
