"""Processes that analysts know, a small outside world to run them against, and 500 orders.

- ``*.yaml``: the workflows, one for each pattern; ``order_to_cash.yaml`` has them all
- ``handlers.py``: what their Python tasks do
- ``systems.py``: CRM, ERP, warehouse, billing …, with faults to order and books to check against
- ``callbacks.py``: where the vendor's calls arrive
- ``data/``: the orders
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from orchkit.model import Workflow, read_workflow

__all__ = ["orders", "workflow"]

_FOLDER = Path(__file__).parent


def workflow(name: str) -> Workflow:
    """Return one of the sample workflows, by the name of its file.

    Examples
    --------
    >>> workflow("order_routing")
    <Workflow 'order_routing' version 1: 6 nodes, digest ...>
    """
    return read_workflow(_FOLDER / f"{name}.yaml")


def orders() -> pd.DataFrame:
    """Return 500 orders, 30 of them invalid, ready for ``engine.run_many``.

    Returns
    -------
    DataFrame
        ``case_id`` and ``order``, a dict: ``id, customer, email, country, placed_at, currency, total, card`` and
        ``items``, a list of dicts: ``sku, name, quantity, price, blocked, backorder``. Money is in cents.

    Examples
    --------
    >>> frame = orders()
    >>> frame.order[0]["country"], len(frame)
    ('US', 500)
    """
    data = _FOLDER / "data"
    return _nest(pd.read_csv(data / "orders.csv"), pd.read_csv(data / "order_lines.csv"))


def _nest(heads: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Return each order with its lines inside, as JSON has it: None where a field is blank."""
    items = {
        order_id: [dict(item) for item in of_order.drop(columns=["order_id", "line"]).to_dict("records")]
        for order_id, of_order in lines.groupby("order_id")
    }
    blanks_as_none = heads.astype(object).where(heads.notna().to_numpy(), None)
    records = blanks_as_none.rename(columns={"order_id": "id"}).to_dict("records")
    order = [{**record, "items": items.get(record["id"], [])} for record in records]
    return pd.DataFrame({"case_id": heads.order_id, "order": order})
