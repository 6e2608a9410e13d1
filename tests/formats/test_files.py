"""Files of event logs: what is read, what is said to be dropped, and what comes back."""

import contextlib
import functools
import gzip
import os
import random
import re
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import orchkit as ok
from orchkit.formats import xes
from orchkit.formats.segments import scan

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<log xes.version="1.0">'
BPIC = Path(os.environ.get("ORCHKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "bpic2012.xes.gz"


def event(name: str, time: str, transition: str = "complete") -> str:
    return (
        f'<event><string key="concept:name" value="{name}"/><date key="time:timestamp" value="{time}"/>'
        f'<string key="lifecycle:transition" value="{transition}"/></event>'
    )


def trace(name: str, *events: str) -> str:
    return f'<trace><string key="concept:name" value="{name}"/>{"".join(events)}</trace>'


def written(path: Path, *traces: str) -> Path:
    path.write_text(f"{HEAD}{''.join(traces)}</log>", encoding="utf-8")
    return path


FAST, STREAMING = functools.partial(scan, least=0), lambda _: None


@pytest.fixture(params=["fast", "streaming"])
def either(request, monkeypatch):
    """Both readers: by segments, and the streaming one."""
    monkeypatch.setattr(xes, "scan", FAST if request.param == "fast" else STREAMING)


@pytest.mark.usefixtures("either")
def test_start_and_complete_become_one_step(tmp_path) -> None:
    path = written(
        tmp_path / "a.xes",
        trace(
            "o1",
            event("check", "2024-05-06T08:00:00Z", "schedule"),
            event("check", "2024-05-06T09:00:00Z", "start"),
            event("check", "2024-05-06T10:00:00+00:00", "complete"),
            event("ship", "2024-05-06T13:00:00+02:00", "complete"),
        ),
    )
    log = ok.read_log(path)
    assert log.steps["activity"].tolist() == ["check", "ship"]
    assert log.steps["enabled"].dt.hour.tolist()[0] == 8
    assert log.steps["started"].dt.hour.tolist()[0] == 9
    assert log.steps["completed"].dt.hour.tolist() == [10, 11]
    assert log.notes == ("4 events were folded into 2 steps; 1 of them have no start",)
    assert len(ok.read_log(path, lifecycle="keep").steps) == 4


def test_a_start_that_stands_beside_the_end_stays() -> None:
    times = [pd.Timestamp(f"2024-05-06T{hour:02}:00Z") for hour in (8, 9, 10, 11)]
    frame = pd.DataFrame(
        {
            "case:concept:name": "o1",
            "concept:name": ["check", "ship", "ship"],
            "start_timestamp": [times[0], pd.NaT, times[1]],
            "time:timestamp": [times[1], times[2], times[3]],
            "lifecycle:transition": ["complete", "start", "complete"],
        }
    )
    log = ok.read_log(frame)
    assert log.steps["started"].tolist() == [times[0], times[2]]
    assert log.notes == ("3 events were folded into 2 steps; 0 of them have no start",)


def test_the_oldest_start_is_closed_first_and_what_never_ends_stays_open(tmp_path) -> None:
    times = [f"2024-05-06T{hour:02}:00:00Z" for hour in range(8, 13)]
    kinds = ["complete", "start", "start", "complete", "suspend"]
    path = written(tmp_path / "a.xes", trace("o1", *(event("a", *pair) for pair in zip(times, kinds, strict=True))))
    log = ok.read_log(path)
    hours = [(s.hour, c.hour) for s, c in zip(log.steps["started"], log.steps["completed"], strict=True)]
    assert hours[1] == (9, 11)
    assert log.steps["status"].tolist() == ["COMPLETED", "COMPLETED", "RUNNING"]
    assert log.notes == (
        "1 events were dropped: no start or end of a step (suspend)",
        "5 events were folded into 3 steps; 1 of them have no start",
        "1 steps never end in the log and stay open",
    )


@pytest.mark.usefixtures("either")
def test_who_is_assigned_what_is_scheduled_begins_no_step_of_his_own(tmp_path) -> None:
    kinds = ["schedule", "assign", "reassign", "start", "complete", "assign", "withdraw"]
    times = [f"2024-05-06T{hour:02}:00:00Z" for hour in range(8, 15)]
    path = written(tmp_path / "a.xes", trace("o1", *(event("a", *pair) for pair in zip(times, kinds, strict=True))))
    log = ok.read_log(path)
    assert log.steps["status"].tolist() == ["COMPLETED", "CANCELLED"]
    assert log.steps["enabled"].dt.hour.tolist() == [8, 13]
    assert log.notes[0] == "2 events were dropped: no start or end of a step (assign, reassign)"


def test_what_only_the_start_says_is_kept_and_what_it_says_otherwise_is_told() -> None:
    frame = pd.DataFrame(
        {
            "case:concept:name": "o1",
            "concept:name": "check",
            "time:timestamp": [f"2024-05-06T{hour:02}:00Z" for hour in (8, 9, 10)],
            "lifecycle:transition": ["schedule", "start", "complete"],
            "org:resource": ["desk", "Ann", None],
            "amount": pd.array([1, None, 2], dtype="Int64"),
            "tags": [["a"], ["b"], ["a"]],
        }
    )
    log = ok.read_log(frame)
    assert log.steps[["resource", "amount"]].to_numpy().tolist() == [["Ann", 2]]
    assert log.notes[0] == (
        "values that differ from those of the step's end were dropped (org:resource 1, amount 1, tags 1)"
    )


@pytest.mark.usefixtures("either")
def test_what_a_file_says_of_the_log_itself_is_said_to_be_dropped(tmp_path) -> None:
    of_the_log = (
        '<!-- <global scope="none"/> --><?note key="z"?><![CDATA[<!-- key="z" <global>]]>'
        '<extension name="Concept" prefix="concept" uri="c.xesext"/>'
        '<global scope="event"><string key="concept:name" value="x"/></global>'
        '<classifier name="Activity" keys="concept:name"/>'
        '<string key="source" value="ERP"><int key="year" value="2024"/></string>'
    )
    log = ok.read_log(written(tmp_path / "a.xes", of_the_log, trace("o1", event("a", "2024-05-06T09:00:00Z"))))
    assert log.notes[0] == "what the file says of the log itself was dropped: 2 attributes, 1 global, 1 classifier"


def test_a_second_value_of_a_case_is_said_to_be_dropped(tmp_path) -> None:
    first, second = (
        trace("o1", f'<int key="amount" value="{amount}"/>', event("a", "2024-05-06T09:00:00Z")) for amount in (5, 7)
    )
    log = ok.read_log(written(tmp_path / "a.xes", first, second))
    assert (log.cases["amount"].tolist(), log.notes[1]) == (
        [5],
        "values of cases that have another before were dropped (amount 1)",
    )
    frame = pd.DataFrame({"case": "o1", "activity": "a", "time": "2024-05-06T09:00Z", "case:amount": [5, 7, None]})
    assert ok.read_log(frame).notes[-1] == "values of cases that have another before were dropped (amount 1)"


@pytest.mark.usefixtures("either")
def test_a_time_that_is_text_is_read_and_a_transition_that_is_empty_is_none(tmp_path) -> None:
    text = event("a", "2024-05-06T09:00:00+02:00", "").replace("<date", "<string")
    log = ok.read_log(written(tmp_path / "a.xes", trace("o1", text)))
    assert log.steps["completed"].tolist() == [pd.Timestamp("2024-05-06T07:00Z")]
    assert log.notes[0] == "time:timestamp is no date in the file, and was read as one"


def test_a_written_log_names_the_extensions_that_its_attributes_are_of(tmp_path) -> None:
    frame = pd.DataFrame({"case_id": "o1", "activity": "a", "completed": ["2024-05-06T09:00Z"], "x:y": "z"})
    ok.write_log(ok.EventLog(frame), tmp_path / "a.xes")
    prefixes = re.findall(r'prefix="(\w+)"', (tmp_path / "a.xes").read_text(encoding="utf-8"))
    assert prefixes == ["concept", "time", "lifecycle", "org"]


@pytest.mark.parametrize(
    "names",
    [
        ("_CASE_KEY", "ACTIVITY_EN", "EVENTTIME", "USER_NAME"),
        ("CaseId", "ActivityName", "EndTimestamp", "Resource"),
        ("Case_ID", "Activity", "Event_end", "User"),
        ("Fall-ID", "Aktivität", "Zeitstempel", "Bearbeiter"),
        ("Identifiant du cas", "Activité", "Date de fin", "Utilisateur"),
        ("Caso", "Actividad", "Fecha", "Recurso"),
    ],
)
def test_columns_are_known_by_the_names_of_other_tools_and_tongues(names) -> None:
    log = ok.read_log(pd.DataFrame([("o1", "check", "2024-05-06T09:00Z", "Ann")], columns=names))
    assert log.steps[["case_id", "activity", "resource"]].to_numpy().tolist() == [["o1", "check", "Ann"]]
    assert log.notes == tuple(
        f"column {label!r} was taken for {name}"
        for label, name in zip(names, ("case_id", "activity", "completed", "resource"), strict=True)
    )


def test_a_column_of_transitions_is_known_by_what_is_in_it() -> None:
    times = ["2024-05-06T09:00Z", "2024-05-06T10:00Z"]
    frame = pd.DataFrame({"case": "o1", "activity": "a", "time": times, "lifecycle": ["start", "complete"]})
    assert len(ok.read_log(frame).steps) == 1
    assert len(ok.read_log(frame.assign(lifecycle=["new", "old"])).steps) == 2


@pytest.mark.parametrize(
    ("texts", "expected", "how"),
    [
        (["06.05.2024 08:00", "06.05.2024 09:30"], "05-06 09:30", "%d.%m.%Y %H:%M"),
        (["06/05/2024 08:00:00", "13/05/2024 09:30:00"], "05-13 09:30", "%d/%m/%Y %H:%M:%S"),
        (["05/06/2024 08:00 AM", "05/13/2024 09:30 PM"], "05-13 21:30", "%m/%d/%Y %I:%M %p"),
        (["06-MAY-24 08:00:00", "07-MAY-24 09:30:00"], "05-07 09:30", "%d-%b-%y %H:%M:%S"),
        (["2024-05-06 08:00:00,5", "2024-05-06 09:30:00,0"], "05-06 09:30", "%Y-%m-%d %H:%M:%S,%f"),
    ],
)
def test_times_are_read_as_they_can_only_be_meant(texts, expected, how) -> None:
    log = ok.read_log(pd.DataFrame({"case": "o1", "activity": "a", "time": texts}), timezone="UTC")
    assert f"{log.steps['completed'].iloc[-1]:%m-%d %H:%M}" == expected
    assert log.notes[-1] == f"times of completed were read as {how!r}"


def test_beside_a_start_an_end_is_taken_and_not_another_time() -> None:
    times = {"start": ["2024-05-06T08:00Z"], "timestamp": ["2024-05-07T08:00Z"], "end": ["2024-05-06 09:00:00 UTC"]}
    log = ok.read_log(pd.DataFrame({"case": "o1", "activity": "a", **times}))
    assert log.steps["completed"].tolist() == [pd.Timestamp("2024-05-06T09:00Z")]
    assert "timestamp" in log.steps


def test_events_that_were_kept_come_back_with_their_transitions(tmp_path) -> None:
    events = (event("a", "2024-05-06T09:00:00Z", "start"), event("a", "2024-05-06T10:00:00Z"))
    log = ok.read_log(written(tmp_path / "a.xes", trace("o1", *events)), lifecycle="keep")
    for name in ("b.xes", "b.csv", "b.parquet"):
        ok.write_log(log, tmp_path / name)
        assert ok.read_log(tmp_path / name).steps["lifecycle:transition"].tolist() == ["start", "complete"]


@pytest.mark.parametrize("names", [("date", "time"), ("Datum", "Uhrzeit"), ("fecha", "hora")])
def test_days_and_times_of_day_in_two_columns_are_joined(names) -> None:
    frame = pd.DataFrame({"case": "o1", "activity": "a", names[0]: ["06.05.2024"], names[1]: ["8:30"]})
    log = ok.read_log(frame, timezone="UTC")
    assert log.steps["completed"].tolist() == [pd.Timestamp("2024-05-06T08:30Z")]
    assert list(log.steps.columns[18:]) == []


def test_of_times_that_are_written_otherwise_than_most_the_first_is_told() -> None:
    times = ["06.05.2024 08:00", "07.05.2024 09:00", "soon"]
    with pytest.raises(ok.LogError, match="'time': 1 times.* '%d.%m.%Y %H:%M', as most are, the first 'soon'"):
        ok.read_log(pd.DataFrame({"case": "o1", "activity": "a", "time": times}), timezone="UTC")


def test_columns_without_a_name_are_kept_if_they_hold_something(tmp_path) -> None:
    text = 'case,activity,timestamp,,\n1,a,2024-05-06T09:00Z,,7\n2,"b\nc",2024-05-06T09:00Z,,8\n'
    log = ok.read_log(csv(tmp_path / "a.csv", text))
    assert (log.activities.tolist(), log.steps["column 5"].tolist()) == (["a", "b\nc"], [7, 8])
    assert log.notes[0] == "1 columns without a name or a value were dropped"


def test_of_numbers_it_is_said_which_times_they_may_be() -> None:
    for number, said in (
        (1715000000, "'s', the first is 2024-05-06 12:53"),
        (45418.5, "'excel', the first is 2024-05-06"),
    ):
        with pytest.raises(ok.LogError, match=f"By {said}"):
            ok.read_log(pd.DataFrame({"case": ["o1"], "activity": "a", "time": number}))


def test_whether_the_day_is_first_is_asked_unless_another_column_tells() -> None:
    frame = pd.DataFrame({"case": "o1", "activity": "a", "end": ["03/05/2024 08:00", "04/05/2024 09:00"]})
    with pytest.raises(
        ok.LogError, match=r"'end': 2 timestamps .* time_format='%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'\)\."
    ):
        ok.read_log(frame, timezone="UTC")
    log = ok.read_log(frame.assign(start=["02/05/2024", "30/04/2024"]), timezone="UTC")
    assert log.steps["completed"].dt.month.tolist() == [5, 5]


def test_both_readers_agree(tmp_path, monkeypatch) -> None:
    path = written(
        tmp_path / "a.xes",
        trace("o1", event("a", "2024-05-06T09:00:00.123+02:00"), event("ü&amp;", "2024-05-06T09:00:01Z")),
        trace("o2", event("a", "2024-05-06T09:00:00Z")),
    )
    monkeypatch.setattr(xes, "scan", FAST)
    fast = ok.read_log(path)
    monkeypatch.setattr(xes, "scan", STREAMING)
    slow = ok.read_log(path)
    assert_frame_equal(fast.steps, slow.steps)
    assert_frame_equal(fast.cases, slow.cases)


def test_what_is_missing_is_said(tmp_path) -> None:
    path = written(
        tmp_path / "a.xes",
        trace("o1", event("a", "2024-05-06T09:00:00"), event("b", "yesterday")),
        '<trace><event><string key="concept:name" value="a"><string key="in" value="1"/></string>'
        '<date key="time:timestamp" value="2024-05-06T10:00:00Z"/></event><event/></trace>',
        "<trace/>",
    )
    log = ok.read_log(path)
    assert log.cases["case_id"].tolist() == ["o1", "trace 2"]
    assert log.notes[:6] == (
        "1 nested attributes were dropped",
        "1 timestamps of time:timestamp have no time zone and were read as UTC",
        "1 values of time:timestamp cannot be read and are missing, the first 'yesterday'",
        "2 traces have no concept:name and are called trace 1, trace 2, …",
        "1 traces without events were dropped",
        "1 events without concept:name were dropped",
    )


PLAIN = st.text("aé<>&\"'\n\t\r 0", max_size=4)
DATES = [
    *("2024-05-06T09:00:00.5+02:00", "1969-12-31T23:59:59.999999-0530", "2024-02-29T00:00:00Z", "2024-05-06T09:00:00"),
    *("2023-02-29T00:00:00Z", "2024-05-06T24:00:00Z", "2024-05-06T09:00:00.1234567Z", "2024-05-06 09:00:00z", "soon"),
]
VALUE_TAGS = st.one_of(
    st.tuples(st.just("string"), st.sampled_from(["org:resource", "k&"]), PLAIN),
    st.tuples(st.just("string"), st.just("odd"), st.sampled_from(["a", "b", "\ufffe"])),
    st.tuples(st.just("int"), st.just("size"), st.integers(-5, 5).map(str)),
    st.tuples(st.just("float"), st.just("price"), st.sampled_from(["1.50", "-2e3", "NaN", "1,5"])),
    st.tuples(st.just("boolean"), st.just("paid"), st.sampled_from(["true", "false", "1", "yes"])),
    st.tuples(st.just("date"), st.just("due"), st.sampled_from(DATES)),
)
ODDITIES = [
    *("", " ", '<!-- "a" "b" -->', "text", '<string key="concept:name" value="again"/>'),
    '<string key="outer" value="1"><int key="inner" value="2"/></string>',
]


@st.composite
def _documents(draw) -> str:
    def tag(kind: str, key: str, value: str) -> str:
        texts = [f" {name}={quoteattr(text)}" for name, text in (("key", key), ("value", value))]
        text = "".join(texts).replace("&#10;", draw(st.sampled_from(["&#10;", "\n", "\r\n"])))
        return f"<{kind}{text}{draw(st.sampled_from(['/>', ' />', f'></{kind}>']))}"

    def tags(name: str) -> str:
        given = [("string", "concept:name", name), *draw(st.lists(VALUE_TAGS, max_size=3, unique_by=lambda t: t[1]))]
        return "\n".join(
            [tag(*one) for one in given] + [draw(st.sampled_from(ODDITIES)) if draw(st.booleans()) else ""]
        )

    traces = []
    for number in range(draw(st.integers(1, 3))):
        moments = draw(st.lists(st.integers(0, 59), max_size=3))
        dates = [tag("date", "time:timestamp", f"2024-05-06T09:{minute:02}:00Z") for minute in moments]
        events = "\n".join(f"<event>{date}{tags(f'a{draw(PLAIN)}')}</event>" for date in dates)
        traces.append(f"<trace>{tags(f'o{number}')}{events}</trace>")
    return f"{HEAD}{''.join(traces)}{draw(st.sampled_from(['', '<trace> </trace>']))}</log>"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_documents())
def test_the_quick_reader_gives_what_the_streaming_one_gives_or_leaves_it_to_it(tmp_path, document) -> None:
    path = tmp_path / "a.xes"
    path.write_text(document, encoding="utf-8", newline="")
    found = [_read(path, quick) for quick in (FAST, STREAMING)]
    if isinstance(found[0], str):
        assert found[0] == found[1]
    else:
        assert_frame_equal(found[0][0], found[1][0], check_categorical=False)
        assert found[0][1] == found[1][1]


def test_what_begins_in_one_block_and_ends_in_the_next_is_whole(tmp_path) -> None:
    rare = "".join(f'<id key="{n}" value="{n}"/>' for n in range(20))  # more columns, when rows are there
    events = [
        f'<event>{rare * (n == 9_999)}<string key="concept:name" value="step {n % 300}"/><int key="n" value="{n}"/>'
        f'<date key="time:timestamp" value="2024-05-{n % 28 + 1:02}T09:{n % 60:02}:00.{n:06}+02:00"/></event>'
        for n in range(16_000)
    ]
    path = written(tmp_path / "a.xes", *(trace(f"o{n}", "".join(events[n : n + 320])) for n in range(0, 16_000, 320)))
    assert path.stat().st_size > 1 << 21
    assert FAST(path) is not None
    (fast, _), (slow, _) = (_read(path, quick) for quick in (FAST, STREAMING))
    assert_frame_equal(fast, slow, check_categorical=False)


def _read(path, quick) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xes, "scan", quick)
        try:
            return xes.read_events(path)
        except ok.LogError as error:
            return str(error)


