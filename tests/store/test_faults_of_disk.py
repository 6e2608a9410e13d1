"""What a disk can do to a store: each fault gives an error that says what, where and how to mend, and loses nothing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import orchkit as ok
from orchkit.errors import StoreCorrupt, StoreError, StoreFull, StoreTooNew
from orchkit.store import Batch, HistoryRow, Store

# Appends batches until the disk is full, and prints how many were acknowledged.
FILL = """
import random, resource, signal, sys
from orchkit.errors import StoreError
from orchkit.store import Batch, HistoryRow, Store

path, limit, rows, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
luck = random.Random(7)
acknowledged = 0
with Store(path) as store:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        for number in range(100_000):
            texts = [f'"{luck.randbytes(size).hex()}"' for _ in range(rows)]
            batch = [HistoryRow("r", "A", "w", "d", None, None, "run", "RUNNING", 0, 0, payload=text) for text in texts]
            store.append(Batch(rows=batch))
            acknowledged += 1
    except StoreError as error:
        print(type(error).__name__, error)
    try:
        store.append(Batch(rows=batch[:1]))
        acknowledged += 1 / rows
    except StoreError as error:
        print("again", type(error).__name__)
print("acknowledged", acknowledged)
"""


def fill(path, limit, rows, size, prefix=()):
    command = [*prefix, sys.executable, "-c", FILL, str(path), str(limit), str(rows), str(size)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    *errors, last = told.stdout.splitlines()
    return errors, round(float(last.split()[-1]) * rows)


def rows_in(path):
    with Store(path) as store:
        found = store.sql("SELECT count(*) AS n, max(seq) AS last, count(DISTINCT seq) AS seqs FROM history").iloc[0]
    assert found["last"] == found["seqs"] == found["n"]
    return int(found["n"])


needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the size of a file so")


@needs_limits
@pytest.mark.parametrize(
    ("limit", "rows", "size"),
    [
        pytest.param(300_000, 1, 2_000, id="in the log, row by row"),
        pytest.param(2_000_000, 200, 500, id="in the log, in the middle of many rows"),
        pytest.param(20_000_000, 500, 2_000, id="in the file, while the log is taken into it"),
    ],
)
def test_a_full_disk_says_so_and_loses_nothing_that_was_acknowledged(tmp_path, limit, rows, size):
    path = tmp_path / "state.duckdb"

    errors, acknowledged = fill(path, limit, rows, size)

    assert errors[0].startswith("StoreFull There is no space left for")
    assert str(path) in errors[0]
    assert "make room" in errors[0]
    assert acknowledged >= 2 * rows
    # The batch that failed with its commit may be there, whole, or not.
    assert rows_in(path) - acknowledged in (0, 1, rows, rows + 1)


@needs_limits
def test_a_full_file_system_says_so_and_goes_on_when_there_is_room(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = ["unshare", *user, "--mount", "sh", "-c"]
    make = f"mount -t tmpfs -o size=3m none {small}"
    inside = f'{make} && "$@"; cp {small}/* {tmp_path}'
    if subprocess.run([*mount, make], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")

    errors, acknowledged = fill(small / "state.duckdb", 0, 10, 1_000, [*mount, inside, "sh"])

    assert errors[0].startswith("StoreFull")
    assert acknowledged >= 100
    assert rows_in(tmp_path / "state.duckdb") - acknowledged in (0, 1, 10, 11)


@needs_limits
def test_an_engine_on_a_full_disk_tells_who_waits_and_its_runs_go_on_later(tmp_path):
    path = tmp_path / "state.duckdb"
    program = """
import resource, signal, sys
import orchkit as ok
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
workflow = ok.workflow("w", [ok.task("a"), ok.task("b")])
engine = ok.Engine(sys.argv[1], handlers={"a": lambda: "x" * 20_000, "b": lambda: None})
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
ended = 0
try:
    while True:
        engine.run(workflow, case_id=str(ended))
        ended += 1
except ok.StoreFull as error:
    print(error)
try:
    engine.start(workflow, case_id="later")
except ok.StoreFull:
    print("refused")
