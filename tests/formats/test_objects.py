"""OCEL 2.0: what a file holds comes back, and one type of objects sees a flat log."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import orchkit as ok

ORDERS = {
    "objectTypes": [
        {"name": "order", "attributes": [{"name": "price", "type": "float"}]},
        {"name": "item", "attributes": [{"name": "price", "type": "string"}, {"name": "boxed", "type": "boolean"}]},
        {"name": "crate", "attributes": []},
    ],
    "eventTypes": [
        {"name": "place order", "attributes": [{"name": "status", "type": "string"}, {"name": "n", "type": "integer"}]},
        {"name": "pack", "attributes": [{"name": "resource", "type": "string"}, {"name": "due", "type": "time"}]},
    ],
    "objects": [
        {
            "id": "o1",
            "type": "order",
            "attributes": [
                {"name": "price", "time": "2024-05-06T08:00:00Z", "value": 9.5},
                {"name": "price", "time": "2024-05-06T12:00:00Z", "value": 7},
            ],
            "relationships": [{"objectId": "i1", "qualifier": "has"}, {"objectId": "i2", "qualifier": "has"}],
        },
        {"id": "i1", "type": "item", "attributes": [{"name": "boxed", "time": "1970-01-01T00:00:00Z", "value": True}]},
        {"id": "i2", "type": "item"},
        {"id": "o2", "type": "order", "attributes": [{"name": "price", "time": "1970-01-01T00:00:00Z", "value": 1.0}]},
    ],
    "events": [
        {
            "id": "e1",
            "type": "place order",
            "time": "2024-05-06T09:00:00Z",
            "attributes": [{"name": "status", "value": 'fine \u00fc "q"\n'}, {"name": "n", "value": 2}],
            "relationships": [{"objectId": o, "qualifier": q} for o, q in (("o1", ""), ("i1", "item"), ("i2", "item"))],
        },
        {
            "id": "e2",
            "type": "pack",
            "time": "2024-05-06T12:00:00.5+02:00",
            "attributes": [{"name": "resource", "value": "Ann"}, {"name": "due", "value": "2024-05-07T00:00:00Z"}],
            "relationships": [{"objectId": "i1", "qualifier": "item"}],
        },
        {"id": "e3", "type": "pack", "time": "2024-05-06T13:00:00Z", "attributes": [], "relationships": []},
    ],
}
FRAMES = ("events", "objects", "relations", "object_relations", "event_values", "object_values")


def stored(path: Path, held: object) -> Path:
    path.write_text(json.dumps(held), encoding="utf-8")
    return path


def same(one: ok.ObjectLog, other: ok.ObjectLog) -> None:
    for name in FRAMES:
        left, right = (getattr(log, name) for log in (one, other))
        keys = [column for column in left if column != "value"]
        assert_frame_equal(
            *(frame.sort_values(keys, kind="stable", ignore_index=True) for frame in (left, right)), check_dtype=False
        )
    assert (one.event_types, one.object_types) == (other.event_types, other.object_types)


@pytest.mark.parametrize("ending", ["json", "jsonocel", "json.gz", "sqlite", "db"])
def test_an_object_centric_log_comes_back_as_it_was(tmp_path, ending) -> None:
    log = ok.read_objects(stored(tmp_path / "a.json", ORDERS))
    assert repr(log) == "ObjectLog: 3 events of 4 objects (2 order, 2 item)"
    ok.write_objects(log, tmp_path / f"b.{ending}")
    back = ok.read_objects(tmp_path / f"b.{ending}")
    same(back, log)
    assert back.notes == ()


def test_one_type_of_objects_sees_a_flat_log(tmp_path) -> None:
    path = stored(tmp_path / "a.jsonocel", ORDERS)
    items = ok.read_log(path, object_type="item")
    assert items.cases["case_id"].tolist() == ["i1", "i2"]
    assert items.cases["boxed"].isna().tolist() == [False, True]
    assert items.steps["activity"].tolist() == ["place order", "pack", "place order"]
    assert items.steps["completed"][1] == pd.Timestamp("2024-05-06T10:00:00.5Z")
    assert items.steps["event:status"][0] == 'fine ü "q"\n'
    assert items.steps["resource"].tolist()[1] == "Ann"
    assert items.notes == (
        "flattened by 'item', 2 objects",
        "1 steps are events that belong to several objects of the type, once for each",
        "1 events have no object of the type and were left out",
        "attributes of events were renamed: status to event:status",
    )
    orders = ok.flatten(ok.read_objects(path), "order")
    assert orders.cases["price"].tolist() == [7.0, 1.0]
    assert "1 earlier values of attributes of objects were left out" in orders.notes


def test_what_cannot_be_read_is_said(tmp_path) -> None:
    path = stored(tmp_path / "a.json", ORDERS)
    for asked, said in (
        ({}, r"object_type=…; events have 'item' \(3 relations\), 'order' \(1 relations\)"),
        ({"object_type": "ordr"}, "Did you mean 'order'"),
        ({"object_type": "crate"}, "No event has an object of type 'crate'"),
    ):
        with pytest.raises(ok.LogError, match=said):
            ok.read_log(path, **asked)
    first = ORDERS["events"][0]
    for held, said in (
        ({**ORDERS, "events": [{**first, "id": None}]}, "one of 'events' has no 'id'"),
        ({**ORDERS, "events": [first, first]}, "two events with the id 'e1'"),
        ({**ORDERS, "events": "none"}, "no list 'events'"),
        ({"ocel:events": {}}, "OCEL 1.0"),
        ([], "no list 'events'"),
        ({**ORDERS, "events": [{**first, "attributes": [{"name": "n", "value": "two"}]}]}, "declared integer"),
    ):
        with pytest.raises(ok.LogError, match=said):
            ok.read_objects(stored(tmp_path / "b.json", held))
    (tmp_path / "c.json").write_text("[" * 100_000)
    (tmp_path / "c.sqlite").write_text("no database, but long enough to have been one")
    sqlite3.connect(tmp_path / "d.sqlite").close()
    for name, said in (("c.json", "is not JSON"), ("c.sqlite", "as SQLite"), ("d.sqlite", "no table 'event'")):
        with pytest.raises(ok.LogError, match=said):
            ok.read_objects(tmp_path / name)


def test_what_was_dropped_is_said(tmp_path) -> None:
    odd = {
        **ORDERS,
        "events": [
            {**ORDERS["events"][0], "relationships": [{"objectId": "nobody"}, {"objectId": "o1"}]},
            {**ORDERS["events"][1], "time": "2024-05-06 10:00:00"},
            {**ORDERS["events"][2], "time": "later"},
        ],
    }
    log = ok.read_objects(stored(tmp_path / "a.json", odd))
    assert log.notes == (
        "2 timestamps of events have no time zone and were read as UTC",
        "1 timestamps of events cannot be read, the first 'later'",
        "1 events without a time were dropped",
        "1 relations to what is not in the file were dropped",
    )


@pytest.mark.parametrize("ending", ["jsonocel", "sqlite"])
def test_a_flat_log_comes_back(tmp_path, ending) -> None:
    moments = pd.date_range("2024-05-06T09:00Z", periods=3, freq="h", unit="us")
    steps = pd.DataFrame(
        {
            "case_id": ["o1", "o1", "o2"],
            "activity": ["a", "b", "a"],
            "started": moments - pd.Timedelta("5min"),
            "completed": moments,
            "status": ["COMPLETED", "FAILED", "COMPLETED"],
            "attempt": [1, 2, 1],
            "resource": ["Ann", None, "007"],
            "cost": [1.5, None, 2.0],
            "due": moments,
            "paid": pd.array([True, None, False], dtype="boolean"),
        }
    )
    log = ok.EventLog(steps, pd.DataFrame({"case_id": ["o1", "o2"], "zip": ["01", "1"], "n": [1, 2]}))
    ok.write_log(log, tmp_path / f"a.{ending}")
    back = ok.read_log(tmp_path / f"a.{ending}")
    assert_frame_equal(back.steps.drop(columns="ocel:eid"), log.steps, check_like=True, check_categorical=False)
    assert_frame_equal(back.cases, log.cases, check_dtype=False)


def test_what_is_written_part_by_part_is_whole(tmp_path) -> None:
    moments = pd.Timestamp("2024-05-06T09:00Z").as_unit("us") + pd.to_timedelta(range(20_001), unit="s")
    steps = pd.DataFrame({"case_id": "o1", "activity": "a", "completed": moments, "n": range(20_001)})
    ok.write_log(ok.EventLog(steps), tmp_path / "a.json")
    events = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["events"]
    assert [event["attributes"][-1] for event in events] == [{"name": "n", "value": n} for n in range(20_001)]
    assert events[-1]["time"] == "2024-05-06T14:33:20Z"


def test_a_database_of_another_is_only_read(tmp_path) -> None:
    path = tmp_path / "a.sqlite"
    ok.write_objects(ok.read_objects(stored(tmp_path / "a.json", ORDERS)), path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO event VALUES ('e9', 'pack')")
    before = path.read_bytes()
    assert ok.read_objects(path).notes == ("1 events have no row in the table of their type and were dropped",)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statements",
    [
        [
            "DROP TABLE event",
            """CREATE VIEW event AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
            SELECT n AS ocel_id, 'pack' AS ocel_type FROM r""",
        ],
        ["DROP TABLE event", "CREATE TABLE event (ocel_id TEXT, ocel_type TEXT AS (printf('%.*c', 900000000, 'x')))"],
    ],
)
def test_what_a_database_computes_without_end_is_not_looked_at(tmp_path, statements) -> None:
    path = tmp_path / "a.sqlite"
    ok.write_objects(ok.read_objects(stored(tmp_path / "a.json", ORDERS)), path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    with pytest.raises(ok.LogError, match="no table 'event'"):
        ok.read_log(path)


def test_names_and_numbers_that_a_log_cannot_take_are_told(tmp_path) -> None:
    order = {"id": "o1", "type": "order", "attributes": [{"name": "case_id", "value": "x"}]}
    pay = {"id": "e1", "type": "pay", "time": "2024-05-06T09:00:00Z", "relationships": [{"objectId": "o1"}]}
    log = ok.read_log(stored(tmp_path / "a.json", {"objects": [order], "events": [pay]}))
    assert log.cases["object:case_id"].tolist() == ["x"]
    untimed = stored(tmp_path / "a.json", {"objects": [order], "events": [{**pay, "time": 5}]})
    with pytest.raises(ok.LogError, match="no case.*1 timestamps of events cannot be read, the first '5'"):
        ok.read_log(untimed)
    large = {**pay, "attributes": [{"name": "n", "value": 1 << 70}]}
    with pytest.raises(ok.LogError, match="'n' is declared integer, and has the value 1180591620717411303424"):
        ok.read_log(stored(tmp_path / "a.json", {"objects": [order], "events": [large]}))
    with pytest.raises(ok.LogError, match="flatten takes an object-centric log, not NoneType"):
        ok.flatten(None)  # type: ignore[arg-type]
