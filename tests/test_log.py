"""The event log: one shape for every log, fixed on construction."""

import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from orchkit import columns
from orchkit.errors import LogError
from orchkit.log import CASE_COLUMNS, STEP_COLUMNS, EventLog
from orchkit.model.states import RunStatus, StepStatus


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def but(frame: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """Return the frame with other columns."""
    changed: dict[str, object] = {str(name): frame[name] for name in frame}
    return pd.DataFrame(changed | columns)


def orders() -> pd.DataFrame:
    """Two orders, the rows in no order: o1 was checked and is being shipped, o2's check failed."""
    return pd.DataFrame(
        {
            "case_id": ["o2", "o1", "o1"],
            "activity": ["check", "ship", "check"],
            "started": [at("09:20"), at("09:40"), at("09:00")],
            "completed": [at("09:30"), pd.NaT, at("09:10")],
            "status": ["FAILED", None, None],
            "resource": ["Ann", None, "Bob"],
            "shelf": [7, 8, 9],
        }
    )


class TestLayout:
    def test_steps_are_sorted_by_case_and_completion_with_open_steps_last(self) -> None:
        steps = EventLog(orders()).steps
        assert list(zip(steps["case_id"], steps["activity"], strict=True)) == [
            ("o1", "check"),
            ("o1", "ship"),
            ("o2", "check"),
        ]

    def test_columns_are_those_of_the_design_then_the_attributes(self) -> None:
        assert list(EventLog(orders()).steps) == [*STEP_COLUMNS, "shelf"]
        assert list(EventLog(orders()).cases) == [*CASE_COLUMNS]

    def test_codes_and_offsets(self) -> None:
        log = EventLog(orders())
        assert log.case_codes.tolist() == [0, 0, 1]
        assert log.activity_codes.tolist() == [0, 1, 0]
        assert log.resource_codes.tolist() == [1, -1, 0]
        assert log.offsets.tolist() == [0, 2, 3]
        assert list(log.activities) == ["check", "ship"]
        assert list(log.resources) == ["Ann", "Bob"]

    def test_length_is_the_number_of_cases(self) -> None:
        assert len(EventLog(orders())) == 2

    def test_missing_columns_are_typed(self) -> None:
        kinds = EventLog(orders()).steps.dtypes.astype(str).to_dict()
        assert kinds == {
            **dict.fromkeys(("case_id", "activity", "status", "role", "resource", "error_class"), "category"),
            **dict.fromkeys(("error_type", "run_id", "workflow", "version"), "category"),
            **dict.fromkeys(("enabled", "started", "completed"), "datetime64[us, UTC]"),
            **dict.fromkeys(("error_message", "step_id"), "str"),
            "attempt": "int32",
            "cost": "float64",
            "replication": "Int64",
            "shelf": "int64",
        }

    def test_steps_at_the_same_instant_keep_their_order(self) -> None:
        frame = pd.DataFrame({"case_id": "o1", "activity": ["z", "a", "m"], "completed": at("09:00")})
        assert EventLog(frame).steps["activity"].tolist() == ["z", "a", "m"]

    def test_steps_that_complete_together_are_sorted_by_their_start(self) -> None:
        frame = pd.DataFrame({"case_id": "o1", "activity": ["late", "early"], "completed": at("09:00")})
        frame["started"] = [at("08:59"), at("08:00")]
        assert EventLog(frame).steps["activity"].tolist() == ["early", "late"]

    def test_the_same_case_in_two_workflows_and_replications_is_told_apart(self) -> None:
        frame = pd.DataFrame({"case_id": "o1", "activity": "a", "completed": at("09:00")}, index=range(4))
        frame = frame.assign(workflow=["w", "w", "v", "v"], replication=[2, 1, 1, 1])
        log = EventLog(frame)
        assert log.cases[["workflow", "replication"]].to_numpy().tolist() == [["v", 1], ["w", 1], ["w", 2]]
        assert log.offsets.tolist() == [0, 2, 3, 4]

    def test_an_empty_log(self) -> None:
        log = EventLog(orders().head(0))
        assert len(log) == 0
        assert log.offsets.tolist() == [0]
        assert list(log.cases) == [*CASE_COLUMNS]
        assert "no case has ended" in repr(log)


class TestValues:
    def test_the_status_follows_from_the_times(self) -> None:
        frame = pd.DataFrame(
            {
                "case_id": list("abc"),
                "activity": "x",
                "completed": [at("09:00"), pd.NaT, pd.NaT],
                "started": [pd.NaT, at("09:00"), pd.NaT],
                "enabled": [pd.NaT, pd.NaT, at("09:00")],
            }
        )
        assert EventLog(frame).steps["status"].tolist() == ["COMPLETED", "RUNNING", "PENDING"]

    def test_statuses_are_read_in_any_case(self) -> None:
        assert EventLog(but(orders(), status="Failed")).steps["status"].tolist() == ["FAILED"] * 3

    def test_numbers_as_identifiers_become_text(self) -> None:
        assert EventLog(but(orders(), case_id=[2, 10, 10])).cases["case_id"].tolist() == ["10", "2"]
        assert EventLog(but(orders(), resource=[7.0, np.nan, 8.0])).resources.tolist() == ["7", "8"]

    @pytest.mark.parametrize(
        "moment",
        [
            "2024-05-06T11:00:00+02:00",
            "2024-05-06 09:00:00Z",
            "2024-05-06T04:00-0500",
            pd.Timestamp("2024-05-06T11:00", tz="Europe/Berlin"),
            datetime(2024, 5, 6, 11, tzinfo=timezone(timedelta(hours=2))),
        ],
    )
    def test_timestamps_of_any_zone_become_utc(self, moment: object) -> None:
        frame = pd.DataFrame({"case_id": ["o1"], "activity": ["a"], "completed": [moment]})
        assert EventLog(frame).steps["completed"].tolist() == [at("09:00")]
        assert EventLog(frame.astype({"completed": object})).steps["completed"].tolist() == [at("09:00")]

    def test_mixed_zones_become_utc(self) -> None:
        times = ["2024-05-06T11:00+02:00", "2024-05-06T09:00Z", "2024-05-06T10:00+01:00"]
        assert EventLog(but(orders(), completed=times)).steps["completed"].tolist() == [at("09:00")] * 3

    def test_text_of_arrow_is_text(self) -> None:
        frame = orders().drop(columns="started").assign(completed="2024-05-06T09:00Z")
        arrow = frame.astype(dict.fromkeys(["case_id", "activity", "completed"], "string[pyarrow]"))
        assert_frame_equal(EventLog(arrow).steps, EventLog(frame).steps)

    def test_frames_that_arrow_holds_are_as_those_that_pandas_holds(self) -> None:
        moments = [at("11:00"), at("09:00"), at("10:00")]
        frame = but(orders(), completed=pd.Series(moments).astype(columns.UTC), role=["a", None, "b"])
        found = EventLog(frame.convert_dtypes(dtype_backend="pyarrow"))
        assert_frame_equal(found.steps[[*columns.STEP_COLUMNS]], EventLog(frame).steps[[*columns.STEP_COLUMNS]])

    def test_times_of_nanoseconds_are_cut_and_gaps_stay(self) -> None:
        times = ["2024-05-06T11:00:00.123456789+02:00", None, "2024-05-06T10:00:00.5+01:00"]
        steps = EventLog(
            but(orders(), case_id="o1", enabled=times, completed=[at("12:00"), at("13:00"), at("14:00")])
        ).steps
        expected = [pd.Timestamp("2024-05-06T09:00:00.123456Z"), pd.NaT, pd.Timestamp("2024-05-06T09:00:00.5Z")]
        assert [str(time) for time in steps["enabled"]] == [str(time) for time in expected]

    def test_statuses_are_those_of_the_model(self) -> None:
        assert set(StepStatus) == columns.STEP_STATUSES
        assert set(RunStatus) == columns.CASE_STATUSES
        assert {status for status in RunStatus if status.is_final} == columns.ENDED_CASES


class TestCases:
    def test_are_derived_from_the_steps(self) -> None:
        cases = EventLog(orders()).cases
        assert cases["case_id"].tolist() == ["o1", "o2"]
        assert cases["status"].tolist() == ["RUNNING", "FAILED"]
        assert cases["started"].tolist() == [at("09:00"), at("09:20")]
        assert cases["completed"].tolist() == [pd.NaT, at("09:30")]

    @pytest.mark.parametrize(
        ("last", "status"),
        [
            ("COMPLETED", "COMPLETED"),
            ("SKIPPED", "COMPLETED"),
            ("FAILED", "FAILED"),
            ("COMPENSATED", "COMPENSATED"),
            ("CANCELLED", "CANCELLED"),
            ("RETRYING", "RUNNING"),
            ("WAITING", "RUNNING"),
        ],
    )
    def test_have_the_status_of_their_last_step(self, last: str, status: str) -> None:
        frame = pd.DataFrame({"case_id": "o1", "activity": ["a", "b"], "completed": [at("09:00"), at("09:10")]})
        assert EventLog(frame.assign(status=["FAILED", last])).cases["status"].tolist() == [status]

    def test_given_ones_bring_attributes_and_those_without_steps_stay(self) -> None:
        cases = pd.DataFrame({"case_id": ["o3", "o0", "o2"], "amount": [30, 0, 20]})
        log = EventLog(orders(), but(cases, status=["RUNNING", "CANCELLED", None]))
        assert log.cases["case_id"].tolist() == ["o0", "o1", "o2", "o3"]
        assert log.cases["status"].tolist() == ["CANCELLED", "RUNNING", "FAILED", "RUNNING"]
        assert log.cases["amount"].fillna(-1).tolist() == [0, -1, 20, 30]
        assert log.case_codes.tolist() == [1, 1, 2]
        assert log.offsets.tolist() == [0, 0, 2, 3, 3]

    def test_given_states_and_times_go_before_derived_ones(self) -> None:
        cases = pd.DataFrame(
            {
                "case_id": ["o1", "o2"],
                "status": ["COMPLETED", "DEAD_LETTERED"],
                "started": [at("08:00"), pd.NaT],
                "completed": [pd.NaT, at("10:00")],
            }
        )
        log = EventLog(orders(), cases)
        assert log.cases["status"].tolist() == ["COMPLETED", "DEAD_LETTERED"]
        assert log.cases["started"].tolist() == [at("08:00"), at("09:20")]
        assert log.cases["completed"].tolist() == [at("09:40"), at("10:00")]

    def test_what_only_the_cases_know_is_told_to_the_steps(self) -> None:
        cases = pd.DataFrame({"case_id": ["o1", "o2"], "workflow": ["w", "v"], "replication": [1, 2]})
        steps = EventLog(orders(), cases).steps
        assert steps["workflow"].tolist() == ["w", "w", "v"]
        assert steps["replication"].tolist() == [1, 1, 2]

    def test_given_by_workflow_join_by_workflow(self) -> None:
        frame = but(orders(), case_id="o1", workflow=["v", "w", "w"])
        cases = pd.DataFrame({"case_id": "o1", "workflow": ["w", "v"], "amount": [1, 2]})
        log = EventLog(frame, cases)
        assert log.cases[["workflow", "amount"]].to_numpy().tolist() == [["v", 2], ["w", 1]]
        assert log.case_codes.tolist() == [0, 1, 1]

    def test_given_twice_are_refused(self) -> None:
        with pytest.raises(LogError, match="cases has 'o1' twice"):
            EventLog(orders(), pd.DataFrame({"case_id": ["o1", "o2", "o1"]}))


class TestXes:
    def xes(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "concept:name": ["ship", "check"],
                "case:concept:name": ["o1", "o1"],
                "time:timestamp": [at("09:30"), at("09:10")],
                "org:resource": ["Ann", "Bob"],
                "case:amount": [5, 5],
                "lifecycle:transition": "complete",
            }
        )

    def test_names_are_recognized(self) -> None:
        log = EventLog(self.xes())
        assert log.steps[["case_id", "activity", "resource"]].to_numpy().tolist() == [
            ["o1", "check", "Bob"],
            ["o1", "ship", "Ann"],
        ]
        assert list(log.steps)[len(STEP_COLUMNS) :] == ["lifecycle:transition"]
        assert log.cases["amount"].tolist() == [5]

    def test_traces_are_cases(self) -> None:
        traces = pd.DataFrame({"concept:name": ["o1"], "case:amount": [6]})
        assert EventLog(self.xes().drop(columns="case:amount"), traces).cases["amount"].tolist() == [6]

    def test_export_has_their_names_and_lifecycle(self) -> None:
        named = EventLog(orders()).to_xes_names()
        assert list(named) == [
            "case:concept:name",
            "concept:name",
            "time:timestamp",
            "lifecycle:transition",
            "org:resource",
            "start_timestamp",
            "status",
            "attempt",
            "shelf",
            "case:started",
            "case:completed",
            "case:status",
        ]
        assert named["lifecycle:transition"].tolist() == ["complete", "start", "ate_abort"]

    def test_export_is_read_back_as_it_was(self) -> None:
        cases = pd.DataFrame({"case_id": ["o1", "o2"], "amount": [1.5, 2.5], "status": ["RUNNING", "DEAD_LETTERED"]})
        log = EventLog(orders(), cases)
        back = EventLog(log.to_xes_names())
        assert_frame_equal(back.steps.drop(columns="lifecycle:transition"), log.steps)
        assert_frame_equal(back.cases, log.cases)

    def test_export_has_each_name_once(self) -> None:
        both = but(self.xes(), case_id=["o1", "o2"], amount=[1, 2])
        named = EventLog(both, pd.DataFrame({"case_id": ["o1", "o2"], "amount": [7, 8]})).to_xes_names()
        assert named.columns.is_unique
        assert named["case:concept:name"].tolist() == ["o1", "o2"]
        assert named["case:amount"].tolist() == [7, 8]

    def test_export_twice_is_the_same(self) -> None:
        named = EventLog(self.xes()).to_xes_names()
        assert_frame_equal(EventLog(named).to_xes_names(), named)


