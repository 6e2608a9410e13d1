"""The handlers hold the business logic that the workflows leave out."""

from __future__ import annotations

from typing import Any

import pytest

import sample_processes
from orchkit.errors import PermanentError
from sample_processes import handlers

DESK = {"sku": "DESK-140", "quantity": 2, "price": 100, "blocked": False, "backorder": False}
LAMP = {"sku": "LAMP-LED", "quantity": 1, "price": 10, "blocked": False, "backorder": False}


def parcel(*items: dict[str, Any]) -> Any:
    return handlers.pack_parcel({"id": "O-7", "items": list(items)})


def test_25_of_the_30_invalid_orders_are_seen_without_asking_the_erp() -> None:
    problems = sample_processes.orders().order.map(handlers.validate_order).map(lambda found: found["problems"])
    assert problems.explode().value_counts().to_dict() == dict.fromkeys(
        ["no country", "bad e-mail", "no items", "bad quantity", "wrong total"], 5
    )


def test_a_parcel_ends_before_a_blocked_line_and_leaves_out_back_orders() -> None:
    assert parcel(DESK, LAMP)["amount"] == 210
    assert parcel(DESK, LAMP | {"blocked": True}, LAMP) == {
        "items": [{"sku": "DESK-140", "quantity": 2}],
        "amount": 200,
    }
    assert parcel(DESK | {"backorder": True}, LAMP)["amount"] == 10


@pytest.mark.parametrize("flag", ["blocked", "backorder"])
def test_an_empty_parcel_is_an_error_that_no_retry_mends(flag: str) -> None:
    with pytest.raises(PermanentError, match="nothing to ship for O-7"):
        parcel(DESK | {flag: True})


def test_only_an_approved_document_passes() -> None:
    assert handlers.require_approval({"id": "document-7-1", "approved": True}) == "document-7-1"
    with pytest.raises(PermanentError, match="has not approved document-7-1"):
        handlers.require_approval({"id": "document-7-1", "approved": False})
