"""Work items as a table: what people see of the steps that wait for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from orchkit.engine.people import Offer
from orchkit.units import seconds

__all__ = ["COLUMNS", "frame_of"]

COLUMNS = [
    "item_id",
    "run_id",
    "case_id",
    "workflow",
    "task",
    "title",
    "instructions",
    "role",
    "assignee",
    "claimed_by",
    "created",
    "due",
    "overdue",
    "data",
    "form",
]


def frame_of(offers: Iterable[Offer]) -> pd.DataFrame:
    """Return one row per offer, the oldest first."""
    rows = [_row(offer) for offer in sorted(offers, key=lambda offer: offer.item.created)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for column in ("created", "due"):
        frame[column] = pd.to_datetime(frame[column], unit="s", utc=True)
    frame["overdue"] = frame["overdue"].astype(bool)
    return frame


def _row(offer: Offer) -> list[Any]:
    active, step, item, settings = offer.active, offer.step, offer.item, offer.settings
    due_s = seconds(settings["due"]) if "due" in settings else None
    return [
        f"{active.run_id}/{step.id}",
        active.run_id,
        active.case_id,
        active.workflow.name,
        step.node,
        offer.rendered(settings.get("title", step.node)),
        offer.rendered(settings.get("instructions", active.workflow.node(step.node).description)),
        item.role,
        offer.assignee,
        item.by,
        item.created,
        None if due_s is None else item.created + due_s,
        item.late,
        offer.rendered(settings.get("data", {})),
        settings.get("form"),
    ]
