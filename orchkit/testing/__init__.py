"""Public test doubles: a virtual clock, faults, a store that crashes.

They drive the real engine: only time, the outside world and luck are made up.
"""

from orchkit.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