engine.close()
print(ended)
"""
    told = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    why, refused, ended = told.stdout.splitlines()

    assert "make room" in why
    assert refused == "refused"
    assert int(ended) >= 3
    with ok.Engine(path, handlers={"a": lambda: 1, "b": lambda: 2}) as engine:
        for run_id in engine.runs()["run_id"]:
            engine.wait(run_id, "30 s")
        runs = engine.runs()
        assert set(runs["status"]) == {"COMPLETED"}
        assert {str(number) for number in range(int(ended))} <= set(runs["case_id"])


# Damage ----------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """A store of 500 rows that was closed."""
    path = tmp_path / "state.duckdb"
    with Store(path) as store:
        for first in range(0, 500, 100):
            store.append(Batch(rows=[row(number) for number in range(first, first + 100)]))
    return path


def row(number):
    return HistoryRow(f"r{number}", "A", "w", "d", None, None, "run", "RUNNING", 0, number, payload=f'"{number:0200}"')


def crash_copy(tmp_path, folder):
    """Return a store as a crash leaves it: the file, and a log that holds all of its rows."""
    path = tmp_path / "live.duckdb"
    copy = tmp_path / folder / "state.duckdb"
    copy.parent.mkdir()
    with Store(path) as store:
        for number in range(20):
            store.append(Batch(rows=[row(number)]))
        shutil.copy(path, copy)
        shutil.copy(f"{path}.wal", f"{copy}.wal")
    return copy


def test_a_crash_is_no_damage(tmp_path):
    assert rows_in(crash_copy(tmp_path, "copy")) == 20


@pytest.mark.parametrize("left", [100, 5_000, 13_000, 200_000])
def test_a_file_that_has_lost_its_end_is_corrupt_and_is_left_as_it_is(stored, left):
    content = stored.read_bytes()[:left]
    stored.write_bytes(content)

    with pytest.raises(StoreCorrupt, match=r"state\.duckdb") as told:
        Store(stored)

    assert "ut back a copy" in str(told.value)
    assert stored.read_bytes() == content


def test_a_file_whose_end_was_free_and_is_cut_off_is_whole(stored):
    with duckdb.connect(stored) as connection:
        connection.execute("CREATE TABLE large AS SELECT random() AS x FROM range(300_000)")
    size = stored.stat().st_size
    with duckdb.connect(stored) as connection:
        connection.execute("DROP TABLE large")
    assert stored.stat().st_size < size

    assert rows_in(stored) > 0


@pytest.mark.parametrize("offset", [0, 8, 4_100, 8_200])
def test_a_file_with_an_overwritten_head_is_corrupt(stored, offset):
    overwrite(stored, offset)

    with pytest.raises(StoreCorrupt, match=r"state\.duckdb .* copy"):
        Store(stored)


def overwrite(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(range(100, 200)))


@pytest.mark.parametrize("name", ["orders.csv", "orders.json", "orders.parquet", "orders.txt", "orders", "orders.db"])
def test_another_kind_of_file_is_refused_and_left_as_it_is(tmp_path, name):
    path = tmp_path / name
    path.write_text("id,country\n1,US\n" * 2_000)

    with pytest.raises(StoreCorrupt, match="another kind of file"):
        Store(path)

    assert path.read_text() == "id,country\n1,US\n" * 2_000


@pytest.mark.parametrize("name", ["state.csv", "state.json", "state.parquet", "state.CSV.gz"])
def test_a_new_store_under_the_name_of_a_data_file_is_refused(tmp_path, name):
    with pytest.raises(StoreError, match=r"another one, such as state.*\.duckdb"):
        Store(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["state", "state.db", "state.v1.orchkit", "orders of May.duckdb"])
def test_any_other_name_will_do(tmp_path, name):
    with Store(tmp_path / name) as store:
        store.append(Batch(rows=[row(1)]))

    assert rows_in(tmp_path / name) == 1


def test_a_database_of_something_else_is_refused(tmp_path):
    path = tmp_path / "sales.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE sales (amount INTEGER)")

    with pytest.raises(StoreCorrupt, match="not a store of orchkit: choose another path"):
        Store(path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "state.duckdb"
    path.touch()

    with pytest.raises(StoreCorrupt, match="is empty, so it is not a store: delete it"):
        Store(path)


def test_a_log_without_its_file_is_not_overwritten(tmp_path):
    copy = crash_copy(tmp_path, "copy")
    copy.unlink()

    with pytest.raises(StoreCorrupt, match="the two belong together"):
        Store(copy)

    assert Path(f"{copy}.wal").stat().st_size > 1_000


def test_a_log_that_was_cut_keeps_what_is_whole_in_it(tmp_path):
    """A crash of the machine may leave the last entry half written: it was never acknowledged."""
    copy = crash_copy(tmp_path, "copy")
    log = Path(f"{copy}.wal")
    log.write_bytes(log.read_bytes()[:-30])

    assert rows_in(copy) == 19


def test_a_log_with_other_bytes_in_it_is_corrupt_and_both_files_are_left(tmp_path):
    copy = crash_copy(tmp_path, "copy")
    log = Path(f"{copy}.wal")
    content = bytearray(log.read_bytes())
    middle = content.index(b"0" * 100, len(content) // 2)
    content[middle : middle + 40] = b"\xff" * 40
    log.write_bytes(content)

    with pytest.raises(StoreCorrupt, match=r"state\.duckdb"):
        Store(copy)

    assert log.read_bytes() == bytes(content)


def test_a_newer_schema_is_refused_and_left_as_it_is(stored):
    with duckdb.connect(str(stored)) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    before = stored.read_bytes()

    with pytest.raises(StoreTooNew, match=r"its schema is version 99.*pip install --upgrade orchkit-notebooks"):
        Store(stored)

    assert stored.read_bytes() == before


# Places ----------------------------------------------------------------------------


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"is a folder: give the path of a file in it, such as .*orchkit\.duckdb"):
        Store(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"There is no folder .*nowhere for the store state\.duckdb"):
        Store(tmp_path / "nowhere" / "state.duckdb")


@pytest.fixture
def stranger(tmp_path_factory):
    """A folder that belongs to somebody else, with a store in it that may only be read."""
    folder = tmp_path_factory.mktemp("theirs")
    with Store(folder / "state.duckdb"):
        pass
    (folder / "state.duckdb").chmod(0o444)
    folder.chmod(0o555)
    above = [parent for parent in folder.parents if not parent.stat().st_mode & stat.S_IXOTH]
    modes = [parent.stat().st_mode for parent in above]
    root = os.geteuid() == 0
    if root:  # root may write everything
        for parent in above:
            parent.chmod(0o755)
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
        for parent, mode in zip(above, modes, strict=True):
            parent.chmod(mode)
    folder.chmod(0o755)


def test_a_file_that_may_not_be_written_is_named(stranger):
    with pytest.raises(StoreError, match=r"state\.duckdb cannot be opened for writing .*mend its permissions"):
        Store(stranger / "state.duckdb")


def test_a_folder_that_may_not_be_written_is_named(stranger):
    with pytest.raises(StoreError, match=r"new\.duckdb cannot be .*permissions"):
        Store(stranger / "new.duckdb")


def test_a_folder_that_may_not_be_looked_into_is_named(stranger):
    owner = os.geteuid()
    os.seteuid(0) if os.getuid() == 0 else None
    stranger.chmod(0o600)
    os.seteuid(owner)

    with pytest.raises(StoreError, match=r"state\.duckdb cannot be looked at: mend the permissions of its folders"):
        Store(stranger / "state.duckdb")


@needs_limits
def test_where_there_is_no_room_for_a_new_store_it_says_so_and_leaves_nothing(tmp_path):
    program = """
import resource, signal, sys
from orchkit.store import Store
import duckdb
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
try:
    Store(sys.argv[1])
except OSError as error:
    print(type(error).__name__, error)
"""
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "state.duckdb")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert told.stdout.startswith("StoreFull There is no space left")
    assert list(tmp_path.iterdir()) == []


def test_full_is_an_error_of_the_operating_system_for_whoever_catches_those():
    assert issubclass(StoreFull, OSError)