class TestRefusals:
    @pytest.mark.parametrize(
        ("frame", "text"),
        [
            (orders().rename(columns={"case_id": "Case ID"}), "no column 'case_id' .*Did you mean 'Case ID'"),
            (
                orders().rename(columns={"completed": "timestamp"}),
                "no column 'completed'.*Did you mean 'timestamp'",
            ),
            (
                orders().rename(columns={"activity": "activty"}),
                "no column 'activity'.*Did you mean 'activty'",
            ),
            (pd.DataFrame(), r"no column 'case_id' \(in XES: 'case:concept:name'\). Its columns: none"),
            (but(orders(), case_id=["o1", None, "o2"]), r"1 rows have no case_id \(the first is row 1"),
            (
                but(orders(), started=pd.NaT),
                r"1 rows have no time.* needs started or enabled \(the first is row 1",
            ),
            (
                but(orders(), completed=pd.Timestamp("2024-05-06")),
                "'completed' has timestamps without a time zone",
            ),
            (but(orders(), completed="2024-05-06T09:00"), "'completed' has timestamps without a time zone"),
            (but(orders(), completed="2024-05-31"), "'completed' has timestamps without a time zone"),
            (but(orders(), completed=date(2024, 5, 6)), "'completed' has timestamps without a time zone"),
            (
                but(orders(), completed=[datetime(2024, 5, 6), *[datetime(2024, 5, 6, tzinfo=UTC)] * 2]),  # noqa: DTZ001 -- what is refused
                "without a time zone",
            ),
            (but(orders(), completed="yesterday at 09:00Z"), "'completed' must hold timestamps.*ISO 8601"),
            (but(orders(), completed=1_714_986_000), "holds int64, not timestamps. Seconds since 1970"),
            (but(orders(), status="COMPLETD"), "'COMPLETD' is not a status. Did you mean 'COMPLETED'"),
            (but(orders(), attempt=0), "'attempt' must hold whole numbers from 1"),
            (but(orders(), attempt=1.5), "'attempt' must hold whole numbers from 1"),
            (but(orders(), replication=-1), "'replication' must hold whole numbers from 0"),
            (but(orders(), cost="dear"), "'cost' must hold numbers"),
            (but(orders(), resource=[["Ann"], None, None]), "'resource' must hold text or numbers, not list"),
            (pd.concat([orders(), orders()[["status"]]], axis="columns"), "two columns called 'status'"),
            ("orders.csv", "steps must be a pandas DataFrame, not str"),
        ],
    )
    def test_say_what_is_wrong_with_the_steps(self, frame: pd.DataFrame, text: str) -> None:
        with pytest.raises(LogError, match=text):
            EventLog(frame)

    @pytest.mark.parametrize(
        ("frame", "text"),
        [
            (pd.DataFrame({"order": ["o1"]}), "cases has no column 'case_id'"),
            (pd.DataFrame({"case_id": ["o1", None]}), "cases: 1 rows have no case_id"),
            (pd.DataFrame({"case_id": ["o1"], "status": ["SKIPPED"]}), "'SKIPPED' is not a status"),
            (pd.DataFrame({"case_id": ["o1"], "case:n": [1], "n": [1]}), "two columns called 'n'"),
            ([], "cases must be a pandas DataFrame, not list"),
        ],
    )
    def test_say_what_is_wrong_with_the_cases(self, frame: pd.DataFrame, text: str) -> None:
        with pytest.raises(LogError, match=text):
            EventLog(orders(), frame)

    def test_the_column_is_named_as_the_user_did(self) -> None:
        frame = orders().rename(columns={"completed": "time:timestamp"}).drop(columns="started")
        with pytest.raises(LogError, match="1 rows have no time: an open step without time:timestamp"):
            EventLog(frame)


