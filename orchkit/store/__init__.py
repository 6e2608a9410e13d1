"""The durable store: history, runs and definitions in one DuckDB file.

The only SQL on state and history is here. `Store` owns the file, `GroupWriter` is the one thread that writes to it,
`Redactor` keeps secrets out of what it is given.
"""

from orchkit.store.bounded import Bounds
from orchkit.store.queries import FailedFrames, LogFrames
from orchkit.store.redaction import Redactor
from orchkit.store.rows import Batch, DefinitionRow, HistoryRow, RunRow, StoredRow
from orchkit.store.store import Store
from orchkit.store.writer import GroupWriter

__all__ = [
    "Batch",
    "Bounds",
    "DefinitionRow",
    "FailedFrames",
    "GroupWriter",
    "HistoryRow",
    "LogFrames",
    "Redactor",
    "RunRow",
    "Store",
    "StoredRow",
]
