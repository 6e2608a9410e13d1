"""Figures of large logs, whose ways of counting small ones do not reach, beside pandas and brute force."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.analysis.spans import summary

ROWS = 20_000
VALUES = {
    "both signs": lambda rng: rng.normal(0, 1e5, ROWS),
    "gaps": lambda rng: rng.exponential(3600, ROWS).round(3),
    "ties": lambda rng: rng.integers(0, 5, ROWS).astype(float),
    "all the same": lambda _: np.zeros(ROWS),
    "overlaps": lambda rng: -rng.exponential(10, ROWS),
    "half zeros": lambda rng: np.where(rng.random(ROWS) < 0.5, 0, rng.normal(0, 1, ROWS)),
    "close together": lambda rng: 1e9 + rng.random(ROWS) * 1e-3,
}


@pytest.mark.parametrize("size", [1, 126, 3_000, 100_000])
@pytest.mark.parametrize("kind", VALUES)
def test_figures_by_group_are_those_of_pandas(kind, size) -> None:
    rng = np.random.default_rng(7)
    codes, values = rng.integers(0, size, ROWS), VALUES[kind](rng)
    values[rng.random(ROWS) < 0.01] = np.nan
    table, groups = summary(codes, values, size), pd.Series(values).groupby(codes)
    expected = pd.DataFrame(
        {"mean_s": groups.mean(), "median_s": groups.quantile(0.5), "p95_s": groups.quantile(0.95)}
    ).reindex(range(size))
    pd.testing.assert_frame_equal(table[["mean_s", "median_s", "p95_s"]], expected, rtol=1e-9)
    assert table["count"].tolist() == np.bincount(codes, minlength=size).tolist()


@pytest.mark.parametrize("activities", [5, 300, 3_000, 70_000])
def test_any_number_of_activities_is_counted_as_by_hand(activities) -> None:
    rng = np.random.default_rng(activities)
    moments = pd.to_datetime(rng.integers(0, 10**9, ROWS), unit="s", utc=True)
    names = {"case_id": rng.integers(0, ROWS // 7, ROWS).astype(str), "completed": moments}
    log = ok.EventLog(pd.DataFrame(names | {"activity": rng.integers(0, activities, ROWS).astype(str)}))
    ways = log.steps["activity"].astype("str").groupby(log.case_codes).agg(list)
    flows, taken, again = ok.directly_follows(log), ok.variants(log), ok.rework(log)
    pairs = zip(flows["source"], flows["target"], strict=True)
    assert dict(zip(pairs, flows["count"], strict=True)) == Counter(pair for way in ways for pair in pairwise(way))
    assert dict(zip(taken["variant"], taken["cases"], strict=True)) == Counter(map(" → ".join, ways))
    repeats = Counter(name for way in ways for name, count in Counter(way).items() for _ in range(count - 1))
    assert {name: n for name, n in zip(again["activity"], again["repeats"], strict=True) if n} == repeats