def test_what_is_odd_but_well_formed_is_said(tmp_path) -> None:
    stray = '<event><string key="concept:name" value="x"/></event>'
    odd = trace("o1", event("a", "2024-05-06T09:00:00Z").replace("<event>", '<event><string value="no key"/>'))
    log = ok.read_log(written(tmp_path / "a.xes", odd, stray))
    assert log.activities.tolist() == ["a"]
    assert log.notes[:2] == ("1 attributes without a key were dropped", "1 events outside of traces were dropped")
    path = tmp_path / "b.xes"
    path.write_text('<?xml version="1.0" encoding="klingon"?><log/>')
    with pytest.raises(ok.LogError, match="not well-formed XML"):
        ok.read_log(path)
    latin = f'<?xml version="1.0" encoding="ISO-8859-1"?><log>{trace("ö", event("ü", "2024-05-06T09:00:00Z"))}</log>'
    path.write_bytes(latin.encode("latin-1"))
    assert ok.read_log(path).activities.tolist() == ["ü"]
    backwards = trace("o1", event("a", "2024-05-06T10:00:00Z", "start"), event("a", "2024-05-06T09:00:00Z"))
    kept = ok.read_log(written(path, backwards), lifecycle="keep")
    assert kept.steps["lifecycle:transition"].tolist() == ["complete", "start"]
    assert kept.notes == ("1 events were earlier than the event before them in their case, and were sorted by time",)


