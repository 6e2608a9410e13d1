"""Two logs or more beside each other: what differs, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.blocks import Blocks, blocks_of
from orchkit.analysis.kpis import Figures, figures, mean_interval
from orchkit.analysis.measures import RATIOS, WorkingHours
from orchkit.analysis.spans import parts
from orchkit.errors import LogError
from orchkit.log import expect_log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.units import Duration

__all__ = ["compare"]

_COLUMNS = [
    "scenario",
    "measure",
    "name",
    "before",
    "after",
    "difference",
    "low",
    "high",
    "effect_size",
    "unit",
    "method",
    "significant",
]
_PERCENTILES = {"cycle_time_p50": 50, "cycle_time_p95": 95}
_INTERVAL = (2.5, 97.5)
_ALPHA = 0.05
_CELLS = 4_000_000  # of a table of resamples and cases that are held at once
_GROUPS = 20_000  # of cases, where there are more
_ROUNDING, _ROUNDING_S = 1e-6, 1e-5
_LEAST = 2  # of replications, or cases, that tell something about their spread


def compare(
    logs: Mapping[str, EventLog],
    *,
    sla: Workflow | Duration | None = None,
    calendar: WorkingHours | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how logs differ from the first of them.

    Parameters
    ----------
    logs
        By name; the first is what the others are compared with.
    sla, calendar
        As for `kpis`.
    resamples
        How often the bootstrap draws.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row for each figure of each further log: ``scenario, measure, name, before, after, difference, low, high,
        effect_size, unit, method, significant``. ``measure`` is ``kpi`` (those of `kpis`), or ``flow``: how often a
        case goes from one activity directly to another, ``name`` being ``a -> b``. ``low`` and ``high`` are the
        difference's 95 % interval.

    Raises
    ------
    LogError
        Fewer than two logs, or an empty one.

    Notes
    -----
    ``method`` says how the interval was made:

    ``paired``
        Both logs have the same replications, two or more. The differences by replication are independent, and
        with common random numbers (the same seed) they vary less than the figures do. The interval is that of
        Student's t; the effect size is the mean difference by the standard deviation of the differences (Cohen's
        d of paired samples).
    ``bootstrap``
        The cases of both logs are drawn anew, with replacement; the interval holds the middle 95 % of the
        differences (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3). The effect size
        is the difference by the pooled standard deviation of the cases (Cohen's d). Of more than 20,000 cases, 20,000
        groups that chance puts together are drawn instead, whose sums vary by as much.
    ``blocks``
        What belongs to a whole period (throughput, queues, utilization) is bootstrapped too, by blocks of time instead
        of cases: weeks, or days where there are fewer than eight weeks (Künsch, The Annals of Statistics 17, 1989).
    ``none``
        The log tells nothing about the spread: the difference stands alone.

    Differences of less than a millionth, and of less than 10 microseconds of durations, are noise of rounding: they are
    0, and have no effect.

    An interval is about one figure. Of a hundred figures without any true difference, some five exclude 0.
    ``significant`` is about all figures of a log at once: where nothing has changed, at most one comparison in twenty
    has any such row (Holm, 1979, on the chances that the intervals stand for).

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> def runs(minutes):
    ...     start = pd.Timestamp("2024-05-06T09:00Z")
    ...     return EventLog(pd.DataFrame({
    ...         "case_id": ["1", "1", "1"], "activity": "check", "replication": [0, 1, 2],
    ...         "started": start, "completed": [start + pd.Timedelta(minutes=number) for number in minutes],
    ...     }))
    >>> table = compare({"today": runs([10, 12, 20]), "new form": runs([9, 10, 17])}).set_index("name")
    >>> table.loc["cycle_time", ["before", "after", "difference", "effect_size"]].tolist()
    [840.0, 720.0, -120.0, -2.0]
    """
    if not isinstance(logs, Mapping):
        message = (
            f'compare takes logs by name, compare({{"today": a, "two more clerks": b}}), not {type(logs).__name__}.'
        )
        raise LogError(message)
    for log in logs.values():
        expect_log(log, "compare")
    if len(logs) < _LEAST:
        message = 'compare: give at least two logs: compare({"today": a, "two more clerks": b}).'
        raise LogError(message)
    if resamples < _LEAST:
        message = f"compare: resamples={resamples}: draw at least {_LEAST}, better hundreds."
        raise LogError(message)
    sides = {name: _side(name, log, sla, calendar) for name, log in logs.items()}
    first, *others = sides.items()
    rows: list[dict[str, Any]] = []
    for name, side in others:
        shared = np.intersect1d(first[1].figures.measures.names, side.figures.measures.names)
        if len(shared) >= _LEAST:
            found = _paired(first[1], side, shared)
        else:
            found = _bootstrapped(first[1], side, resamples, seed)
        stands = _significant(found, len(shared))
        rows += [
            {"scenario": name, **row, "significant": bool(is_one)} for row, is_one in zip(found, stands, strict=True)
        ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _significant(rows: list[dict[str, Any]], replications: int) -> list[bool]:
    """Tell which differences stand when all of them are looked at: Holm's method."""
    from scipy import stats  # noqa: PLC0415 -- seconds, on use

    table = pd.DataFrame(rows, columns=["difference", "low", "high", "method"])
    half = ((table["high"] - table["low"]) / 2).to_numpy(dtype=float)
    size = table["difference"].abs().to_numpy(dtype=float)
    spread = stats.t(max(1, replications - 1)) if (table["method"] == "paired").any() else stats.norm()
    with np.errstate(invalid="ignore", divide="ignore"):
        chances = 2 * spread.sf(size / half * spread.ppf(0.975))
    chances = np.where(np.isnan(half) | (size == 0), 1.0, chances)
    known = ~np.isnan(half)
    order = np.argsort(chances, kind="stable")
    steps = chances[order] * np.maximum(known.sum() - np.arange(len(order)), 1)
    stands = np.zeros(len(order), dtype=bool)
    stands[order] = np.maximum.accumulate(steps) < _ALPHA if len(steps) else steps < _ALPHA
    return [bool(each) for each in stands & known]


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the logs: its figures, and its flows by case: ``flow`` (a place in ``names``), ``case``, ``count``."""

    figures: Figures
    flows: pd.DataFrame
    names: pd.Index
    size: int
    log: EventLog

    @property
    def blocks(self) -> Blocks:
        """The figures of the whole period, by blocks of time."""
        return blocks_of(self.log, self.figures.measures)

    def flow_table(self, names: pd.Index) -> Any:  # noqa: ANN401 -- scipy has no types
        """Return how often each case goes along each flow, as a sparse matrix."""
        from scipy.sparse import csr_array  # noqa: PLC0415 -- half a second, on use

        places = (self.flows["case"].to_numpy(), self.places_in(names))
        return csr_array((self.flows["count"].to_numpy(dtype=float), places), shape=(self.size, len(names)))

    def places_in(self, names: pd.Index) -> NDArray[np.intp]:
        """Return where in these names that of each flow is."""
        found: NDArray[np.intp] = names.get_indexer(self.names)[self.flows["flow"]]
        return found


def _side(name: str, log: EventLog, sla: Workflow | Duration | None, calendar: WorkingHours | None) -> _Side:
    if not len(log.steps):
        message = f"compare: the log {name!r} is empty. Give logs with at least one step."
        raise LogError(message)
    codes, cases = log.activity_codes.astype(np.int64), log.case_codes
    follows = np.flatnonzero(cases[1:] == cases[:-1])
    pairs = codes[follows] * len(log.activities) + codes[follows + 1]
    flow, known = pd.factorize(pairs)
    each, counts = np.unique(flow * len(log) + cases[follows], return_counts=True)
    flows = pd.DataFrame({"flow": each // len(log), "case": each % len(log), "count": counts})
    activities = np.array(log.activities)
    ends = zip(activities[known // len(activities)], activities[known % len(activities)], strict=True)
    names = pd.Index([f"{source} -> {target}" for source, target in ends], dtype="str")
    return _Side(figures(log, sla, calendar), flows, names, len(log), log)


def _flow_names(before: _Side, after: _Side) -> pd.Index:
    names: pd.Index = pd.Index(sorted({*before.names, *after.names}), dtype="str")
    return names


def _paired(before: _Side, after: _Side, shared: NDArray[np.int64]) -> list[dict[str, Any]]:
    names = _flow_names(before, after)
    tables = [_by_replication(side, names).loc[shared] for side in (before, after)]
    units = before.figures.units | after.figures.units | dict.fromkeys(names, "per case")
    return [
        _paired_row(
            name, unit, "flow" if name in names else "kpi", tables[0][name].to_numpy(), tables[1][name].to_numpy()
        )
        for name, unit in units.items()
        if name in tables[0] and name in tables[1]
    ]


def _by_replication(side: _Side, names: pd.Index) -> pd.DataFrame:
    table, groups = side.figures.table, side.figures.measures.replications
    flows = side.flows
    counts = np.zeros((len(table), len(names)))
    np.add.at(counts, (groups[flows["case"]], side.places_in(names)), flows["count"].to_numpy())
    shares = counts / np.bincount(groups, minlength=len(table))[:, None]
    return pd.concat([table, pd.DataFrame(shares, index=table.index, columns=names)], axis="columns")


def _paired_row(
    name: str,
    unit: str,
    measure: str,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> dict[str, Any]:
    known = ~np.isnan(before) & ~np.isnan(after)
    before, after = before[known], after[known]
    mean, error, half = mean_interval(_without_noise(after - before, before, after, unit))
    spread = error * np.sqrt(len(before))
    return {
        "measure": measure,
        "name": name,
        "before": before.mean() if len(before) else np.nan,
        "after": after.mean() if len(after) else np.nan,
        "difference": mean,
        "low": mean - half,
        "high": mean + half,
        "effect_size": _effect(mean, spread),
        "unit": unit,
        "method": "paired" if len(before) >= _LEAST else "none",
    }


def _bootstrapped(before: _Side, after: _Side, resamples: int, seed: int) -> list[dict[str, Any]]:
    names = _flow_names(before, after)
    rng = np.random.default_rng(seed)
    drawn = [_draws(side, names, resamples, rng) for side in (before, after)]
    spreads = [_spreads(side, names) for side in (before, after)]
    points = [_points(side, names) for side in (before, after)]
    units = before.figures.units | after.figures.units | dict.fromkeys(names, "per case")
    in_blocks = [side.blocks for side in (before, after)]
    of_flows = dict(zip(names, _middle(drawn[1].flows - drawn[0].flows), strict=True))
    rows = []
    for name, unit in units.items():
        if name not in points[0] or name not in points[1]:
            continue
        one, other = np.array([points[0][name]]), np.array([points[1][name]])
        difference = float(_without_noise(other - one, one, other, unit)[0])
        low = high = effect = np.nan
        by_blocks = all(name in one.figures for one in in_blocks)
        if by_blocks:
            found = [
                _block_draws(one, name, point[name], resamples, rng)
                for one, point in zip(in_blocks, points, strict=True)
            ]
            low, high = np.percentile(found[1] - found[0], _INTERVAL)
            pooled = float(np.sqrt(np.mean([one.figures[name].var(ddof=1) for one in in_blocks])))
            effect = _effect(difference, pooled)
        elif name in of_flows or (name in drawn[0].kpis and name in drawn[1].kpis):
            if name in of_flows:
                low, high = of_flows[name]
            else:
                differences = drawn[1].kpis[name] - drawn[0].kpis[name]
                differences = differences[~np.isnan(differences)]
                low, high = np.percentile(differences, _INTERVAL) if len(differences) else (np.nan, np.nan)
            pooled = np.sqrt((spreads[0].get(name, np.nan) ** 2 + spreads[1].get(name, np.nan) ** 2) / 2)
            effect = _effect(difference, pooled)
        rows.append(
            {
                "measure": "flow" if name in of_flows else "kpi",
                "name": name,
                "before": points[0][name],
                "after": points[1][name],
                "difference": difference,
                "low": low,
                "high": high,
                "effect_size": effect,
                "unit": unit,
                "method": "none" if np.isnan(low) else "blocks" if by_blocks else "bootstrap",
            }
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Figures of resamples: by name, and how often a case takes each flow, a row a flow."""

    kpis: dict[str, NDArray[np.float64]]
    flows: NDArray[np.float64]


def _middle(drawn: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return between which values the middle of each row lies."""
    found = [np.percentile(drawn[rows], _INTERVAL, axis=1).T for rows in parts(len(drawn), 1 << 12)]
    return [(float(low), float(high)) for low, high in np.concatenate(found)] if found else []


def _draws(side: _Side, names: pd.Index, resamples: int, rng: np.random.Generator) -> _Drawn:
    """Return each figure of each resample of a log's cases."""
    cases, flows = side.figures.measures.cases, side.flow_table(names)
    sums, sizes = cases.to_numpy(dtype=float), np.ones(side.size)
    is_large = side.size > _GROUPS
    if is_large:
        # Groups put together by chance are drawn instead of cases: their sums vary by as much.
        grouping = _grouping(rng.permutation(side.size) % _GROUPS)
        sums, sizes, flows = grouping @ sums, grouping @ sizes, grouping @ flows
    size = len(sizes)
    totals, shares, quantiles = [], [], []
    batch = max(1, _CELLS // size)
    for begin in range(0, resamples, batch):
        count = min(batch, resamples - begin)
        chosen = rng.integers(0, size, (count, size)) + np.arange(count)[:, None] * size
        weights = np.bincount(chosen.ravel(), minlength=count * size).reshape(count, size)
        totals.append(weights @ sums)
        shares.append(flows.T @ weights.T.astype(float) / (weights @ sizes))
        quantiles.append(_likely_quantiles(cases, count, rng) if is_large else _quantiles(cases, weights))
    return _Drawn(_named(side, np.concatenate(totals), np.concatenate(quantiles)), np.concatenate(shares, axis=1))


def _grouping(groups: NDArray[np.intp]) -> Any:  # noqa: ANN401 -- scipy has no types
    """Return the sparse matrix that sums rows by group."""
    from scipy.sparse import csr_array  # noqa: PLC0415 -- half a second, on use

    return csr_array((np.ones(len(groups)), (groups, np.arange(len(groups)))))


def _likely_quantiles(cases: pd.DataFrame, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return percentiles as `_quantiles` of so many resamples, of which nothing else is known.

    What stands at a place of a sorted sample, and after it, is drawn as such (David and Nagaraja, Order Statistics,
    2003, section 2.5).
    """
    times = np.sort(cases["cycle_s"].to_numpy()[cases["ended"].to_numpy() > 0])
    if not len(times):
        return np.full((resamples, len(_PERCENTILES)), np.nan)
    drawn = np.maximum(rng.binomial(len(cases), len(times) / len(cases), resamples), 1)
    found = []
    for percent in _PERCENTILES.values():
        place = (drawn - 1) * percent / 100
        before = np.floor(place)
        low = rng.beta(before + 1, drawn - before)
        high = 1 - (1 - low) * rng.random(resamples) ** (1 / np.maximum(drawn - before - 1, 1))
        first, second = (times[np.minimum(share * len(times), len(times) - 1).astype(int)] for share in (low, high))
        found.append(first + (second - first) * (place - before))
    return np.stack(found, axis=1)


def _quantiles(cases: pd.DataFrame, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the percentiles of cycle times, interpolated as NumPy does, where each case occurs so many times."""
    ended = np.flatnonzero(cases["ended"].to_numpy() > 0)
    if not len(ended):
        return np.full((len(weights), len(_PERCENTILES)), np.nan)
    order = ended[np.argsort(cases["cycle_s"].to_numpy()[ended], kind="stable")]
    times, counts = cases["cycle_s"].to_numpy()[order], np.cumsum(weights[:, order], axis=1)
    drawn = counts[:, -1:]
    found = []
    for percent in _PERCENTILES.values():
        place = np.maximum(drawn - 1, 0) * percent / 100
        low = np.argmax(counts > np.floor(place), axis=1)
        high = np.argmax(counts > np.minimum(np.floor(place) + 1, drawn - 1), axis=1)
        part = (place - np.floor(place))[:, 0]
        found.append(np.where(drawn[:, 0] > 0, times[low] * (1 - part) + times[high] * part, np.nan))
    return np.stack(found, axis=1)


def _named(side: _Side, totals: NDArray[np.float64], quantiles: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    found = {
        name: np.divide(totals[:, over], totals[:, by], out=np.full(len(totals), np.nan), where=totals[:, by] > 0)
        for name, (over, by) in _picks(side).items()
    }
    return found | {name: quantiles[:, place] for place, name in enumerate(_PERCENTILES)}


def _picks(side: _Side) -> dict[str, tuple[int, int]]:
    columns = list(side.figures.measures.cases)
    return {
        name: (columns.index(ratio.over), columns.index(ratio.by))
        for name, ratio in RATIOS.items()
        if ratio.over in columns and ratio.by in columns
    }


def _points(side: _Side, names: pd.Index) -> dict[str, float]:
    means = side.figures.table.mean()
    flows = side.flow_table(names).sum(axis=0) / side.size
    return {**{str(name): float(value) for name, value in means.items()}, **dict(zip(names, flows, strict=True))}


def _spreads(side: _Side, names: pd.Index) -> dict[str, float]:
    """Return the standard deviation of each figure from case to case."""
    table = side.figures.measures.cases.to_numpy(dtype=float)
    found = {}
    for name, (over, by) in _picks(side).items():
        counts = table[:, by] > 0
        values = table[counts, over] / table[counts, by]
        found[name] = float(values.std(ddof=1)) if len(values) >= _LEAST else np.nan
    found |= {name: found.get("cycle_time", np.nan) for name in _PERCENTILES}
    flows = side.flow_table(names)
    mean, square = flows.sum(axis=0) / side.size, (flows * flows).sum(axis=0) / side.size
    return found | dict(zip(names, np.sqrt(np.maximum(square - mean**2, 0)), strict=True))


def _block_draws(
    blocks: Blocks, name: str, point: float, resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a figure of so many resamples of the blocks, scaled to the figure of the whole."""
    chosen = rng.integers(0, len(blocks.lengths_s), (resamples, len(blocks.lengths_s)))
    lengths, values = blocks.lengths_s[chosen], blocks.figures[name]
    whole = (values * blocks.lengths_s).sum() / blocks.lengths_s.sum()
    scale = point / whole if whole > 0 else 1.0
    return np.asarray(scale * (values[chosen] * lengths).sum(axis=1) / lengths.sum(axis=1), dtype=np.float64)


def _without_noise(
    difference: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64], unit: str
) -> NDArray[np.float64]:
    """Return differences, 0 where they are nothing but rounding: times are in microseconds, and their sums float."""
    size = np.maximum(np.abs(before), np.abs(after))
    noise = np.maximum(size * _ROUNDING, _ROUNDING_S if unit == "s" else 0.0)
    return np.where(np.abs(difference) <= noise, 0.0, difference)


def _effect(difference: float, spread: float) -> float:
    """Return a difference in standard deviations; 0 if there is none, missing where nothing varies."""
    if difference == 0:
        return 0.0
    return float(difference / spread) if spread > 0 else np.nan
