"""Public test doubles: a virtual clock, an executor with faults, a store that crashes.

They drive the real engine: only time, the outside world and luck are made up. ``orchkit.testing.faults`` explores
seeds of faults and crashes in virtual time; ``orchkit.testing.crashes`` kills real processes.
"""

from orchkit.testing.clock import VirtualClock
from orchkit.testing.executor import FaultyExecutor

__all__ = ["FaultyExecutor", "VirtualClock"]