@pytest.mark.parametrize("ending", ["xes", "csv", "json", "parquet", "sqlite", "csv.gz"])
def test_a_damaged_file_gives_a_log_or_an_error_of_ours(tmp_path, ending) -> None:
    moments = pd.date_range("2024-05-06T09:00Z", periods=9, freq="h", unit="us")
    steps = {"case_id": list("aaabbbccc"), "activity": ["x", "ü&<", "z"] * 3, "completed": moments, "n": range(9)}
    path = tmp_path / f"a.{ending}"
    ok.write_log(ok.EventLog(pd.DataFrame(steps)), path)
    whole, chance = path.read_bytes(), random.Random(7)
    for _ in range(25):
        damaged, at = bytearray(whole), chance.randrange(len(whole))
        damaged[at : at + chance.choice([0, 1, 40])] = chance.choice([b"", b'"', b"<", b"\0", b"\xff", b"\n", b"9e999"])
        path.write_bytes(bytes(damaged[: chance.choice([len(damaged), at + 1])]))
        with contextlib.suppress(ok.LogError):
            ok.variants(ok.read_log(path))


BOMB = '<!DOCTYPE log [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE log [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("prolog", [BOMB, OUTSIDE])
def test_entities_are_refused(tmp_path, prolog) -> None:
    path = tmp_path / "a.xes"
    path.write_text(f'{prolog}<log><trace><string key="concept:name" value="&b;"/></trace></log>')
    with pytest.raises(ok.LogError, match="document type"):
        ok.read_log(path)


