"""The compiled part: one interpreter of lowered workflows (`orchkit.simulation.kernel.loop`)."""
