"""Columns of other systems that have a log's name and mean something else: they are set apart, and it is said."""

from __future__ import annotations

from collections.abc import Container

import pandas as pd

from orchkit.columns import CASE_PREFIX, CASE_STATUSES, STEP_STATUSES, XES_NAMES, coded, parse
from orchkit.errors import LogError

__all__ = ["set_apart"]

_OF_STEPS = ("enabled", "started", "attempt", "cost", "replication")
_OF_CASES = ("started", "completed", "replication")


def set_apart(frame: pd.DataFrame, named: Container[str], notes: list[str]) -> pd.DataFrame:
    """Return the frame with each column that only seems to be a log's under another name, ``own_…``.

    Parameters
    ----------
    frame
        One row per event, under the names of XES or of a log.
    named
        The columns of a log that the user has named: what is in them is not set apart, but an error.
    notes
        Takes a sentence for each.

    Notes
    -----
    Who writes ``concept:name`` means it: the ``activity`` beside it of BPI Challenge 2018 is another.
    """
    renamed = {}
    for name, xes in XES_NAMES.items():
        if xes in frame and name in frame and name not in named:
            renamed[name] = f"stands beside {xes}"
        if name == "case_id" and xes in frame and CASE_PREFIX + name in frame:
            renamed[CASE_PREFIX + name] = f"stands beside {xes}"
    for names, prefix in ((_OF_STEPS, ""), (_OF_CASES, CASE_PREFIX)):
        for name in names:
            label = prefix + name
            if label not in frame and not prefix:
                label = XES_NAMES.get(name, name)
            if label in frame and label not in renamed and name not in named:
                try:
                    parse(name, frame[label])
                except LogError as error:
                    renamed[label] = f"is not what a log calls so ({str(error).partition('. ')[0].rstrip('.')})"
    for label, known in (("status", STEP_STATUSES), (f"{CASE_PREFIX}status", CASE_STATUSES)):
        if label in frame:
            strange = [value for value in coded(frame[label]).cat.categories if value.upper() not in known]
            if strange:
                renamed[label] = f"has values that a log does not know, such as {strange[0]!r}"
    kept = {label: _kept(label) for label in renamed}
    notes += [f"{label} {why}, and is kept as {kept[label]}" for label, why in renamed.items()]
    return frame.rename(columns=kept)


def _kept(label: str) -> str:
    prefix = CASE_PREFIX if label.startswith(CASE_PREFIX) else ""
    return f"{prefix}own_{label.removeprefix(prefix)}"