class TestIsolation:
    def test_what_the_user_passed_is_not_modified(self) -> None:
        steps, cases = orders(), pd.DataFrame({"case_id": ["o2"], "amount": [1]})
        EventLog(steps, cases)
        assert_frame_equal(steps, orders())
        assert_frame_equal(cases, pd.DataFrame({"case_id": ["o2"], "amount": [1]}))

    def test_what_the_user_changes_later_is_not_in_the_log(self) -> None:
        steps = orders().sort_values(["case_id", "started"], ignore_index=True)
        log = EventLog(steps)
        steps.loc[:, "shelf"] = 0
        assert log.steps["shelf"].tolist() == [9, 8, 7]

    def test_what_the_user_does_to_its_frames_is_not_in_the_log(self) -> None:
        log = EventLog(orders())
        for frame in (log.steps, log.cases):
            frame["extra"] = 1
            frame.loc[:, "case_id"] = "o1"
            assert len(frame.columns) > 0
        assert log.steps["case_id"].tolist() == ["o1", "o1", "o2"]
        assert "extra" not in log.steps
        assert "extra" not in log.cases

    def test_codes_are_locked(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            EventLog(orders()).case_codes[0] = 1

    def test_it_can_be_sent_to_another_process(self) -> None:
        log = EventLog(orders())
        back = pickle.loads(pickle.dumps(log))
        assert_frame_equal(back.steps, log.steps)
        assert back.offsets.tolist() == [0, 2, 3]


class TestSummary:
    def test_as_text(self) -> None:
        assert repr(EventLog(but(orders(), workflow="order"))).split() == [
            *("EventLog", "cases", "2", "steps", "3", "activities", "2", "resources", "2"),
            *("period", "2024-05-06", "09:00", "to", "2024-05-06", "09:40", "UTC"),
            *("completed", "0.0%", "of", "1", "ended", "cases", "workflows", "order"),
        ]

    def test_as_html_is_escaped_and_whole(self) -> None:
        name = "<script>alert(1)</script>" + "x" * 100
        bundle = EventLog(but(orders(), workflow=name))._repr_mimebundle_(exclude={"image/png"})
        assert set(bundle) == {"text/html", "text/plain", "image/svg+xml"}
        assert "<script>" not in bundle["text/html"]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" + "x" * 100 in bundle["text/html"]


MINUTES = st.integers(0, 50).map(lambda minute: pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(minutes=minute))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "case_id": st.sampled_from(["a", "b", "ß", "10", "9"]),
            "activity": st.sampled_from(["x", "y", "z"]),
            "completed": MINUTES,
            "workflow": st.sampled_from(["v", "w", None]),
            "resource": st.sampled_from(["Ann", None]),
        }
    ),
    min_size=1,
    max_size=20,
    # Rows of one case at the same instant keep their order, so that order matters for them.
    unique_by=lambda row: (row["case_id"], row["workflow"], row["completed"]),
)


