from __future__ import annotations

import pytest

import orchkit as ok

HANDLERS = {name: lambda: "done" for name in ("a", "b", "c", "check", "ship", "pay", "undo_pay", "undo_it")}


def names(run):
    return run.steps().query("status == 'COMPLETED'")["activity"].tolist()


def waiting(*after, **more):
    return ok.workflow("order", [ok.wait_for(callback="paid"), *(ok.task(name) for name in after)], **more)


def test_runs_keep_their_version_beside_the_new_one(tmp_path):
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        engine.deploy(waiting("a", version="1"))
        old = engine.start("order", case_id="1")
        engine.deploy(waiting("b", version="2"))
        new = engine.start("order", case_id="2")
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        for run in (old, new):
            engine.complete(run.id, "paid")
            engine.wait(run.id, "30 s")
        assert [names(engine.get(run.id)) for run in (old, new)] == [["paid", "a"], ["paid", "b"]]
        assert engine.runs()["version"].tolist() == ["2", "1"]


def test_a_run_migrates_and_stays_so_after_a_restart(tmp_path):
    two = waiting("check", "a", version="2")
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        run = engine.start(waiting("a"), case_id="1")
        assert engine.preview_migration(run, two) == []
        engine.migrate(run, two, by="Ada", reason="all are checked")
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        engine.complete(run.id, "paid")
        ended = engine.get(run.id).wait("30 s")
        assert names(ended) == ["paid", "check", "a"]
        assert engine.get(run.id).workflow == two
        decided = ended.history().query("kind == 'decision'")
        assert decided[["status", "resource"]].iloc[0].tolist() == ["MIGRATED", "Ada"]


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        (ok.workflow("order", [ok.task("a")]), "is at 'paid', which the new version has not."),
        (ok.workflow("order", [ok.task("paid")]), "was a wait and is a task now."),
        (ok.workflow("order", [ok.scope([ok.wait_for(callback="paid")], name="s")]), "is in another scope now."),
        (ok.workflow("other", [ok.wait_for(callback="paid")]), "A run of 'order' cannot become one of 'other'."),
    ],
)
def test_what_does_not_map_is_said_and_changes_nothing(to, problem):
    with ok.Engine(handlers=HANDLERS) as engine:
        run = engine.start(waiting("a"), case_id="1")
        assert problem in engine.preview_migration(run, to)[0]
        with pytest.raises(ok.RunError, match="cannot go on in version"):
            engine.migrate(run, to)
        engine.complete(run, "paid")
        assert names(run.wait("30 s")) == ["paid", "a"]


def test_tokens_at_a_join_and_what_a_saga_may_undo_are_held_to_the_new_version():
    def joined(*branches, **more):
        two = [[ok.task("a")], [ok.wait_for(callback="paid")], *branches]
        return ok.workflow("order", [ok.parallel(*two), ok.task("c")], **more)

    def paid(**undo):
        return ok.workflow("order", [ok.saga([ok.task("pay", **undo), ok.wait_for(callback="sent")], name="trip")])

    with ok.Engine(handlers=HANDLERS) as engine:
        run = engine.start(joined(), case_id="1")
        while "a" not in names(run):
            pass
        assert "waits for other flows now" in engine.preview_migration(run, joined([ok.task("b")]))[0]
        engine.migrate(run, joined(version="2", description="better"))
        engine.complete(run, "paid")
        assert names(run.wait("30 s")) == ["paid", "a", "c"]

        other = engine.start(paid(compensate=ok.task("undo_pay")), case_id="2")
        while "pay" not in names(other):
            pass
        assert "may have to be undone" in engine.preview_migration(other, paid())[0]
        engine.migrate(other, paid(compensate=ok.task("undo_it")))
        engine.fail(other, "sent")
        assert other.wait("30 s").status == "COMPENSATED"
        assert other.steps()["activity"].tolist()[-1] == "undo_it"


