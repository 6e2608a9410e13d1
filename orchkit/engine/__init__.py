"""The durable engine."""

from orchkit.engine.engine import Engine
from orchkit.engine.run import Run

__all__ = ["Engine", "Run"]
