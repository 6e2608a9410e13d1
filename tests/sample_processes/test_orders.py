"""The orders are what their script makes, and 30 of them are invalid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sample_processes
from sample_processes.catalog import CATALOG
from sample_processes.data import make_orders


def problems(order: dict[str, Any]) -> list[str]:
    found = {
        "country": not order["country"],
        "email": "@" not in order["email"],
        "items": not order["items"],
        "sku": any(item["sku"] not in CATALOG for item in order["items"]),
        "quantity": any(item["quantity"] <= 0 for item in order["items"]),
        "total": order["total"] != sum(item["quantity"] * item["price"] for item in order["items"]),
    }
    return [name for name, holds in found.items() if holds]


def test_there_are_500_orders_of_which_30_are_invalid_in_six_ways() -> None:
    orders = sample_processes.orders()
    assert orders.columns.tolist() == ["case_id", "order"]
    assert orders.case_id.nunique() == 500
    assert pd.Series(orders.order.map(problems).explode().dropna()).value_counts().to_dict() == dict.fromkeys(
        ["country", "email", "items", "sku", "quantity", "total"], 5
    )


def test_the_orders_are_json_with_everything_a_process_needs() -> None:
    orders = list(sample_processes.orders().order)
    assert json.loads(json.dumps(orders, allow_nan=False)) == orders
    assert 0.65 < sum(order["country"] == "US" for order in orders) / 500 < 0.75
    assert sum(order["card"].endswith("_declined") for order in orders) == 16
    assert sum(item["blocked"] for order in orders for item in order["items"]) == 7
    assert sum(item["backorder"] for order in orders for item in order["items"]) == 52


def test_the_script_makes_the_committed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = make_orders.HERE
    monkeypatch.setattr(make_orders, "HERE", tmp_path)
    make_orders.main()
    for name in ("orders.csv", "order_lines.csv"):
        assert (tmp_path / name).read_text() == (committed / name).read_text()
