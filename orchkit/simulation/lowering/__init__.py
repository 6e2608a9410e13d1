"""Lowering: a workflow and a scenario as the program of the kernel."""

from __future__ import annotations

from orchkit.simulation.lowering.program import Lowered, lower

__all__ = ["Lowered", "lower"]
