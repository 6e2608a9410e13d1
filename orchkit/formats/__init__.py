"""Files that hold event logs: read into an ``EventLog``, and written back."""

from orchkit.formats.files import read_log, write_log

__all__ = ["read_log", "write_log"]
