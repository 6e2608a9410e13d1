"""Many rows as one Arrow table: what the database takes in without holding up Python's other threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from orchkit.store.rows import HistoryRow

__all__ = ["history_table"]

_OTHERS = {
    "attempt": pa.int32(),
    "occurred_at": pa.timestamp("us", "UTC"),
    "duration_s": pa.float64(),
}
_TYPES = [_OTHERS.get(name, pa.string()) for name in HistoryRow._fields]
_SCHEMA = pa.schema([("seq", pa.int64()), *zip(HistoryRow._fields, _TYPES, strict=True)])


def history_table(rows: Sequence[HistoryRow], first_seq: int) -> pa.Table:
    """Return rows of the history as columns, with their ``seq``.

    Raises
    ------
    UnicodeEncodeError
        A text that is no Unicode: half of a surrogate pair.

    Examples
    --------
    >>> row = HistoryRow("r1", "A-1", "order", "d1", "ship#1", "ship", "task", "RUNNING", 1, 1_700_000_000_000_000)
    >>> history_table([row], 7).select(["seq", "node", "occurred_at"]).to_pylist()[0]["seq"]
    7
    """
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), _TYPES, strict=True)]
    return pa.Table.from_arrays([pa.array(np.arange(first_seq, first_seq + len(rows))), *columns], schema=_SCHEMA)
