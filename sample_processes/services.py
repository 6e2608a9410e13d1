"""The business of each system: what it asks of a request, and the effect that a good one has.

Each entry of `SERVICES` is a function of a request's body that returns an `Effect` or raises a `Refusal`. None knows of
HTTP, faults or repeated requests: `sample_processes.systems` deals with those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NoReturn

from sample_processes.catalog import CATALOG, CURRENCIES

__all__ = ["SERVICES", "Effect", "Refusal", "Service"]

Body = Mapping[str, Any]

CREDIT_LIMIT = 400_000
"""Cents, of any currency, up to which the ERP grants credit for an order."""

_SOLD_OUT = {("hotels", "Davos"), ("cars", "Venice")}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request changes in the world.

    Attributes
    ----------
    kind
        ``"shipment"``, ``"capture"`` …
    case_id
        Key of the order, trip, employee or document that it is about.
    amount
        Money that moves, in cents.
    reverses
        Kind of the effect on the same case, and with the same details, that this one undoes.
    details
        What else the answer tells.
    status
        HTTP status of the answer.
    """

    kind: str
    case_id: str
    amount: int | None = None
    reverses: str | None = None
    details: Body = field(default_factory=dict)
    status: HTTPStatus = HTTPStatus.CREATED


Service = Callable[[Body], Effect]


class Refusal(Exception):
    """A request that a system will not carry out, however often it is asked."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def _refuse(reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> NoReturn:
    raise Refusal(status, reason)


# What a body must hold ----------------------------------------------------------------------------


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        _refuse(f"{name} is missing")
    return value


def _count(body: Body, name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        _refuse(f"{name} must be a whole number above 0, not {value!r}")
    return value


def _email(body: Body, name: str) -> str:
    value = _text(body, name)
    if not _EMAIL.fullmatch(value):
        _refuse(f"{name} is not an e-mail address: {value!r}")
    return value


def _country(body: Body) -> str:
    value = _text(body, "country")
    if value not in CURRENCIES:
        _refuse(f"we do not ship to {value!r}")
    return value


def _line(line: Body) -> tuple[str, int]:
    sku = _text(line, "sku")
    if sku not in CATALOG:
        _refuse(f"unknown SKU {sku!r}")
    return sku, _count(line, "quantity")


def _items(body: Body) -> int:
    """Return how many pieces the lines of a body hold."""
    lines = body.get("items")
    if not isinstance(lines, list) or not lines:
        _refuse("items is empty")
    return sum(_line(line)[1] for line in lines)


# The systems --------------------------------------------------------------------------------------


def _log_activity(body: Body) -> Effect:
    return Effect("activity", _text(body, "order_id"), details={"activity": _text(body, "activity")})


def _reserve_stock(body: Body) -> Effect:
    return Effect("reservation", _text(body, "order_id"), details={"pieces": _items(body)})


def _reserve_credit(body: Body) -> Effect:
    amount = _count(body, "amount")
    if amount > CREDIT_LIMIT:
        _refuse(f"{amount} is above the credit limit of {CREDIT_LIMIT}", HTTPStatus.PAYMENT_REQUIRED)
    return Effect("credit", _text(body, "order_id"), amount=amount)


def _list_picks(body: Body) -> Effect:
    return Effect("pick_list", _text(body, "order_id"), details={"pieces": _items(body)})


def _pick(body: Body) -> Effect:
    sku, quantity = _line(body)
    return Effect("pick", _text(body, "order_id"), details={"sku": sku, "quantity": quantity})


def _put_back(body: Body) -> Effect:
    return Effect("return", _text(body, "order_id"), reverses="pick", details={"sku": _text(body, "sku")})


def _ship(body: Body) -> Effect:
    country = _country(body)
    carrier = "Domestic Parcel" if country == "US" else "World Freight"
    return Effect("shipment", _text(body, "order_id"), details={"carrier": carrier, "pieces": _items(body)})


def _capture(body: Body) -> Effect:
    if _text(body, "card").endswith("_declined"):
        _refuse("the card was declined", HTTPStatus.PAYMENT_REQUIRED)
    return Effect("capture", _text(body, "order_id"), amount=_count(body, "amount"))


def _invoice(body: Body) -> Effect:
    return Effect("invoice", _text(body, "order_id"), amount=_count(body, "amount"))


def _send_mail(body: Body) -> Effect:
    details = {"to": _email(body, "to"), "subject": _text(body, "subject")}
    return Effect("mail", _text(body, "reference"), details=details)


def _open_account(body: Body) -> Effect:
    return Effect("account", _text(body, "employee_id"), details={"login": _email(body, "email").partition("@")[0]})


def _grant_access(body: Body) -> Effect:
    return Effect("access", _text(body, "employee_id"), details={"system": _text(body, "system")})


def _submit_document(body: Body) -> Effect:
    document = body.get("document")
    if not isinstance(document, dict):
        _refuse("document is missing")
    url = body.get("callback_url")
    if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        _refuse(f"callback_url is not an address: {url!r}")
    return Effect(
        "document", _text(document, "id"), details={"title": _text(document, "title")}, status=HTTPStatus.ACCEPTED
    )


def _book(agency: str, kind: str) -> Service:
    def book(body: Body) -> Effect:
        destination = _text(body, "destination")
        if (agency, destination) in _SOLD_OUT:
            _refuse(f"no {agency} in {destination}", HTTPStatus.CONFLICT)
        return Effect(kind, _text(body, "trip_id"), details={"destination": destination})

    return book


def _undo(kind: str, of: str, key: str = "order_id") -> Service:
    def undo(body: Body) -> Effect:
        return Effect(kind, _text(body, key), reverses=of)

    return undo


SERVICES: Mapping[str, Service] = {
    "/crm/activities": _log_activity,
    "/erp/reservations": _reserve_stock,
    "/erp/releases": _undo("release", of="reservation"),
    "/erp/credits": _reserve_credit,
    "/erp/credit_releases": _undo("credit_release", of="credit"),
    "/warehouse/pick_lists": _list_picks,
    "/warehouse/withdrawals": _undo("withdrawal", of="pick_list"),
    "/warehouse/picks": _pick,
    "/warehouse/returns": _put_back,
    "/warehouse/shipments": _ship,
    "/warehouse/cancellations": _undo("shipment_cancellation", of="shipment"),
    "/billing/captures": _capture,
    "/billing/refunds": _undo("refund", of="capture"),
    "/billing/invoices": _invoice,
    "/mail/messages": _send_mail,
    "/flights/bookings": _book("flights", "flight"),
    "/flights/cancellations": _undo("flight_cancellation", of="flight", key="trip_id"),
    "/hotels/bookings": _book("hotels", "hotel"),
    "/hotels/cancellations": _undo("hotel_cancellation", of="hotel", key="trip_id"),
    "/cars/bookings": _book("cars", "car"),
    "/cars/cancellations": _undo("car_cancellation", of="car", key="trip_id"),
    "/identity/accounts": _open_account,
    "/identity/access": _grant_access,
    "/vendor/documents": _submit_document,
}
"""The service behind each path that takes a POST."""
