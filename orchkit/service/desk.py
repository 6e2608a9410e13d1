"""Desk: where long work is done, so many at once, while all other requests are answered."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from orchkit.service.problems import Refusal

__all__ = ["Desk"]

_Made = TypeVar("_Made")
_AGAIN_S = 5


class Desk:
    """Does long work in threads of its own.

    Parameters
    ----------
    places
        How much is done at once.
    queue
        How much more may wait; what comes then is refused.

    Examples
    --------
    >>> desk = Desk(1, 0)
    >>> async def ask():
    ...     return await asyncio.gather(desk.do(lambda: 7), desk.do(lambda: 8), return_exceptions=True)
    >>> asyncio.run(ask())
    [7, Refusal(status_code=429, detail='Others are being answered first: ask again in 5 seconds.')]
    >>> desk.close()
    """

    def __init__(self, places: int, queue: int) -> None:
        self._most, self._busy = places + queue, 0
        self._pool = concurrent.futures.ThreadPoolExecutor(places, thread_name_prefix="orchkit-desk")

    async def do(self, work: Callable[[], _Made]) -> _Made:
        """Return what some work gives.

        Raises
        ------
        Refusal
            Too many wait already: 429.
        """
        if self._busy >= self._most:
            detail = f"Others are being answered first: ask again in {_AGAIN_S} seconds."
            raise Refusal(429, "busy", detail, {"retry-after": str(_AGAIN_S)})
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Take no more, and give up what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)
