"""Checks: whether a workflow is well formed, sound, and ready to run."""
