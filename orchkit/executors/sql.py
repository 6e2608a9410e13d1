"""SQL tasks: one statement, through SQLAlchemy."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from orchkit.errors import PermanentError, TransientError, WorkflowError
from orchkit.executors.base import Attempt, extra, settings_problem
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["SqlExecutor"]

_SETTINGS = frozenset({"url", "query", "parameters", "max_rows"})
_MAX_ROWS = 10_000


class SqlExecutor:
    """Runs the statement of a task's settings in a transaction of its own.

    Settings: ``url`` (SQLAlchemy's form, such as ``sqlite:///books.db`` or ``${secrets.books_url}``), ``query`` with
    ``:name`` where a value belongs, ``parameters`` (a mapping, or a list of mappings for many rows), ``max_rows``
    (10,000). The result is the rows, a list of mappings, or ``{"rows": count}`` for a statement that returns none.
    Values are bound, never pasted: a query with ``${…}`` is refused. A lost connection and a locked database are
    transient, all else is permanent. The extra ``sql`` installs what it needs.
    """

    def __init__(self) -> None:
        self._engines: dict[str, Any] = {}
        self._lock = threading.Lock()

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        if "${" in str(task.settings.get("query", "")):
            message = f"Task {task.name!r} (sql): values go into parameters, as :name in the query, not as ${{…}}."
            return WorkflowError(message, node=task.name)
        return settings_problem(task, required=["url", "query"], known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the statement, with its values."""
        settings = render(dict(attempt.task.settings), attempt.names)
        return functools.partial(
            self._run,
            str(settings["url"]),
            str(settings["query"]),
            settings.get("parameters", {}),
            int(settings.get("max_rows", _MAX_ROWS)),
        )

    def _run(self, url: str, query: str, parameters: Any, max_rows: int) -> Any:  # noqa: ANN401 -- JSON
        sqlalchemy = extra("sqlalchemy", "sql")
        try:
            with self._engine(url).begin() as connection:
                result = connection.execute(sqlalchemy.text(query), parameters or None)
                if not result.returns_rows:
                    return {"rows": result.rowcount}
                rows = [dict(row) for row in result.mappings().fetchmany(max_rows + 1)]
        except sqlalchemy.exc.DBAPIError as error:
            text = f"{type(error).__name__}: {error.orig}"
            lost = error.connection_invalidated or isinstance(error, sqlalchemy.exc.OperationalError)
            again = lost and not _is_the_statements_fault(text)
            raise TransientError(text) if again else PermanentError(text) from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise PermanentError(str(error)) from error
        if len(rows) > max_rows:
            message = f"The query gives more than {max_rows} rows: let it count or limit, or set max_rows."
            raise PermanentError(message)
        return rows

    def _engine(self, url: str) -> Any:  # noqa: ANN401 -- SQLAlchemy's engine
        with self._lock:
            if url not in self._engines:
                self._engines[url] = extra("sqlalchemy", "sql").create_engine(url)
            return self._engines[url]

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()


def _is_the_statements_fault(text: str) -> bool:
    """Return whether an operational error is about the statement: SQLite calls a missing table so, too."""
    return any(words in text.lower() for words in ("no such", "syntax error", "no column", "unrecognized token"))
