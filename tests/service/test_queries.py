from __future__ import annotations

import concurrent.futures

import pyarrow as pa
import pytest

import orchkit as ok
from tests.service.conftest import Served, problem

ARROW = "application/vnd.apache.arrow.stream"


ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"


@pytest.fixture(scope="module")
def hasty():
    found = Served(limits=ok.Limits(sql_s=0.2))
    yield found.clients["read"]
    found.close()


@pytest.fixture(scope="module")
def small():
    found = Served(limits=ok.Limits(sql_s=60, sql_rows=100, sql_bytes=1 << 20))
    yield found.clients["read"]
    found.close()


def test_an_answer_comes_as_json_or_as_arrow(served, read):
    served.engine.start("parcel", {}, case_id="Q-1")
    query = {"query": "SELECT case_id, started_at FROM runs WHERE case_id = ?", "parameters": ["Q-1"]}

    told = read.post("/v1/sql", json=query).json()
    arrow = read.post("/v1/sql", json=query, headers={"Accept": ARROW})
    table = pa.ipc.open_stream(arrow.content).read_all()

    assert told["columns"] == [
        {"name": "case_id", "type": "string"},
        {"name": "started_at", "type": "timestamp[us, tz=UTC]"},
    ]
    assert (arrow.headers["content-type"], table.column("case_id").to_pylist()) == (ARROW, ["Q-1"])
    assert told["rows"] == [["Q-1", table.column("started_at")[0].as_py().isoformat()]]


def test_what_json_lacks_is_told_as_text_or_null(read):
    query = (
        "SELECT 1.5::DECIMAL(4,1), DATE '2027-01-31', 'nan'::DOUBLE, [1, NULL], {'a': 1}, 2::HUGEINT, 'x'::BLOB, NULL"
    )

    assert read.post("/v1/sql", json={"query": query}).json()["rows"] == [
        [1.5, "2027-01-31", None, [1, None], {"a": 1}, 2, "78", None]
    ]


@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_every_type_of_duckdb_is_told_or_refused_in_words(read, accept):
    told = read.post("/v1/sql", json={"query": "FROM test_all_types()"}, headers={"Accept": accept})

    assert told.status_code in (200, 409), told.text


def test_an_answer_in_another_form_is_refused(read):
    problem(read.post("/v1/sql", json={"query": "SELECT 1"}, headers={"Accept": "text/csv"}), 406, "not-acceptable")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("FROM range(101)", "more than 100 rows"),
        ("SELECT repeat('x', 2000000)", "more than 1,048,576 bytes"),
        ("SELECT count(*) FROM histry", "Did you mean"),
        ("SELECT ?", "DuckDB cannot answer"),
    ],
)
def test_what_is_too_large_or_wrong_is_refused(small, query, why):
    assert why in problem(small.post("/v1/sql", json={"query": query}), 409, "query-refused")["detail"]


def test_queries_that_take_too_long_are_stopped_and_hold_nothing_up(hasty):
    def ask(query):
        return hasty.post("/v1/sql", json={"query": query})

    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # more than are answered at once
        found = [problem(told, 409, "query-refused")["detail"] for told in pool.map(ask, [ENDLESS] * 6)]

    assert found == ["The answer has taken longer than 0.2 s: ask for less."] * 6
    while (told := ask("SELECT 7")).status_code != 200:  # on a busy machine this may take longer too
        assert "longer than" in problem(told, 409, "query-refused")["detail"]
    assert told.json()["rows"] == [[7]]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "application/json"),
        (f"{ARROW};q=0.5, application/json", "application/json"),
        (f"application/json;q=0.1, {ARROW}", ARROW),
        (f"text/csv, {ARROW}", ARROW),
        (f"application/json;q=0, {ARROW};q=x", ARROW),
    ],
)
def test_the_form_that_is_wanted_most_is_given(read, accept, form):
    told = read.post("/v1/sql", json={"query": "SELECT 1"}, headers={"Accept": accept})

    assert told.headers["content-type"] == form
