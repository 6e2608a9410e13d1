"""The store: rows in, rows out, in order; one commit for all who wait; secrets nowhere; one owner."""

from __future__ import annotations

import subprocess
import sys
import threading

import duckdb
import pytest

from orchkit.errors import QueryError, StoreCorrupt, StoreError, StoreLocked, StoreTooNew
from orchkit.store import Batch, DefinitionRow, GroupWriter, HistoryRow, RunRow, Store
from orchkit.store.schema import MIGRATIONS, SCHEMA_VERSION, migrate

AT = 1_700_000_000_000_000


def row(node: str | None, status: str, run_id: str = "r1", **more: object) -> HistoryRow:
    kind = "run" if node is None else "task"
    step_id = None if node is None else f"{node}#1"
    return HistoryRow(run_id, "A-1", "order", "d1", step_id, node, kind, status, 1, AT, **more)


def run(run_id: str = "r1") -> RunRow:
    return RunRow(run_id, "A-1", "order", "d1", "1", None, AT)


# Rows --------------------------------------------------------------------------


def test_rows_are_read_back_as_they_were_written_in_order():
    payload = '{"result":{"id":7,"name":"Größe 😀"}}'
    with Store() as store:
        store.append(Batch(rows=[row(None, "RUNNING"), row("ship", "RUNNING")], runs=[run()]))
        store.append(Batch(rows=[row("ship", "COMPLETED", duration_s=1.5, resource="ann", payload=payload)]))

        history = store.history("r1")

    assert history["seq"].tolist() == [1, 2, 3]
    assert history["status"].tolist() == ["RUNNING", "RUNNING", "COMPLETED"]
    last = history.iloc[-1]
    assert (last["duration_s"], last["resource"], last["payload"]) == (1.5, "ann", payload)
    assert str(last["occurred_at"]) == "2023-11-14 22:13:20+00:00"


@pytest.mark.parametrize("count", [1, 99, 100, 2_001, 5_000])
def test_many_rows_keep_their_order_whatever_way_they_take(count):
    with Store() as store:
        store.append(Batch(rows=[row(f"n{number}", "RUNNING") for number in range(count)], runs=[run()]))
        store.append(Batch(rows=[row("last", "RUNNING")]))

        history = store.history("r1")

    assert history["seq"].tolist() == list(range(1, count + 2))
    assert history["node"].tolist() == [*(f"n{number}" for number in range(count)), "last"]


def test_a_file_keeps_what_was_appended_and_goes_on_counting(tmp_path):
    path = tmp_path / "a.duckdb"
    with Store(path) as store:
        store.append(Batch(rows=[row(None, "RUNNING")], runs=[run()]))
    with Store(path) as store:
        store.append(Batch(rows=[row("ship", "RUNNING")]))

        assert store.history("r1")["seq"].tolist() == [1, 2]
        assert list(store.known_runs(["r1", "r2"])) == ["r1"]


def test_a_definition_is_stored_once():
    definition = DefinitionRow("d1", "order", "1", '{"workflow":"order"}', AT)
    with Store() as store:
        store.append(Batch(definitions=[definition]))
        store.append(Batch(definitions=[definition, definition._replace(digest="d2")]))

        assert store.definition("d1") == '{"workflow":"order"}'
        assert store.sql("SELECT digest FROM definitions ORDER BY digest")["digest"].tolist() == ["d1", "d2"]
        with pytest.raises(StoreError, match="The store has no definition of the digest 'd9'"):
            store.definition("d9")


def test_a_batch_is_stored_as_a_whole_or_not_at_all():
    with Store() as store:
        with pytest.raises(StoreError):
            store.append(Batch(rows=[row("a", "RUNNING"), row("b", "RUNNING")._replace(run_id=None)], runs=[run()]))

        assert store.sql("SELECT count(*) AS n FROM history")["n"].tolist() == [0]
        assert store.sql("SELECT count(*) AS n FROM runs")["n"].tolist() == [0]


def test_half_of_a_surrogate_pair_does_not_lose_the_batch():
    with Store() as store:
        rows = [row("a", "FAILED", error_message="bad \ud800 text"), row("b", "RUNNING")]
        store.append(Batch(rows=rows, runs=[run()]))

        assert store.history("r1")["node"].tolist() == ["a", "b"]


def test_a_closed_store_takes_nothing():
    store = Store()
    store.close()
    store.close()

    with pytest.raises(StoreError, match="has been closed; nothing was written"):
        store.append(Batch(rows=[row("a", "RUNNING")]))


# History is the truth ------------------------------------------------------------


