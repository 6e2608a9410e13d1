"""What checks find: issues, and the report that holds them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pandas as pd

from orchkit.errors import CheckError

if TYPE_CHECKING:
    from orchkit.checks.soundness import Soundness
    from orchkit.view.html import Bundle

__all__ = ["Issue", "Report", "Severity", "counted"]

_SHOWN = 100


class Severity(StrEnum):
    """How bad an issue is: an error must be mended before a run, a warning should be, an info may be."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Issue:
    """A finding of `check`.

    Attributes
    ----------
    rule
        The name of the rule, by which it can be waived.
    severity
        How bad it is.
    node
        The node concerned; empty for the workflow as a whole.
    message
        What is wrong.
    hint
        How to mend it.
    waived
        Why it does not count; empty if it counts.
    """

    rule: str
    severity: Severity
    node: str
    message: str
    hint: str = ""
    waived: str = ""

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else ""
        after = f" Waived: {self.waived}" if self.waived else f" {self.hint}" if self.hint else ""
        return f"{self.severity} {self.rule}: {where}{self.message}{after}"


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found in a workflow: issues, the worst first, waived ones last. False if there are errors.

    Attributes
    ----------
    workflow
        Its name.
    issues
        What was found.
    soundness
        Whether every run can come to an end, and if not, the shortest way to the fault.

    Examples
    --------
    >>> report = Report("order", (Issue("timeout", Severity.WARNING, "ship", "An attempt of it may last for ever."),))
    >>> bool(report), len(report)
    (True, 1)
    """

    workflow: str
    issues: tuple[Issue, ...] = ()
    soundness: Soundness | None = None

    def __bool__(self) -> bool:
        return not self.errors

    def __len__(self) -> int:
        return len(self.issues)

    def __iter__(self) -> Iterator[Issue]:
        return iter(self.issues)

    @property
    def errors(self) -> tuple[Issue, ...]:
        """What must be mended."""
        return self._open(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Issue, ...]:
        """What should be mended."""
        return self._open(Severity.WARNING)

    @property
    def waived(self) -> tuple[Issue, ...]:
        """Issues that do not count, each with the reason."""
        return tuple(issue for issue in self.issues if issue.waived)

    def _open(self, severity: Severity) -> tuple[Issue, ...]:
        return tuple(issue for issue in self.issues if issue.severity is severity and not issue.waived)

    def raise_for_errors(self) -> None:
        """Raise if there are errors.

        Raises
        ------
        CheckError
            There are errors; the message lists them.
        """
        if not self:
            lines = "\n".join(f"  {issue}" for issue in self.errors)
            message = f"{self.workflow} has {counted(len(self.errors), 'error')}:\n{lines}"
            raise CheckError(message)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per issue: ``rule, severity, node, message, hint, waived``."""
        columns = ["rule", "severity", "node", "message", "hint", "waived"]
        rows = [[getattr(issue, column) for column in columns] for issue in self.issues]
        return pd.DataFrame(rows, columns=columns, dtype="str")

    @property
    def summary(self) -> str:
        """How many issues there are of each severity, and whether it is sound."""
        counts = [(len(self._open(severity)), severity.value) for severity in Severity]
        parts = [counted(count, word) for count, word in counts if count and word != "info"]
        parts += [counted(count, "note") for count, word in counts if count and word == "info"]
        parts += [f"{len(self.waived)} waived"] if self.waived else []
        text = ", ".join(parts) or "no issues"
        return text if self.soundness is None else f"{text}; {self.soundness.verdict.value}"

    def __str__(self) -> str:
        return "\n".join([f"{self.workflow}: {self.summary}", *(f"  {issue}" for issue in self.issues)])

    def _repr_mimebundle_(self, include: Container[str] | None = None, exclude: Container[str] | None = None) -> Bundle:
        from orchkit.view.tables import with_picture  # noqa: PLC0415 -- a value may draw itself

        frame = self.to_frame()[["severity", "rule", "node", "message", "hint", "waived"]]
        if self.waived:  # the reason takes the place of the hint
            frame.loc[frame.waived != "", ["severity", "hint"]] = ["waived", ""]
        frame = frame.drop(columns=[name for name in ("hint", "waived") if (frame[name] == "").all()])
        caption = f"Checks of {self.workflow}: {self.summary}"
        return with_picture(frame, caption, max_rows=_SHOWN, include=include, exclude=exclude)


def counted(count: int, word: str) -> str:
    """Return a count with its word.

    Examples
    --------
    >>> counted(1, "error"), counted(2, "error")
    ('1 error', '2 errors')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
