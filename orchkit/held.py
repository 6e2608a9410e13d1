"""What is made when it is asked for first: so that nobody waits for what nobody reads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Held"]

T = TypeVar("T")


class Held(Generic[T]):
    """A value, or what makes it; whoever asks first makes it, others wait for that.

    Parameters
    ----------
    make
        What makes the value. It is called once, and let go with all that it refers to.

    Examples
    --------
    >>> squares = Held(lambda: [number * number for number in range(4)])
    >>> squares.get()
    [0, 1, 4, 9]
    >>> squares.get() is squares.get()
    True
    """

    __slots__ = ("_lock", "_make", "_value")

    def __init__(self, make: Callable[[], T]) -> None:
        self._lock = threading.Lock()
        self._make: Callable[[], T] | None = make

    @classmethod
    def of(cls, value: T) -> Held[T]:
        """Return one that holds a value already."""
        held = cls(lambda: value)
        held.get()
        return held

    def get(self) -> T:
        """Return the value."""
        if self._make is not None:
            with self._lock:
                if self._make is not None:
                    self._value = self._make()
                    self._make = None
        return self._value

    def __reduce__(self) -> tuple[Callable[[T], Held[T]], tuple[T]]:
        """Make it first: copies, and what is sent to another process, have the value itself."""
        return Held.of, (self.get(),)