def test_a_dead_letter_goes_on_in_the_version_that_mends_it(tmp_path):
    once = {"max_attempts": 1}
    one = ok.workflow("order", [ok.task("a"), ok.task("ship", retry=once), ok.task("c")])
    two = ok.workflow("order", [ok.task("a"), ok.task("ship", python="mended", retry=once), ok.task("b")], version="2")

    def ship():
        raise ok.TransientError("no answer")

    handlers = {**HANDLERS, "ship": ship, "mended": lambda: "sent"}
    with ok.Engine(tmp_path / "s.duckdb", handlers) as engine:
        run = engine.run(one, case_id="1")
        engine.retry(run, to=two, by="Ada").wait("30 s")
        again = engine.run(one, case_id="2")
        engine.retry(again, to=ok.workflow("order", [ok.task("c")]), from_start=True).wait("30 s")
        assert [run.status, again.status] == ["COMPLETED", "COMPLETED"]
        assert [names(run), names(again)] == [["a", "ship", "b"], ["a", "c"]]
        assert run.history()["status"].tolist().count("MIGRATED") == 1


def test_a_difference_is_a_table_and_a_picture():
    one = ok.workflow(
        "order", [ok.task("pay"), ok.scope([ok.task("pack"), ok.task("old")], name="box"), ok.task("gone")]
    )
    two = ok.workflow(
        "order",
        [ok.task("check"), ok.task("pay", timeout="1 min"), ok.scope([ok.task("pack"), ok.task("new")], name="box")],
        version="2",
        sla="1 h",
    )
    found = ok.diff(one, two)

    changes = {(row.change, row.what, row.name_) for row in found.table.rename(columns={"name": "name_"}).itertuples()}
    assert ("added", "node", "check") in changes
    assert ("removed", "node", "gone") in changes
    assert ("changed", "node", "pay") in changes
    assert ("added", "node", "new") in changes
    assert ("removed", "flow", "box -> gone") in changes
    assert ("added", "workflow", "order") in changes  # its sla
    assert not ok.diff(one, one)
    drawn = ok.draw(found.workflow).text
    for name in ("+ check", "− gone", "± pay", "+ new", "− old"):  # noqa: RUF001 -- a minus sign
        assert name in drawn
    assert "image/svg+xml" in found._repr_mimebundle_()


def test_a_trace_draws_its_runs_with_how_they_are():
    child = ok.workflow("deliver", [ok.task("ship")])
    with ok.Engine(handlers=HANDLERS) as engine:
        run = engine.run(ok.workflow("order", [ok.call(child), ok.task("a")]), case_id="A-1")
        found = ok.trace(engine, run)
        with pytest.raises(ok.RunNotFound, match="no trace and no run 'x'"):
            ok.trace(engine, "x")

    assert found.runs[["workflow", "status"]].to_numpy().tolist() == [["order", "COMPLETED"], ["deliver", "COMPLETED"]]
    assert found.links[["kind", "name"]].to_numpy().tolist() == [["call", "deliver"]]
    assert found.node_statuses == {"order A-1": "COMPLETED", "deliver A-1": "COMPLETED"}
    assert "image/svg+xml" in found._repr_mimebundle_()


def test_a_run_that_was_called_migrates_and_its_caller_goes_on_after_a_restart(tmp_path):
    child = ok.workflow("child", [ok.wait_for(callback="paid"), ok.task("ship")])
    mended = ok.workflow("child", [ok.wait_for(callback="paid"), ok.task("weigh"), ok.task("ship")], version="2")
    parent = ok.workflow("parent", [ok.call("child", name="deliver"), ok.task("bill")], workflows=[child])
    handlers = {"ship": lambda: "sent", "weigh": lambda: 7, "bill": lambda deliver: deliver["weigh"]}
    with ok.Engine(tmp_path / "s.duckdb", handlers) as engine:
        run = engine.start(parent, case_id="A-1")
        called = engine.get(engine.runs().query("workflow == 'child'")["run_id"].item())
        assert engine.preview_migration(called, mended) == []
        engine.migrate(called, mended, by="Ada")
    with ok.Engine(tmp_path / "s.duckdb", handlers) as engine:
        engine.complete(called.id, "paid")

        assert engine.get(run.id).wait("30 s").variables["bill"] == 7
        assert engine.get(called.id).steps()["activity"].tolist() == ["paid", "weigh", "ship"]