@pytest.mark.parametrize("filling", [b"\0", b" "])
def test_a_file_that_unpacks_without_end_is_refused_early(tmp_path, filling) -> None:
    path = tmp_path / "a.xes.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"<log>")
        for _ in range(128):
            file.write(filling * (1 << 20))
    with pytest.raises(ok.LogError, match=r"well-formed|64 MB without a tag"):
        ok.read_log(path)


def test_a_file_cut_short_is_told_from_one_that_is_no_log(tmp_path) -> None:
    whole = gzip.compress(f"{HEAD}{trace('o1', event('a', '2024-05-06T09:00:00Z'))}</log>".encode())
    path = tmp_path / "a.xes.gz"
    path.write_bytes(whole[:-20])
    with pytest.raises(ok.LogError, match="cut short"):
        ok.read_log(path)
    with pytest.raises(ok.LogError, match="has no trace"):
        ok.read_log(written(tmp_path / "b.xes"))
    with pytest.raises(ok.LogError, match="Known: .xes"):
        ok.read_log(tmp_path / "c.xlsx")
    with pytest.raises(ok.LogError, match="There is no file"):
        ok.read_log(tmp_path / "c.xes")


def test_ten_thousand_activities_and_cases_of_one_event(tmp_path) -> None:
    path = written(tmp_path / "a.xes", *(trace(f"o{i}", event(f"a{i}", "2024-05-06T09:00:00Z")) for i in range(10_000)))
    log = ok.read_log(path)
    assert (len(log), len(log.activities)) == (10_000, 10_000)


