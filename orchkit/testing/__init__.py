"""Public test doubles: a virtual clock, an executor with faults, a store that crashes, a receiver of webhooks.

They drive the real engine: only time, the outside world and luck are made up. ``orchkit.testing.faults`` explores
seeds of faults and crashes in virtual time; ``orchkit.testing.crashes`` kills real processes.
"""

from orchkit.testing.clock import VirtualClock
from orchkit.testing.executor import FaultyExecutor
from orchkit.testing.receiver import Received, Receiver

__all__ = ["FaultyExecutor", "Received", "Receiver", "VirtualClock"]
