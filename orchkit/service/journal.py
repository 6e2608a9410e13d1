"""The service's own log: a line of JSON for what it refused, what failed, and what it began and ended."""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["Journal"]

_LONGEST = 500
_TOKEN = re.compile(r"ok_[0-9a-f]{8}_[\w-]+")  # somebody may have put one where none belongs
_FRAMES = 8


class Journal:
    """Writes lines of JSON, without secrets.

    Parameters
    ----------
    stream
        Where to; standard error by default.
    redact
        Takes secrets out of a text.
    clock
        Tells the time, in seconds since the epoch.

    Examples
    --------
    >>> journal = Journal(sys.stdout, lambda text: text.replace("hunter22", "***"), lambda: 0.0)
    >>> journal.write("refused", status=401, path="/v1/runs/hunter22")
    {"timestamp": "1970-01-01T00:00:00+00:00", "event": "refused", "status": 401, "path": "/v1/runs/***"}
    """

    def __init__(self, stream: TextIO | None, redact: Callable[[str], str | None], clock: Callable[[], float]) -> None:
        self._stream, self._redact, self._clock = stream or sys.stderr, redact, clock
        self._lock = threading.Lock()

    def write(self, event: str, **fields: Any) -> None:  # noqa: ANN401 -- JSON values
        """Write a line; what is None is left out, and what is long is cut."""
        known = {name: self._clean(value) for name, value in fields.items() if value is not None}
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat()
        line = json.dumps({"timestamp": moment, "event": event, **known})
        with self._lock:
            print(line, file=self._stream, flush=True)

    def failure(self, error: BaseException, **fields: Any) -> None:  # noqa: ANN401 -- JSON values
        """Write a line about an error that nobody foresaw, with where it came from."""
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.write("failed", error=f"{type(error).__name__}: {error}", places=places, **fields)

    def _clean(self, value: Any) -> Any:  # noqa: ANN401 -- JSON
        if isinstance(value, list):
            return [self._clean(item) for item in value]
        if not isinstance(value, str):
            return value
        text = _TOKEN.sub("***", self._redact(value) or "")
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
