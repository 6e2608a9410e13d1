"""HTML for notebooks: tables and what a display is given.

Styled with the colors of the page around, so that it is legible in every theme; text from data is escaped.
"""

from __future__ import annotations

from html import escape
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchkit.view.text import clean, shorten
from orchkit.view.theme import LOOKS, SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

__all__ = ["SIGNED_COLUMNS", "Bundle", "cell_text", "picked", "preformatted", "table_bundle", "table_html"]

Bundle = dict[str, Any]

_STYLE = """
.orchkit-table{overflow-x:auto;max-width:100%}
.orchkit-table table{border-collapse:collapse;font-size:13px;color:inherit;background:none;margin:0.4em 0}
.orchkit-table caption{text-align:left;font-weight:600;padding:0.2em 0.6em;color:inherit;caption-side:top}
.orchkit-table th,.orchkit-table td{padding:0.25em 0.6em;text-align:left;vertical-align:top;color:inherit;
background:none;border:0;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent);max-width:42em}
.orchkit-table thead th{border-bottom-color:currentColor;font-weight:600;white-space:nowrap}
.orchkit-table .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.orchkit-table .sign{white-space:nowrap}
.orchkit-table .note{padding:0 0.6em;opacity:0.75;font-size:12px}
""".replace("\n", "")

_SIGNS = {name: look.sign for name, look in {**LOOKS, **SEVERITIES}.items()}
SIGNED_COLUMNS = frozenset({"status", "severity"})
_LONGEST_CELL = 300
_THOUSAND = 1000


def picked(
    makers: Mapping[str, Callable[[], object]],
    include: Container[str] | None,
    exclude: Container[str] | None,
) -> Bundle:
    """Return what a display asks for; makers of other types are not called.

    Examples
    --------
    >>> picked({"text/plain": lambda: "ok", "image/png": lambda: 1 / 0}, None, {"image/png"})
    {'text/plain': 'ok'}
    """
    return {
        mime: make()
        for mime, make in makers.items()
        if (include is None or mime in include) and (exclude is None or mime not in exclude)
    }


def table_bundle(
    frame: pd.DataFrame,
    caption: str = "",
    *,
    note: str = "",
    max_rows: int = 50,
    include: Container[str] | None = None,
    exclude: Container[str] | None = None,
) -> Bundle:
    """Return a frame as what ``_repr_mimebundle_`` gives: ``text/html`` and ``text/plain``.

    Parameters
    ----------
    frame
        The rows. An index without a name is not shown. In columns called ``status`` and ``severity``
        the values get their signs.
    caption, note
        Above and below the table.
    max_rows
        How many rows are shown; what is left out is said.
    include, exclude
        MIME types, as in ``_repr_mimebundle_``.

    Examples
    --------
    >>> bundle = table_bundle(pd.DataFrame({"node": ["ship"], "status": ["FAILED"]}), "Steps")
    >>> print(bundle["text/plain"])
    Steps
    node   status
    ship ✗ FAILED
    """
    return picked(
        {
            "text/html": lambda: table_html(frame, caption, note=note, max_rows=max_rows),
            "text/plain": lambda: _table_text(frame, caption, note=note, max_rows=max_rows),
        },
        include,
        exclude,
    )


def table_html(frame: pd.DataFrame, caption: str = "", *, note: str = "", max_rows: int = 50) -> str:
    """Return a frame as an HTML table, styled, its text escaped.

    Examples
    --------
    >>> "&lt;b&gt;" in table_html(pd.DataFrame({"name": ["<b>"]}))
    True
    """
    frame = _with_index(frame)
    names = [str(column) for column in frame.columns]
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    classes = [
        ' class="number"' if is_number else ' class="sign"' if name in SIGNED_COLUMNS else ""
        for name, is_number in zip(names, numeric, strict=True)
    ]
    head = "".join(f'<th scope="col"{kind}>{_escaped(name)}</th>' for name, kind in zip(names, classes, strict=True))
    rows = (
        "".join(
            f"<td{kind}>{_escaped(cell_text(value, name))}</td>"
            for value, name, kind in zip(row, names, classes, strict=True)
        )
        for row in frame.head(max_rows).itertuples(index=False, name=None)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    title = f"<caption>{_escaped(caption)}</caption>" if caption else ""
    notes = "".join(f'<div class="note">{_escaped(line)}</div>' for line in _notes(frame, note, max_rows))
    label = _escaped(caption or "Table")
    return (
        f'<div class="orchkit-table" role="region" aria-label="{label}" tabindex="0"><style>{_STYLE}</style>'
        f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}</div>"
    )


def preformatted(text: str, heading: str = "") -> str:
    """Return text as it stands, with a heading, as HTML.

    Examples
    --------
    >>> preformatted("a < b", "Condition")
    '<div><p><strong>Condition</strong></p><pre>a &lt; b</pre></div>'
    """
    title = f"<p><strong>{_escaped(heading)}</strong></p>" if heading else ""
    return f"<div>{title}<pre>{_escaped(text)}</pre></div>"


def _escaped(text: str) -> str:
    return escape(clean(text))


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index() if any(name is not None for name in frame.index.names) else frame


def _notes(frame: pd.DataFrame, note: str, max_rows: int) -> list[str]:
    left = len(frame) - max_rows
    return [line for line in (f"… {left:,} more rows" if left > 0 else "", note) if line]


def _table_text(frame: pd.DataFrame, caption: str, *, note: str, max_rows: int) -> str:
    frame = _with_index(frame)
    shown = pd.DataFrame(
        [
            [cell_text(value, str(column)) for value, column in zip(row, frame.columns, strict=True)]
            for row in frame.head(max_rows).itertuples(index=False, name=None)
        ],
        columns=[str(column) for column in frame.columns],
    )
    table = clean(shown.to_string(index=False)) if len(frame) else "no rows"
    return "\n".join(part for part in (caption, table, *_notes(frame, note, max_rows)) if part)


def cell_text(value: object, column: str) -> str:
    """Return a value as text for people; in a column of statuses or severities with its sign."""
    match value:
        case str():
            sign = _SIGNS.get(value, "") if column in SIGNED_COLUMNS else ""
            return f"{sign} {value}" if sign else shorten(value, _LONGEST_CELL)
        case list() | tuple() | dict() | set():
            return shorten(str(value), _LONGEST_CELL)
        case bool():
            return "yes" if value else "no"
        case Integral():
            return f"{int(value):,}"
        case _ if _is_missing(value):
            return "-"
        case pd.Timestamp():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case Real():
            return f"{float(value):,.0f}" if abs(float(value)) >= _THOUSAND else f"{float(value):.4g}"
        case _:
            return shorten(str(value), _LONGEST_CELL)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or value != value  # noqa: PLR0124 -- so says NaN
