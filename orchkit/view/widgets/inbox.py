"""`Inbox`: work items, claimed, filled in and completed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from orchkit.engine import Engine
from orchkit.engine.who import user
from orchkit.units import Duration
from orchkit.view.tables import TablePicture
from orchkit.view.widgets.base import LiveWidget, action, table_twin

__all__ = ["Inbox"]


class Inbox(LiveWidget, module="inbox", uses=("forms",)):
    """Show the open work items with their forms; claim, give back, complete or refuse them.

    Parameters
    ----------
    engine
        The engine whose runs wait for people. The view asks it again and again while it is open.
    role
        Only this role's items.
    by
        Who decides, for the history; by default the user of this machine.
    every
        How often the engine is asked, at most five times a second.

    Examples
    --------
    >>> import orchkit as ok
    >>> form = {"type": "object", "properties": {"approved": {"type": "boolean"}}}
    >>> approve = ok.task("approve", executor="human", settings={"form": form, "title": "Approve ${amount} euros"})
    >>> with ok.Engine() as engine:
    ...     run = engine.start(ok.workflow("claim", [approve]), {"amount": 70}, case_id="A-1")
    ...     inbox = Inbox(engine, by="Ada")
    ...     inbox.act("complete", item=inbox.state["items"][0]["item_id"], data={"approved": True})
    ...     inbox.close()
    ...     run.wait().variables["approve"]
    {'approved': True}
    """

    def __init__(
        self, engine: Engine, *, role: str | None = None, by: str | None = None, every: Duration = "1 s"
    ) -> None:
        self._engine, self._role, self._by = engine, role, by or user()
        super().__init__(every)

    def picture(self) -> TablePicture:
        """Return the open items as a table."""
        items = self._items()
        shown = pd.DataFrame(
            {
                "item": items["title"].astype(str),
                "case": items["case_id"],
                "role": items["role"].fillna(""),
                "due": [_moment(due) for due in items["due"]],
                "claimed by": items["claimed_by"].fillna(""),
            }
        )
        return table_twin(shown, f"Open work items{'' if self._role is None else f' of {self._role}'}")

    @action
    def claim(self, item: str) -> None:
        """Take an item."""
        self._engine.claim(item, by=self._by)
        self.refresh()

    @action
    def release(self, item: str) -> None:
        """Give an item back."""
        self._engine.release(item, by=self._by)
        self.refresh()

    @action
    def complete(self, item: str, data: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Complete an item with the answers to its form; an item that nobody has claimed is claimed first."""
        found = self._items().set_index("item_id")["claimed_by"]
        if item in found.index and pd.isna(found[item]):
            self._engine.claim(item, by=self._by)
        self._engine.complete_item(item, data, by=self._by)
        self.refresh()

    @action
    def reject(self, item: str, reason: str) -> None:
        """Refuse an item."""
        self._engine.reject(item, reason, by=self._by)
        self.refresh()

    def _items(self) -> pd.DataFrame:
        return self._engine.work_items(self._role)

    def look(self) -> dict[str, Any]:
        """Return what is shown."""
        rows: Iterable[Any] = self._items().itertuples()
        items = [
            {
                "item_id": row.item_id,
                "title": str(row.title),
                "case_id": row.case_id,
                "workflow": row.workflow,
                "role": _text(row.role),
                "assignee": _text(row.assignee),
                "claimed_by": _text(row.claimed_by),
                "is_mine": row.claimed_by == self._by,
                "created": _moment(row.created),
                "due": _moment(row.due),
                "is_late": bool(row.overdue),
                "instructions": _text(row.instructions),
                "data": json.dumps(row.data, indent=2, ensure_ascii=False) if row.data else "",
                "form": row.form if isinstance(row.form, dict) else None,
            }
            for row in rows
        ]
        return {"items": items, "by": self._by, "role": self._role or ""}


def _text(value: Any) -> str:  # noqa: ANN401 -- a cell
    return value if isinstance(value, str) else ""


def _moment(value: Any) -> str:  # noqa: ANN401 -- a cell
    return "" if pd.isna(value) else f"{value:%Y-%m-%d %H:%M}"
