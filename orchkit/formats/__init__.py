"""Files that hold event logs: read into an ``EventLog``, and written back."""

from orchkit.formats.files import read_log, read_objects, write_log, write_objects
from orchkit.formats.objects import ObjectLog, flatten

__all__ = ["ObjectLog", "flatten", "read_log", "read_objects", "write_log", "write_objects"]
