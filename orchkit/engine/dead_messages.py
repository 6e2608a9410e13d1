"""Dead messages: what came over a queue, could not be taken, and waits for somebody's decision."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchkit.engine.messages import Message, Note
from orchkit.engine.who import user
from orchkit.errors import MessageNotFound

__all__ = ["DeadMessages"]

_KIND, _DEAD, _REPLAYED, _DISCARDED = "message", "DEAD_LETTERED", "REPLAYED", "DISCARDED"
_COLUMNS = ["message_id", "event", "subject", "error_message", "deliveries", "body", "since"]
_ROWS = """
SELECT case_id AS message_id, status, occurred_at, payload FROM history WHERE kind = 'message' ORDER BY seq
"""
_NOTHING = object()


class DeadMessages:
    """The part of an engine that keeps messages which could not be taken."""

    _deciding: threading.Lock

    def _post(self, message: Message) -> concurrent.futures.Future[Any]:
        raise NotImplementedError

    def sql(self, query: str) -> pd.DataFrame:
        """Return the answer to a query on the store."""
        raise NotImplementedError

    def publish(
        self,
        event: str,
        payload: Any = None,  # noqa: ANN401 -- JSON
        *,
        message_id: str | None = None,
        traceparent: str | None = None,
        strict: bool = False,
    ) -> int:
        """Send an event."""
        raise NotImplementedError

    def dead_messages(self) -> pd.DataFrame:
        """Return one row per message of a queue that could not be taken and waits for a decision, the oldest first.

        Returns
        -------
        DataFrame
            ``message_id, event, subject, error_message, deliveries, body`` (as it came, text), ``since``.

        Examples
        --------
        >>> from orchkit import Engine
        >>> with Engine() as engine:
        ...     engine.bury_message("orders/7", "placed", "{broken", "It is not JSON.", subject="orders")
        ...     engine.dead_messages()[["message_id", "error_message"]].values.tolist()
        ...     engine.discard_message("orders/7", "A test of the shop's.", by="Ada")
        ...     len(engine.dead_messages())
        [['orders/7', 'It is not JSON.']]
        0
        """
        rows = [[known[name] for name in _COLUMNS] for known in self._buried().values()]
        frame = pd.DataFrame(rows, columns=_COLUMNS)
        frame["deliveries"] = frame["deliveries"].astype("int64")
        frame["since"] = pd.to_datetime(frame["since"], utc=True)
        return frame

    def bury_message(
        self,
        message_id: str,
        event: str,
        body: str,
        problem: str,
        *,
        subject: str = "",
        deliveries: int = 1,
        traceparent: str | None = None,
    ) -> None:
        """Keep a message that cannot be taken among the dead letters; one that is there already stays as it is."""
        with self._deciding:
            if message_id in self._buried():
                return
            payload: dict[str, Any] = {"event": event, "subject": subject, "body": body, "error_message": problem}
            payload |= {"deliveries": deliveries, "traceparent": traceparent}
            self._post(Note(_KIND, message_id, _DEAD, payload)).result()

    def replay_message(
        self,
        message_id: str,
        payload: Any = _NOTHING,  # noqa: ANN401 -- JSON
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Take a dead message again, and return how many runs took it.

        Parameters
        ----------
        message_id
            As in `dead_messages`.
        payload
            A mended payload; by default the message as it came, if a workflow takes it now.
        by, reason
            Who has decided it, and why, for the history; by default the user of this machine.

        Raises
        ------
        MessageNotFound
            It is not among the dead letters.
        InputError
            The message still cannot be taken, and stays where it is.
        """
        with self._deciding:
            found = self._found(message_id)
            given = json.loads(found["body"]) if payload is _NOTHING else payload
            told = {"message_id": message_id, "traceparent": found["traceparent"]}
            taken = self.publish(found["event"], given, **told, strict=True)
            decided = {"reason": reason} | ({} if payload is _NOTHING else {"output": payload})
            self._post(Note(_KIND, message_id, _REPLAYED, decided, by=by or user())).result()
        return taken

    def discard_message(self, message_id: str, reason: str, *, by: str | None = None) -> None:
        """Give up a dead message; the history says who did it, and why. See `replay_message`."""
        with self._deciding:
            self._found(message_id)
            self._post(Note(_KIND, message_id, _DISCARDED, {"reason": reason}, by=by or user())).result()

    def _found(self, message_id: str) -> Mapping[str, Any]:
        found = self._buried().get(message_id)
        if found is None:
            text = f"There is no dead message {message_id!r}: engine.dead_messages() lists them."
            raise MessageNotFound(text)
        return found

    def _buried(self) -> dict[str, dict[str, Any]]:
        """Return what waits for a decision, by its id."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.sql(_ROWS).to_dict("records"):
            name = str(row["message_id"])
            if row["status"] == _DEAD:
                found[name] = {"message_id": name, "since": row["occurred_at"], **json.loads(row["payload"])}
            else:
                found.pop(name, None)
        return found