def test_only_runs_that_have_not_ended_are_open():
    with Store() as store:
        store.append(Batch(rows=[row(None, "RUNNING"), row(None, "RUNNING", "r2")], runs=[run(), run("r2")]))
        store.append(Batch(rows=[row(None, "COMPLETED")]))

        assert [(each.run_id, [one.seq for one in rows]) for each, rows in store.open_runs()] == [("r2", [2])]
        assert store.runs().set_index("run_id")["status"].to_dict() == {"r1": "COMPLETED", "r2": "RUNNING"}


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM history",
        "UPDATE history SET status = 'COMPLETED'",
        "INSERT INTO meta VALUES ('a', 'b')",
        "DROP TABLE history",
        "CREATE TABLE other (a INTEGER)",
        "ATTACH ':memory:' AS other",
        "SET threads = 4",
        "COPY history TO 'stolen.csv'",
        "SELECT 1; DELETE FROM history",
        "SELECT * FROM read_csv('/etc/passwd')",
        "PRAGMA threads = 4",
        "CHECKPOINT",
    ],
)
def test_nothing_that_is_asked_changes_or_leaves_the_store(tmp_path, query):
    with Store(tmp_path / "a.duckdb") as store:
        store.append(Batch(rows=[row(None, "RUNNING")], runs=[run()]))

        with pytest.raises(QueryError):
            store.sql(query)

        assert store.sql("SELECT status FROM history")["status"].tolist() == ["RUNNING"]


# Group commit --------------------------------------------------------------------


class SlowStore:
    """A store whose commits wait until the test lets them go."""

    def __init__(self) -> None:
        self.batches: list[list[str | None]] = []
        self.arrived = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def append(self, batch: Batch) -> None:
        self.batches.append([each.node for each in batch.rows])
        self.arrived.release()
        assert self.go.acquire(timeout=30)


def test_what_arrives_while_a_commit_runs_is_one_commit_and_nobody_is_told_before():
    store, told = SlowStore(), []
    with GroupWriter(store) as writer:
        writer.submit(Batch(rows=[row("a", "RUNNING")]), lambda error: told.append(("a", error)))
        assert store.arrived.acquire(timeout=30)
        for node in "bcd":
            writer.submit(Batch(rows=[row(node, "RUNNING")]), lambda error, node=node: told.append((node, error)))
        assert told == []
        store.go.release()
        assert store.arrived.acquire(timeout=30)
        assert told == [("a", None)]
        store.go.release()
        writer.flush()

    assert store.batches == [["a"], ["b", "c", "d"]]
    assert told == [("a", None), ("b", None), ("c", None), ("d", None)]


def test_who_is_told_finds_the_rows():
    found: list[int] = []
    with Store() as store, GroupWriter(store) as writer:
        writer.submit(Batch(runs=[run()]), lambda _error: None)
        for number in range(20):
            writer.submit(
                Batch(rows=[row(f"n{number}", "RUNNING")]),
                lambda _error: found.append(len(store.history("r1"))),
            )
        writer.flush()

    assert len(found) == 20
    assert all(rows > number for number, rows in enumerate(found))


def test_after_a_failure_nothing_more_is_acknowledged():
    told: list[object] = []
    with Store() as store:
        with GroupWriter(store) as writer:
            writer.submit(Batch(rows=[row("a", "RUNNING")._replace(run_id=None)]), told.append)
            writer.submit(Batch(rows=[row("b", "RUNNING")]), told.append)

        assert store.sql("SELECT count(*) AS n FROM history")["n"].tolist() == [0]
    assert all(isinstance(error, StoreError) for error in told)
    assert len(told) == 2


def test_a_reader_in_the_middle_of_an_answer_does_not_hold_up_the_writer():
    with Store() as store:
        store.append(
            Batch(rows=[row(None, "RUNNING", f"r{n}") for n in range(50)], runs=[run(f"r{n}") for n in range(50)])
        )
        reading = store.open_runs()
        first, _ = next(reading)

        store.append(Batch(rows=[row("late", "RUNNING", "r49")]))

        rest = list(reading)
        assert first.run_id == "r0"
        assert len(rest) == 49
        assert len(store.history("r49")) == 2


