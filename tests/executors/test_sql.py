from __future__ import annotations

import sqlite3

import pytest

import orchkit as ok


@pytest.fixture(params=["sqlite", "duckdb"])
def url(request, tmp_path):
    return f"{request.param}:///{tmp_path}/books.db"


def run(url, *queries, variables=None):
    tasks = [
        ok.task(f"q{number}", executor="sql", settings={"url": "${secrets.books}", "query": query, **more})
        for number, (query, more) in enumerate(queries)
    ]
    retry = ok.Retry(max_attempts=2, initial_delay="0s", multiplier=1)
    with ok.Engine(secrets={"books": url}) as engine:
        run = engine.run(ok.workflow("w", tasks, retry=retry), variables or {}, case_id="A")
        return run.status.value, run.variables, run.error, run.steps()


TABLE = ("create table orders (id integer, name text)", {})


def test_values_are_bound_and_rows_come_back(url):
    name = "Robert'); drop table orders;--"
    insert = ("insert into orders values (:id, :name)", {"parameters": {"id": "${id}", "name": "${name}"}})

    status, variables, _, _ = run(url, TABLE, insert, ("select * from orders", {}), variables={"id": 7, "name": name})

    assert status == "COMPLETED"
    assert variables["q2"] == [{"id": 7, "name": name}]


def test_many_rows_are_one_transaction(url):
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    insert = ("insert into orders values (:id, :name)", {"parameters": rows})

    _, variables, _, _ = run(url, TABLE, insert, ("select count(*) as n from orders", {}))

    assert variables["q2"] == [{"n": 2}]


def test_a_statement_that_is_wrong_is_permanent(url):
    _, _, error, steps = run(url, ("select * from nowhere", {}))

    assert (error.error_class.value, len(steps)) == ("permanent", 1)
    assert "nowhere" in error.message


def test_a_query_with_pasted_values_is_refused(url):
    with pytest.raises(ok.WorkflowError, match=r"values go into parameters, as :name"):
        run(url, ("select * from orders where name = '${name}'", {}))


def test_too_many_rows_are_refused(url):
    _, _, error, _ = run(url, ("select * from (values (1), (2), (3)) t", {"max_rows": 2}))

    assert error.message == "The query gives more than 2 rows: let it count or limit, or set max_rows."


def test_a_locked_database_is_transient(tmp_path):
    path = tmp_path / "books.db"
    with sqlite3.connect(path) as holder:
        holder.execute("create table t (n)")
        holder.commit()
        holder.execute("begin exclusive")
        _, _, error, steps = run(f"sqlite:///{path}?timeout=0", ("insert into t values (1)", {}))
        holder.rollback()
    holder.close()

    assert (error.error_class.value, len(steps)) == ("transient", 2)
