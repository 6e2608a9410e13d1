"""Processes that analysts know, a small outside world to run them against, and 500 orders.

- ``*.yaml``: the workflows, one for each pattern; ``order_to_cash.yaml`` has them all
- ``handlers.py``: what their Python tasks do
- ``systems.py``: CRM, ERP, warehouse, billing …, with faults to order and books to check against
- ``data/``: the orders
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

__all__ = ["orders"]


def orders() -> pd.DataFrame:
    """Return 500 orders, 30 of them invalid, ready for ``engine.run_many``.

    Returns
    -------
    DataFrame
        ``case_id`` and ``order``, a dict: ``id, customer, email, country, placed_at, currency, total, card`` and ``items``,
        a list of dicts: ``sku, name, quantity, price, blocked, backorder``. Money is in cents.

    Examples
    --------
    >>> frame = orders()
    >>> frame.order[0]["country"], len(frame)
    ('US', 500)
    """
    data = files(__name__) / "data"
    with (data / "orders.csv").open() as heads, (data / "order_lines.csv").open() as lines:
        return _nest(pd.read_csv(heads), pd.read_csv(lines))


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