def test_what_duckdb_caches_of_the_file_is_dropped_unless_somebody_reads(tmp_path):
    def cached(store):
        found = store.sql("SELECT memory_usage_bytes AS size FROM duckdb_memory() WHERE tag = 'BASE_TABLE'")
        return int(found["size"][0])

    payloads = [f'{{"n":{number * 2654435761 % 2**32}}}' for number in range(20_000)]
    with Store(tmp_path / "state.duckdb") as store:
        store.append(Batch(rows=[row("a", "RUNNING", f"r{n}", payload=text) for n, text in enumerate(payloads)]))
        store._writer.execute("CHECKPOINT")
        store.sql("SELECT max(payload), max(run_id) FROM history")
        before = cached(store)
        with store._database.reading():
            store._database.trim(keep=0)
            held = cached(store)

        store._database.trim(keep=0)

        assert held >= before > cached(store)
        assert store.sql("SELECT count(DISTINCT payload) AS n FROM history")["n"].tolist() == [20_000]
        with pytest.raises(QueryError):
            store.sql("SET memory_limit = '1GB'")


def test_blocks_that_a_checkpoint_has_replaced_are_used_again(tmp_path):
    # An answer that is half read would keep its transaction open, and that every block since.
    path = tmp_path / "state.duckdb"
    with Store(path) as store:
        sizes = []
        for number in range(12):
            store.append(Batch(rows=[row("a", "RUNNING", f"r{number}-{n}") for n in range(500)]))
            store._writer.execute("CHECKPOINT")
            sizes.append(path.stat().st_size)

    assert max(sizes) < 2 * sizes[0]


# Versions ------------------------------------------------------------------------


def test_an_older_file_becomes_one_of_this_version_and_keeps_its_rows():
    connection = duckdb.connect()
    migrate(connection)
    connection.execute("INSERT INTO meta VALUES ('made_by', 'an older orchkit')")
    later = (*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN owner VARCHAR DEFAULT 'nobody'",))

    migrate(connection, migrations=later)
    migrate(connection, migrations=later)

    assert connection.execute("SELECT * FROM meta ORDER BY key").fetchall() == [
        ("made_by", "an older orchkit"),
        ("schema_version", str(SCHEMA_VERSION + 1)),
    ]
    assert "owner" in [name for name, *_ in connection.execute("DESCRIBE runs").fetchall()]


def test_a_migration_that_fails_leaves_the_version_before():
    connection = duckdb.connect()
    migrate(connection)
    later = (*MIGRATIONS, ("CREATE TABLE half (a INTEGER)", "ALTER TABLE nowhere ADD COLUMN b INTEGER"))

    with pytest.raises(duckdb.Error):
        migrate(connection, migrations=later)

    query = "SELECT value FROM meta WHERE key = 'schema_version'"
    assert connection.execute(query).fetchone() == (str(SCHEMA_VERSION),)
    assert not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'half'").fetchall()


def test_a_newer_file_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "a.duckdb"
    Store(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    before = path.read_bytes()

    with pytest.raises(StoreTooNew, match="its schema is version 99.*pip install --upgrade"):
        Store(path)

    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")

    with pytest.raises(StoreCorrupt, match="is a DuckDB database, but not a store of orchkit"):
        Store(path)


# One owner -----------------------------------------------------------------------


def test_another_process_is_told_who_owns_the_file_until_it_ends(tmp_path):
    path = tmp_path / "a.duckdb"
    code = f"from orchkit.store import Store; store = Store({str(path)!r}); print('open', flush=True); input()"
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        with pytest.raises(StoreLocked, match=rf"is in use by process {owner.pid} \(.*python") as caught:
            Store(path)
        owner.kill()
        owner.wait(timeout=30)

    assert caught.value.path == str(path)
    Store(path).close()


def test_another_engine_of_this_process_is_told_so(tmp_path):
    path = tmp_path / "a.duckdb"
    with Store(path), pytest.raises(StoreLocked, match="is already open in this process"):
        Store(path)
    Store(path).close()


def test_another_way_of_writing_the_path_is_the_same_file(tmp_path):
    link = tmp_path / "link.duckdb"
    with Store(tmp_path / "a.duckdb"):
        link.symlink_to(tmp_path / "a.duckdb")
        with pytest.raises(StoreLocked):
            Store(link)


@pytest.mark.parametrize("rows", [3_000, 300_000_000])  # between two readings, and in the middle of one
def test_closing_interrupts_those_who_read_in_other_threads(rows):
    store = Store()
    started, told = threading.Event(), []

    def read():
        started.set()
        try:
            while True:
                store.sql(f"SELECT count(*) FROM range({rows})")
        except StoreError as error:
            told.append(str(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    started.wait()

    store.close()

    for reader in readers:
        reader.join(timeout=30)
    assert not any(reader.is_alive() for reader in readers)
    assert len(told) == 3
    store.close()