def test_columns_are_guessed_and_said() -> None:
    frame = pd.DataFrame({"Case": [1, 1], "Task": ["a", "b"], "End Time": ["2024-05-06 09:00", "2024-05-06 10:00"]})
    with pytest.raises(ok.LogError, match="time zone"):
        ok.read_log(frame)
    log = ok.read_log(frame, timezone="Europe/Berlin")
    assert log.steps["completed"].dt.hour.tolist() == [7, 8]
    assert log.notes[0] == "column 'Case' was taken for case_id"
    with pytest.raises(ok.LogError, match="no column 'Cas'"):
        ok.read_log(frame, columns={"case_id": "Cas"})
    with pytest.raises(
        ok.LogError, match=r"taken for completed. Say which one is: read_log\(…, columns={'completed': …}\)"
    ):
        ok.read_log(frame[["Case", "Task"]])


def csv(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_a_csv_looks_like_is_what_it_is(tmp_path) -> None:
    text = (
        "Case;Activity;Timestamp;zip;amount;paid;note\n"
        '1;ü;2024-05-06T09:00Z;007;1.50;true;"a\nb"\n'
        "1;b;2024-05-06T10:00Z;;2;;NA\n"
    )
    steps = ok.read_log(csv(tmp_path / "a.csv", text)).steps
    assert steps["zip"].tolist()[0] == "007"
    assert steps["amount"].tolist() == [1.5, 2.0]
    assert (steps["paid"][0], steps["note"][0]) == (True, "a\nb")
    assert steps[["zip", "paid", "note"]].isna().to_numpy()[1].all()
    everything = '"Case","Activity","Timestamp","amount"\n"1","a","2024-05-06T09:00Z","12"\n'
    assert ok.read_log(csv(tmp_path / "b.csv", everything)).steps["amount"].tolist() == [12]


def test_what_is_wrong_with_a_csv_is_said(tmp_path) -> None:
    head = "Case,Activity,Timestamp\n"
    latin = ok.read_log(csv(tmp_path / "a.csv", (head + "1,Prüfen,2024-05-06T09:00Z\n").encode("latin-1")))
    assert latin.activities.tolist() == ["Prüfen"]
    assert latin.notes[0] == "the file is not UTF-8 and was read as windows-1252; encoding=… says otherwise"
    wide = ok.read_log(csv(tmp_path / "a.csv", (head + "1,Prüfen,2024-05-06T09:00Z\n").encode("utf-16")))
    assert wide.activities.tolist() == ["Prüfen"]
    short = ok.read_log(csv(tmp_path / "a.csv", head + "1,a,2024-05-06T09:00Z\n1,b\n"))
    assert short.notes[0] == "1 lines were dropped: they have other than 3 columns"
    with pytest.raises(ok.LogError, match=r"first 'on 06.05.2024'. Say how they are written"):
        ok.read_log(csv(tmp_path / "a.csv", head + "1,a,on 06.05.2024\n"))
    german = csv(tmp_path / "a.csv", head + "1,a,06.05.2024 09:00\n")
    log = ok.read_log(german, time_format="%d.%m.%Y %H:%M", timezone="Europe/Berlin")
    assert log.steps["completed"].tolist() == [pd.Timestamp("2024-05-06T07:00Z")]
    changed = ok.read_log(csv(tmp_path / "a.csv", head + "1,a,2024-10-27 02:30\n"), timezone="Europe/Berlin")
    assert "1 timestamps lie in the hour when the clocks change; of two the later was taken" in changed.notes
    for text, said in (
        ("", "is empty"),
        ("Case,Case,Activity,Timestamp\n1,2,a,2024-05-06T09:00Z\n", "two columns called 'Case'"),
        ("VBELN;BUDAT\n1;a\n", "taken for case_id. Say which one is"),
        (head + "1,a,1714989600\n", "holds numbers, not times. Say what they count"),
    ):
        with pytest.raises(ok.LogError, match=said):
            ok.read_log(csv(tmp_path / "a.csv", text))


MOMENTS = st.integers(0, 10**12).map(lambda us: pd.Timestamp(1_700_000_000_000_000 + us, unit="us", tz="UTC"))
# XML knows no control characters but these three.
ODD_TEXTS = ["", "007", "12", "-1.5", "true", "NA", "nan", "None", "2024-05-06T09:00:00Z", " x ", "=1+1", "1e5"]
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
TEXTS = st.text(CHARACTERS | st.sampled_from("\n\r\t\"',;")) | st.sampled_from(ODD_TEXTS)
NAMES = TEXTS.filter(bool)
COLUMNS = {
    "note": (TEXTS, "str"),
    "resource": (NAMES, "str"),
    "points": (st.integers(-(2**53), 2**53), "Int64"),
    "price": (st.floats(allow_nan=False), "float64"),
    "paid": (st.booleans(), "boolean"),
    "due": (MOMENTS, "datetime64[us, UTC]"),
    "case:label": (TEXTS, "str"),
}


@st.composite
def _rows(draw) -> pd.DataFrame:
    height = draw(st.integers(1, 6))
    cells = {
        "case_id": draw(st.lists(NAMES, min_size=height, max_size=height)),
        "activity": draw(st.lists(NAMES, min_size=height, max_size=height)),
        "completed": draw(st.lists(MOMENTS, min_size=height, max_size=height)),
    }
    for name in draw(st.sets(st.sampled_from(sorted(COLUMNS)))):
        values, dtype = COLUMNS[name]
        column = draw(st.lists(st.none() | values, min_size=height, max_size=height))
        if any(value is not None for value in column):
            cells[name] = pd.Series(column, dtype=dtype)
    return pd.DataFrame(cells)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with one type for each kind of value."""
    kinds = {"i": "Int64", "b": "boolean", "O": "str"}
    return frame.astype({name: kinds[frame[name].dtype.kind] for name in frame if frame[name].dtype.kind in kinds})


@pytest.mark.parametrize("ending", ["xes", "xes.gz", "csv", "csv.gz", "parquet", "json", "jsonocel.gz", "sqlite"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_rows())
def test_a_log_comes_back_as_it_was(tmp_path, ending, rows) -> None:
    rows["started"] = rows["completed"] - pd.Timedelta("5min")
    log = ok.EventLog(rows)
    path = tmp_path / f"log.{ending}"
    ok.write_log(log, path)
    back = ok.read_log(path)
    steps = back.steps.drop(columns="ocel:eid", errors="ignore")
    assert_frame_equal(_plain(steps), _plain(log.steps), check_like=True, check_categorical=False)
    assert_frame_equal(_plain(back.cases), _plain(log.cases), check_like=True)


@pytest.mark.parametrize("ending", ["xes", "csv", "parquet", "json", "sqlite"])
def test_events_of_one_moment_come_back_in_their_order(tmp_path, ending) -> None:
    rows = pd.DataFrame({"case_id": "o1", "activity": ["a", "b", "a"], "completed": "2024-05-06T09:00Z"})
    path = tmp_path / f"log.{ending}"
    ok.write_log(ok.EventLog(rows), path)
    assert list(ok.read_log(path).steps["activity"]) == ["a", "b", "a"]


@pytest.mark.skipif(not BPIC.exists(), reason="BPI Challenge 2012 is not here; ORCHKIT_DATA says where")
def test_bpic2012_has_its_published_size() -> None:
    log = ok.read_log(BPIC, lifecycle="keep")
    assert (len(log), len(log.steps), len(log.activities)) == (13_087, 262_200, 24)


def completed_of(tmp_path, cell: str, **how: str) -> pd.Timestamp:
    path = csv(tmp_path / "a.csv", f"Case,Activity,Timestamp\n1,a,{cell}\n")
    moment: pd.Timestamp = ok.read_log(path, **how).steps["completed"][0]
    return moment


def test_numbers_are_times_once_it_is_said_what_they_count(tmp_path) -> None:
    at = pd.Timestamp("2024-05-06T09:00Z")
    assert completed_of(tmp_path, "1714986000", time_format="s") == at
    assert completed_of(tmp_path, "1714986000000", time_format="ms") == at
    assert completed_of(tmp_path, "45418.375", time_format="excel", timezone="UTC") == at
    assert completed_of(tmp_path, "20240506", time_format="%Y%m%d", timezone="UTC") == pd.Timestamp("2024-05-06T00:00Z")
    for cell, how, said in (
        ("1714986000000", {"time_format": "s"}, "1,714,986,000,000 is not a time of time_format='s'"),
        ("45418.375", {"time_format": "excel"}, "Excel's times have no zone"),
        ("monday", {"time_format": "ms"}, "is for numbers"),
        ("monday", {"time_format": "%Q"}, "bad directive"),
    ):
        with pytest.raises(ok.LogError, match=said):
            completed_of(tmp_path, cell, **how)


def test_decimal_commas_are_read_where_a_comma_divides_no_columns(tmp_path) -> None:
    log = ok.read_log(
        csv(
            tmp_path / "a.csv",
            "sep=;\nCase;Activity;Timestamp;cost;zip;pair\n"
            "1;a;2024-05-06T09:00Z;3,5;01,5;1,2,3\n1;b;2024-05-06T10:00Z;1.234,5;2;4\n",
        )
    )
    assert log.steps["cost"].tolist() == [3.5, 1234.5]
    assert log.steps[["zip", "pair"]].to_numpy().tolist() == [["01,5", "1,2,3"], ["2", "4"]]


def test_long_numbers_keep_their_last_digits(tmp_path) -> None:
    log = ok.read_log(
        csv(
            tmp_path / "a.csv",
            "Case,Activity,Timestamp,short,long,when\n"
            "1,a,2024-05-06T09:00Z,1152921504606846977,36893488147419103233,NaT\n"
            "1,b,2024-05-06T10:00Z,-9223372036854775808,2,2024-05-06T10:00Z\n",
        )
    )
    assert log.steps["short"].tolist() == [(1 << 60) + 1, -(1 << 63)]
    assert log.steps["long"].tolist() == ["36893488147419103233", "2"]
    assert log.steps["when"].isna().tolist() == [True, False]


def test_decimal_commas_are_said(tmp_path) -> None:
    log = ok.read_log(csv(tmp_path / "a.csv", "Case;Activity;Timestamp;cost\n1;a;2024-05-06T09:00Z;3,5\n"))
    assert "numbers of cost were read with decimal commas" in log.notes


def test_a_status_of_another_system_is_kept_as_an_attribute(tmp_path) -> None:
    log = ok.read_log(csv(tmp_path / "a.csv", "Case,Activity,Timestamp,status\n1,a,2024-05-06T09:00Z,done\n"))
    assert (log.steps["status"][0], log.steps["own_status"][0]) == ("COMPLETED", "done")
    assert log.notes[-1] == "status has values that a log does not know, such as 'done', and is kept as own_status"


OTHERS = {"activity": "begin", "attempt": "two", "workflow": "{}"}


@pytest.mark.usefixtures("either")
def test_what_other_systems_call_so_is_not_taken_for_a_logs_own(tmp_path) -> None:
    told = "".join(f'<string key="{key}" value="{value}"/>' for key, value in OTHERS.items())
    first, second = (
        event(name, "2024-05-06T09:00:00Z").replace("<event>", f"<event>{told.format(way)}")
        for name, way in (("mail", "a"), ("pay", "b"))
    )
    log = ok.read_log(written(tmp_path / "a.xes", trace('o1"/><string key="started" value="soon', first, second)))
    assert (len(log), log.activities.tolist()) == (1, ["mail", "pay"])
    assert log.steps["own_activity"].tolist() == ["begin", "begin"]
    assert log.steps["own_workflow"].tolist() == ["a", "b"]
    assert log.cases["own_started"].tolist() == ["soon"]
    assert log.notes[:2] == (
        "workflow changes within a trace, and is kept as own_workflow",
        "activity stands beside concept:name, and is kept as own_activity",
    )
    assert re.fullmatch(
        r"attempt is not what a log calls so \(.*must hold numbers.*\), and is kept as own_attempt", log.notes[2]
    )
    assert re.fullmatch(r"case:started is not .*, and is kept as case:own_started", log.notes[3])


def test_a_column_that_is_named_must_fit(tmp_path) -> None:
    path = csv(tmp_path / "a.csv", "Case,Activity,Timestamp,price,cost\n1,a,2024-05-06T09:00Z,3 EUR,low\n")
    assert ok.read_log(path).steps["own_cost"].tolist() == ["low"]
    path = csv(tmp_path / "a.csv", "Case,Activity,Timestamp,price\n1,a,2024-05-06T09:00Z,3 EUR\n")
    with pytest.raises(ok.LogError, match="'cost' must hold numbers"):
        ok.read_log(path, columns={"cost": "price"})


def test_an_attribute_that_stands_twice_is_said(tmp_path) -> None:
    twice = event("a", "2024-05-06T09:00:00Z").replace("<event>", '<event><string key="concept:name" value="z"/>')
    log = ok.read_log(written(tmp_path / "a.xes", trace("o1", twice)))
    assert log.activities.tolist() == ["a"]
    assert log.notes[0] == "1 values of concept:name were dropped: another follows in the same place"


def test_a_file_that_is_not_there_has_a_near_one(tmp_path) -> None:
    written(tmp_path / "orders.xes", trace("o1", event("a", "2024-05-06T09:00:00Z")))
    with pytest.raises(ok.LogError, match=r"There is no file .*Did you mean 'orders.xes'"):
        ok.read_log(tmp_path / "order.xes")
    with pytest.raises(ok.LogError, match=r"is a folder. Say which file of it: 'orders.xes'"):
        ok.read_log(tmp_path)
    with pytest.raises(ok.LogError, match="1 traces and no event: the log is empty"):
        ok.read_log(written(tmp_path / "none.xes", "<trace/>"))


@pytest.mark.parametrize("source", [None, 7, [1]])
def test_what_is_no_source_is_refused(source) -> None:
    with pytest.raises(ok.LogError, match="path of a file, or a DataFrame"):
        ok.read_log(source)


def test_times_of_xes_without_a_zone_are_of_the_zone_that_is_said(tmp_path) -> None:
    path = written(tmp_path / "a.xes", trace("o1", event("a", "2024-05-06T09:00:00.123456789")))
    log = ok.read_log(path, timezone="Europe/Berlin")
    assert log.steps["completed"].tolist() == [pd.Timestamp("2024-05-06T07:00:00.123456Z")]
    assert log.notes[0] == "1 timestamps of time:timestamp have no time zone and were read as Europe/Berlin"
    path = written(tmp_path / "a.xes", trace("o1", event("a", "2024-05-06T09:00:00.123456789Z")))
    assert ok.read_log(path).notes[0] == "1 timestamps of time:timestamp were cut to microseconds"


def test_xes_with_a_prefix_is_xes(tmp_path) -> None:
    path = written(tmp_path / "a.xes", trace("o1", event("a", "2024-05-06T09:00:00Z")))
    text = path.read_text()
    body = text[text.index("<log") :].replace("</", "</x:").replace("<log", '<x:log xmlns:x="http://x"')
    for name in ("trace", "event", "string", "date"):
        body = body.replace(f"<{name}", f"<x:{name}")
    path.write_text(body)
    assert ok.read_log(path).activities.tolist() == ["a"]


def test_an_index_with_a_name_is_a_column() -> None:
    frame = pd.DataFrame({"case_id": ["o1"], "activity": ["a"], "completed": ["2024-05-06T09:00Z"]}).set_index(
        "case_id"
    )
    log = ok.read_log(frame)
    assert (log.cases["case_id"][0], log.notes) == ("o1", ("the index 'case_id' was taken for a column",))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([b"a", b"\xc3\xbc"], ["a", "ü"]),
        (pd.array([7, 8], dtype=pd.ArrowDtype(pa.int64())), ["7", "8"]),
        (pd.array(["x", "y"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))), ["x", "y"]),
        (pd.array([1, None], dtype="Int64"), ["1"]),
        (pd.Categorical([1, 2]), ["1", "2"]),
        ([1.0, None], ["1"]),
    ],
)
def test_identifiers_of_any_kind_become_text(values, names) -> None:
    times = pd.array([0, 1], dtype=pd.ArrowDtype(pa.timestamp("s", "Europe/Berlin")))
    log = ok.read_log(pd.DataFrame({"case_id": values, "activity": ["a", "b"], "completed": times}))
    assert log.cases["case_id"].tolist() == names
    assert log.steps["completed"][0] == pd.Timestamp("1970-01-01T00:00Z")


def test_a_list_is_no_identifier() -> None:
    with pytest.raises(ok.LogError, match="'case_id' must hold text or numbers, not list"):
        ok.read_log(pd.DataFrame({"case_id": [[1]], "activity": ["a"], "completed": ["2024-05-06T09:00Z"]}))


def test_a_column_has_one_meaning() -> None:
    frame = pd.DataFrame({"a": ["x"], "case_id": ["o1"], "completed": ["2024-05-06T09:00Z"]})
    with pytest.raises(ok.LogError, match="'a' is named for two columns"):
        ok.read_log(frame, columns={"case_id": "a", "activity": "a"})
    with pytest.raises(ok.LogError, match="has a column 'case_id' besides 'a'|besides"):
        ok.read_log(frame, columns={"case_id": "a"})
