"""Attributes of cases: what a scenario says about the data that a workflow decides on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.columns import CASE_COLUMNS
from orchkit.errors import ScenarioError
from orchkit.log import expect_log
from orchkit.simulation.distributions import Distribution

if TYPE_CHECKING:
    from orchkit.log import EventLog

__all__ = ["as_attribute", "attributes_of"]

_WHOLE = 2**63


def as_attribute(value: Any, _: str = "") -> Distribution:  # noqa: ANN401 -- a JSON value
    """Return a distribution as it is, and any other value as one that has no other.

    Examples
    --------
    >>> as_attribute("US").values
    ('US',)
    """
    if isinstance(value, pd.Series | pd.DataFrame | pd.Index):
        message = f"give one value, or a distribution such as ok.empirical(values), not a {type(value).__name__}."
        raise ScenarioError(message)
    plain = value.item() if isinstance(value, np.generic) else value
    is_drawn = isinstance(plain, Distribution)
    drawn: Distribution = plain if is_drawn else Distribution("categorical", values=(plain,), weights=(1.0,))
    # Whole numbers beyond those of a frame's columns are kept as the floats that the kernel has for them.
    return replace(drawn, values=tuple(map(_bounded, drawn.values)))


def _bounded(value: object) -> object:
    if not isinstance(value, int) or abs(value) < _WHOLE:
        return value
    try:
        return float(value)
    except OverflowError:
        message = "a whole number of more than 300 digits is too large for a simulation."
        raise ScenarioError(message) from None


def attributes_of(table: pd.DataFrame | EventLog) -> dict[str, Distribution]:
    """Return a table of cases as the attributes of a scenario: each simulated case is one of its rows.

    Parameters
    ----------
    table
        One row per case, one column per attribute (``order.country``); or a log, whose cases have attributes.

    Notes
    -----
    The columns of a table are drawn together, so that what goes together in the table also does in the simulation.

    Examples
    --------
    >>> import pandas as pd
    >>> found = attributes_of(pd.DataFrame({"country": ["US", "DE"], "amount": [10, 20]}))
    >>> found["amount"].values, found["amount"].mean
    ((10, 20), 15.0)
    """
    if isinstance(table, pd.DataFrame):
        frame = table
    else:
        frame = expect_log(table, "attributes_of").cases.drop(columns=[*CASE_COLUMNS], errors="ignore")
    return {str(name): Distribution("column", values=tuple(map(_scalar, frame[name]))) for name in frame.columns}


def _scalar(value: Any) -> Any:  # noqa: ANN401 -- a cell of a frame, and a JSON value
    plain = value.item() if hasattr(value, "item") else value
    if hasattr(plain, "isoformat"):
        return None if plain != plain else plain.isoformat()  # noqa: PLR0124 -- NaT is not itself
    is_missing = plain is None or type(plain).__name__ == "NAType" or (isinstance(plain, float) and math.isnan(plain))
    return None if is_missing else plain