class TestProperties:
    @settings(max_examples=25)
    @given(ROWS, st.randoms(use_true_random=False))
    def test_neither_order_nor_index_of_the_rows_matters(self, rows: list[dict[str, object]], random: Random) -> None:
        frame = pd.DataFrame(rows)
        shuffled = frame.sample(frac=1, random_state=random.randrange(1000)).set_index("activity", drop=False)
        one, other = EventLog(frame), EventLog(shuffled)
        assert_frame_equal(one.steps, other.steps)
        assert_frame_equal(one.cases, other.cases)
        assert one.offsets.tolist() == other.offsets.tolist()

    @settings(max_examples=25)
    @given(ROWS, ROWS)
    def test_frames_may_be_concatenated_in_any_order(
        self, one: list[dict[str, object]], other: list[dict[str, object]]
    ) -> None:
        names = ["case_id", "completed", "workflow"]
        first, second = pd.DataFrame(one), pd.DataFrame(other)
        second["case_id"] = second["case_id"] + "2"
        log, reverse = EventLog(pd.concat([first, second])), EventLog(pd.concat([second, first]))
        assert_frame_equal(log.steps[names], reverse.steps[names])
        assert_frame_equal(log.cases, reverse.cases)

    @settings(max_examples=25)
    @given(ROWS, st.lists(st.sampled_from(["a", "c", "ß", "10"]), unique=True))
    def test_codes_lead_to_the_case_of_each_step(self, rows: list[dict[str, object]], known: list[str]) -> None:
        log = EventLog(pd.DataFrame(rows), pd.DataFrame({"case_id": pd.Series(known, dtype="str"), "amount": 1}))
        steps, cases = log.steps, log.cases.take(log.case_codes)
        assert steps["case_id"].tolist() == cases["case_id"].tolist()
        assert steps["workflow"].astype("str").fillna("").tolist() == cases["workflow"].fillna("").tolist()
        assert np.repeat(np.arange(len(log)), np.diff(log.offsets)).tolist() == log.case_codes.tolist()
        assert steps.groupby(log.case_codes)["completed"].is_monotonic_increasing.all()

    @settings(max_examples=25)
    @given(ROWS)
    def test_a_log_is_its_own_steps_and_cases(self, rows: list[dict[str, object]]) -> None:
        log = EventLog(pd.DataFrame(rows))
        again = EventLog(log.steps, log.cases)
        assert_frame_equal(again.steps, log.steps)
        assert_frame_equal(again.cases, log.cases)


