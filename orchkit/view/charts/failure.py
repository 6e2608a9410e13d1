"""What fails most, as a picture."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from orchkit.analysis.failure import failures as failure_table
from orchkit.log import EventLog, expect_log
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import WIDTH, chart_of, name_of, rows_of
from orchkit.view.charts.nothing import no_chart
from orchkit.view.figures import share_text
from orchkit.view.theme import LIGHT

__all__ = ["failures"]

_ROW = 24
_OUTCOMES = ("saved by a retry", "not saved")


def failures(log: EventLog, by: Sequence[str] = ("activity", "error_type"), *, max_rows: int = 12) -> Chart:
    """Draw the kinds of failure as a Pareto chart: the most frequent first, with what they add up to.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. A failed attempt is a step with the status FAILED.
    by
        What tells kinds apart, as in `orchkit.failures`.
    max_rows
        How many kinds are drawn.

    Raises
    ------
    LogError
        The log has no column that ``by`` names.

    Examples
    --------
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["ship", "ship", "pay"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "status": ["FAILED", "COMPLETED", "FAILED"],
    ...     "attempt": [1, 2, 1],
    ...     "error_type": ["HTTP 503", None, "Declined"],
    ... }))
    >>> print(failures(log))
    Failures: 2 failed attempts of 2 kinds, 50% saved by a retry; most frequent: pay, Declined (50%)
    pay, Declined: 1 failed attempt, 0% saved by a retry, 50% of all failures, 50% with those above
    ship, HTTP 503: 1 failed attempt, 100% saved by a retry, 50% of all failures, 100% with those above
    """
    expect_log(log, "charts.failures")
    table = failure_table(log, by)
    if not len(table):
        return no_chart("Failures", "no step of the log has the status FAILED")
    kinds = _kinds(table, [by] if isinstance(by, str) else list(by))
    total, saved = int(kinds["count"].sum()), float(kinds["saved"].sum())
    attempts = "1 failed attempt" if total == 1 else f"{total:,} failed attempts"
    number = "1 kind" if len(table) == 1 else f"{len(table):,} kinds"
    said = f"{attempts} of {number}, {share_text(saved / total)} saved by a retry"
    top, shown = kinds.iloc[0], kinds.head(max_rows)
    label = f"Failures: {said}; most frequent: {top['kind']} ({share_text(float(top['share']))})"
    if len(kinds) > len(shown):
        said += f"; {len(kinds) - len(shown):,} rarer kinds are not drawn"
    return chart_of(_drawn(shown), "Failures", label, subtitle=said, text="\n".join(shown["says"]))


def _kinds(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one row per kind, the most frequent first, with what they add up to."""
    names = table[by].astype("object").where(table[by].notna(), "unknown")
    kinds = pd.DataFrame(
        {
            "kind": [name_of(", ".join(map(str, row))) for row in names.itertuples(index=False)],
            "count": table["count"].astype(float),
            "saved": (table["count"] * table["saved_by_retry"]).round(),
        }
    ).sort_values(["count", "kind"], ascending=[False, True], ignore_index=True)
    # Two kinds may be the same once they are cut for the axis.
    again = kinds.groupby("kind").cumcount()
    numbered = ("(" + (again + 1).astype(str) + ") " + kinds["kind"]).map(name_of)
    kinds["kind"] = kinds["kind"].where(again == 0, numbered)
    kinds["lost"] = kinds["count"] - kinds["saved"]
    kinds["share"] = kinds["count"] / kinds["count"].sum()
    kinds["together"] = kinds["count"].cumsum() / kinds["count"].sum()
    kinds["says"] = [_said(row) for row in kinds.to_dict("records")]
    return kinds


def _said(row: Mapping[Hashable, Any]) -> str:
    attempts = "1 failed attempt" if row["count"] == 1 else f"{row['count']:,.0f} failed attempts"
    saved, share = share_text(row["saved"] / row["count"]), share_text(row["share"])
    together = share_text(row["together"])
    return f"{row['kind']}: {attempts}, {saved} saved by a retry, {share} of all failures, {together} with those above"


def _drawn(kinds: pd.DataFrame) -> Any:  # noqa: ANN401 -- any of Altair's layers
    order = list(kinds["kind"])
    named = zip(("saved", "lost"), _OUTCOMES, strict=True)
    parts = pd.concat(
        kinds[["kind", "says"]].assign(count=kinds[name], outcome=outcome, place=place)
        for place, (name, outcome) in enumerate(named)
    )
    parts = parts[parts["count"] > 0]
    y = alt.Y("kind:N", sort=order, title=None, axis=alt.Axis(labelLimit=320, labelPadding=6, ticks=False))
    counts = alt.Scale(domain=[0, float(kinds["count"].max()) * 1.02], nice=False)
    bars = (
        alt.Chart(rows_of(parts))
        .mark_bar(strokeWidth=1.2, height=_ROW * 0.66)
        .encode(
            x=alt.X("count:Q", title="failed attempts", stack="zero", scale=counts, axis=alt.Axis(tickMinStep=1)),
            y=y,
            order="place:Q",
            fill=alt.Fill(
                "outcome:N",
                scale=alt.Scale(domain=list(_OUTCOMES), range=[LIGHT["done-tint"], LIGHT["failed"]]),
                legend=alt.Legend(title=None, symbolType="square"),
            ),
            stroke=alt.Stroke(
                "outcome:N",
                scale=alt.Scale(domain=list(_OUTCOMES), range=[LIGHT["done"], LIGHT["failed"]]),
                legend=alt.Legend(title=None, symbolType="square"),
            ),
            tooltip="says:N",
            description="says:N",
        )
    )
    line = (
        alt.Chart(rows_of(kinds[["kind", "together", "says"]]))
        .mark_line(point={"filled": True, "size": 36, "color": LIGHT["text"]}, color=LIGHT["text"], strokeWidth=1.2)
        .encode(
            x=alt.X(
                "together:Q",
                title="share of all failures, with those above",
                scale=alt.Scale(domain=[0, 1.02], nice=False),
                axis=alt.Axis(format="%", orient="top", grid=False, values=[0, 0.2, 0.4, 0.6, 0.8, 1]),
            ),
            y=y,
            order=alt.Order("together:Q"),
            tooltip="says:N",
            description="says:N",
        )
    )
    return alt.layer(bars, line).resolve_scale(x="independent").properties(width=WIDTH, height=_ROW * len(kinds))
