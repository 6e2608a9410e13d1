"""What checks find: issues, and the report that holds them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from orchkit.errors import CheckError
from orchkit.view.html import Bundle, table_bundle

__all__ = ["Issue", "Report", "Severity"]


class Severity(StrEnum):
    """How bad an issue is: an error must be mended before a run, a warning should be, an info may be."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding.

    Attributes
    ----------
    rule
        Its name, by which it can be waived.
    severity
        How bad it is.
    node
        Where; empty for the workflow as a whole.
    message
        What is wrong.
    hint
        How to mend it.
    """

    rule: str
    severity: Severity
    node: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.severity} {self.rule}: {where}{self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Report:
    """The issues of a workflow, the worst first. False where errors stand.

    Attributes
    ----------
    workflow
        Its name.
    issues
        What was found.

    Examples
    --------
    >>> report = Report("order", (Issue("timeout", Severity.WARNING, "ship", "has no timeout."),))
    >>> bool(report), len(report)
    (True, 1)
    """

    workflow: str
    issues: tuple[Issue, ...] = ()

    def __bool__(self) -> bool:
        return not self.errors

    def __len__(self) -> int:
        return len(self.issues)

    def __iter__(self) -> Iterator[Issue]:
        return iter(self.issues)

    @property
    def errors(self) -> tuple[Issue, ...]:
        """The issues that are errors."""
        return tuple(issue for issue in self.issues if issue.severity is Severity.ERROR)

    def raise_for_errors(self) -> None:
        """Raise where errors stand.

        Raises
        ------
        CheckError
            Its text lists them.
        """
        if not self:
            lines = "\n".join(f"  {issue}" for issue in self.errors)
            message = f"{self.workflow} has {len(self.errors)} errors:\n{lines}"
            raise CheckError(message)

    def to_frame(self) -> pd.DataFrame:
        """Return a row an issue: ``rule, severity, node, message, hint``."""
        columns = ["rule", "severity", "node", "message", "hint"]
        rows = [[getattr(issue, column) for column in columns] for issue in self.issues]
        return pd.DataFrame(rows, columns=columns, dtype="str")

    def __str__(self) -> str:
        lines = [str(issue) for issue in self.issues] or ["no issues"]
        return "\n".join([f"{self.workflow}: {lines[0]}"] if not self.issues else [f"{self.workflow}:", *lines])

    def _repr_mimebundle_(self, include: Container[str] | None = None, exclude: Container[str] | None = None) -> Bundle:
        return table_bundle(self.to_frame(), f"Checks of {self.workflow}", include=include, exclude=exclude)