def test_sql_reads_the_log_and_nothing_else(tmp_path) -> None:
    steps = {"case_id": ["o1", "o1"], "activity": ["a", "b"], "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z"]}
    log = EventLog(pd.DataFrame(steps))
    last = log.sql("select max(s.completed) as last, c.case_id from steps s join cases c using (case_id) group by all")
    assert last["last"].tolist() == [pd.Timestamp("2024-05-06T10:00Z")]
    assert last["case_id"].tolist() == ["o1"]
    for query in ("delete from steps", f"copy steps to '{tmp_path}/a.csv'", "select * from '/etc/hostname'", "selekt"):
        with pytest.raises(LogError, match="sql: "):
            log.sql(query)
    assert len(log.steps) == 2


def test_sql_answers_in_types_that_figures_are_made_of() -> None:
    frame = pd.DataFrame(
        {
            "case_id": ["o1", "o1"],
            "activity": ["a", "b"],
            "started": ["2024-05-06T09:00Z", None],
            "completed": ["2024-05-06T09:30Z", "2024-05-06T10:00Z"],
            "told": [{"by": 1}, "phone"],
            "copies": pd.array([(1 << 60) + 1, None], dtype="Int64"),
        }
    )
    log = EventLog(frame)
    answer = log.sql(
        "select activity, sum(attempt) as n, max(completed - started) as took, 1.5 as x from steps group by 1"
    )
    assert answer.dtypes.astype(str).tolist() == ["str", "int64", "timedelta64[us]", "float64"]
    assert answer.sort_values("activity")["took"].tolist() == [pd.Timedelta("30 min"), pd.NaT]
    assert log.sql("select 1 as a, 2 as a").to_dict("list") == {"a": [1], "a_1": [2]}
    kept = log.sql("select copies, told from steps order by activity")
    assert (kept["copies"][0], kept["copies"].isna().tolist()) == ((1 << 60) + 1, [False, True])
    assert kept["told"].tolist() == ["{'by': 1}", "phone"]
    assert log.sql("select date '2024-05-06' as d")["d"].dtype.kind == "M"
    assert log.sql("select completed - started as took from steps limit 0")["took"].dtype.kind == "m"
    with pytest.raises(LogError, match="takes a query as text"):
        log.sql(5)


def test_what_is_missing_is_held_once_and_changed_by_no_one() -> None:
    log = EventLog(pd.DataFrame({"case_id": ["o1"], "activity": ["a"], "completed": ["2024-05-06T09:00Z"]}))
    steps = log.steps
    steps.loc[0, "enabled"] = pd.Timestamp("2024-05-06T08:00Z")
    steps.loc[0, "error_message"] = "late"
    steps["role"] = steps["role"].cat.add_categories(["clerk"])
    steps.loc[0, "role"] = "clerk"
    assert steps[["started", "step_id", "resource"]].isna().all(axis=None)
    assert log.steps[["enabled", "started", "error_message", "role"]].isna().all(axis=None)
