"""`reconcile` finds what does not add up."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pandas as pd
import pytest

from sample_processes.books import Books, read_books, reconcile
from sample_processes.services import Effect


def books_of(*effects: Effect) -> pd.DataFrame:
    books = Books()
    for effect in effects:
        books.record(effect, key=None)
    frame = books.effects()
    books.close()
    return frame


SHIPMENT, CANCELLATION = Effect("shipment", "7"), Effect("shipment_cancellation", "7", reverses="shipment")
CAPTURE, REFUND = Effect("capture", "7", amount=990), Effect("refund", "7", reverses="capture")


@pytest.mark.parametrize(
    "effects",
    [
        (),
        (Effect("activity", "7"),),
        (SHIPMENT,),
        (CAPTURE, SHIPMENT),
        (CAPTURE, REFUND),
        (CAPTURE, SHIPMENT, CANCELLATION, REFUND),
        (SHIPMENT, CANCELLATION, SHIPMENT, CAPTURE),
    ],
)
def test_books_that_balance_have_no_violations(effects: tuple[Effect, ...]) -> None:
    assert reconcile(books_of(*effects)).empty


@pytest.mark.parametrize(
    ("effects", "violations"),
    [
        ((CAPTURE, SHIPMENT, SHIPMENT), {"shipped once": "2 shipments"}),
        ((CAPTURE, CAPTURE, SHIPMENT), {"captured once": "2 captures"}),
        (
            (CAPTURE, CAPTURE, REFUND, SHIPMENT),
            {"captured once": "2 captures", "refund equals capture": "1980 captured, 990 refunded"},
        ),
        ((CAPTURE,), {"paid orders are shipped or refunded": "990 captured, 0 refunded, not shipped"}),
        ((CAPTURE, SHIPMENT, REFUND), {"refunded orders are not shipped": "990 captured, 990 refunded, shipped"}),
        (
            (CAPTURE, SHIPMENT, CANCELLATION),
            {"paid orders are shipped or refunded": "990 captured, 0 refunded, not shipped"},
        ),
    ],
)
def test_a_planted_violation_is_found(effects: tuple[Effect, ...], violations: dict[str, str]) -> None:
    good = (Effect("capture", "8", amount=1), Effect("shipment", "8"))
    found = reconcile(books_of(*effects, *good))
    assert set(found.case_id) == {"7"}
    assert dict(zip(found.rule, found.found, strict=True)) == violations


def test_an_effect_that_is_rolled_back_is_not_in_the_books() -> None:
    books = Books()
    with contextlib.suppress(KeyboardInterrupt), books.transaction():
        books.record(SHIPMENT, key=None)
        raise KeyboardInterrupt
    assert books.effects().empty
    books.close()


def test_books_are_read_while_they_are_written(tmp_path: Path) -> None:
    books = Books(tmp_path / "books.sqlite")
    books.record(CAPTURE, key="k")
    read = read_books(tmp_path / "books.sqlite")
    assert read[["kind", "case_id", "idempotency_key", "amount"]].to_numpy().tolist() == [["capture", "7", "k", 990]]
    assert str(read.recorded_at.dt.tz) == "UTC"
    books.close()
