"""Threads for the attempts' work: as many as are needed, woken one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Threads"]

Job = Callable[[], None]


class Threads:
    """A pool of threads for jobs that take microseconds or hours.

    A pool that wakes a thread for each job loses most of its time to switching where jobs are short. Here a thread
    that takes a job calls up the next one only while jobs are left, so that short jobs are done by a few threads in
    a row, and jobs that wait are soon spread over as many threads as there may be.

    Parameters
    ----------
    limit
        Threads at most.

    Examples
    --------
    >>> import queue
    >>> done, threads = queue.SimpleQueue(), Threads(2)
    >>> threads.put(lambda: done.put("done"))
    >>> done.get(timeout=5)
    'done'
    >>> threads.close()
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._jobs: deque[Job] = deque()
        self._guard = threading.Lock()
        self._parked: list[threading.Lock] = []
        self._count = 0
        self._is_coming = False
        self._closed = False

    def put(self, job: Job) -> None:
        """Have a job done, which must not raise; after `close` nothing is."""
        self._jobs.append(job)
        if not self._is_coming:
            self._call_up()

    def close(self) -> None:
        """Do nothing more. Jobs that are being done go on; their threads do not keep the process alive."""
        with self._guard:
            self._closed = True
            self._jobs.clear()
            parked, self._parked = self._parked, []
        for lock in parked:
            lock.release()

    def _call_up(self) -> None:
        """Call up one more thread, unless one is coming already: that one will look for jobs itself."""
        with self._guard:
            if self._is_coming or self._closed or not self._jobs:
                return
            if self._parked:
                self._is_coming = True
                self._parked.pop().release()
                return
            if self._count == self._limit:
                return
            self._count += 1
            self._is_coming = True
            number = self._count
        try:
            threading.Thread(target=self._loop, name=f"orchkit-work-{number}", daemon=True).start()
        except RuntimeError:  # the system has no more threads: those that are there have to do
            with self._guard:
                self._count -= 1
                self._is_coming = False
            if not self._count:
                raise

    def _loop(self) -> None:
        park = threading.Lock()
        park.acquire()
        comes = True
        while not self._closed:
            with self._guard:
                if comes:
                    self._is_coming = comes = False
                job = self._jobs.popleft() if self._jobs else None
                if job is None and not self._closed:
                    self._parked.append(park)
            if job is None:
                if not self._closed:
                    park.acquire()
                comes = True
                continue
            if self._jobs and not self._is_coming:
                self._call_up()
            job()
            del job  # a parked thread holds nothing
