"""Frames as tables of a terminal."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from rich.table import Table
from rich.text import Text

from orchkit.units import format_duration

__all__ = ["failure_table", "frame_table", "metric_table"]

_ROWS = 12


def metric_table(metrics: pd.DataFrame) -> Table:
    """Return the metrics as a table."""
    values = map(_value, metrics["value"], metrics["unit"])
    return _table("Metrics", ["metric", "value"], zip(metrics["metric"], values, strict=True))


def failure_table(failures: pd.DataFrame) -> Table:
    """Return the failures as a table, those of all attempts of a node together, the most frequent first."""
    groups = failures.assign(saved=failures["saved_by_retry"] * failures["count"])
    columns = ["activity", "error_class", "error_type"]
    sums = groups.groupby(columns)[["count", "cases_lost", "saved"]].sum().reset_index()
    sums = sums.sort_values(["cases_lost", "count"], ascending=False)
    share = (sums["saved"] / sums["count"]).map("{:.0%}".format)
    shown = sums.drop(columns="saved").assign(saved=share)
    rows = shown.head(_ROWS).itertuples(index=False)
    rest = f", {len(sums) - _ROWS} more in the notebook" if len(sums) > _ROWS else ""
    return _table(f"Failures{rest}", [*columns, "count", "cases lost", "saved by retry"], rows)


def frame_table(title: str, frame: pd.DataFrame) -> Table:
    """Return the first rows of a frame as a table."""
    return _table(title, list(frame.columns), frame.head(_ROWS).itertuples(index=False))


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    return table


def _value(value: float, unit: str) -> str:
    """Return a value as people read it."""
    if pd.isna(value):
        return "-"
    match unit:
        case "s":
            return format_duration(value)
        case "share":
            return f"{value:.1%}"
        case _:
            return f"{value:,.0f} {unit}"
