from __future__ import annotations

import pytest

import orchkit as ok
from orchkit.store import Bounds, Store


@pytest.fixture(scope="module")
def store():
    with Store() as opened:
        yield opened


@pytest.mark.parametrize(
    "query",
    [
        "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b",
        "SELECT list(range) FROM range(20000000)",
        "SELECT count(*) FROM (FROM range(50000000) ORDER BY hash(range))",
    ],
)
def test_a_query_that_takes_too_long_is_stopped_wherever_it_is(store, query):
    with pytest.raises(ok.QueryError, match=r"longer than 0\.01 s"):
        store.table(query, bounds=Bounds(seconds=0.01))

    assert store.table("SELECT 7 AS seven").to_pylist() == [{"seven": 7}]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("FROM range(11)", "more than 10 rows"),
        ("SELECT repeat('x', 2000) FROM range(9)", "more than 1,000 bytes"),
        ("SELECT * FROM sqlite_scan('a', 'b')", "DuckDB cannot answer|no files"),
        ("SELECT * FROM read_text('/etc/passwd')", "no files, no network, no changes"),
        ("INSERT INTO meta VALUES ('a', 'b')", "only reads"),
    ],
)
def test_what_is_out_of_bounds_is_refused_as_a_query(store, query, why):
    with pytest.raises(ok.QueryError, match=why):
        store.table(query, bounds=Bounds(rows=10, size=1_000))


def test_parameters_are_given_by_position_or_by_name(store):
    assert store.table("SELECT ? + 1 AS found", [6]).to_pylist() == [{"found": 7}]
    assert store.table("SELECT $a + 1 AS found", {"a": 6}).to_pylist() == [{"found": 7}]
