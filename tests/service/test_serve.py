"""`orchkit serve` as a process: what its page says, how it stops, and that nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import orchkit as ok

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page):
    return FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a folder with the workflow and the handlers that the page shows."""
    found = tmp_path_factory.mktemp("service")
    for name in ("workflows", "spoilt"):
        (found / name).mkdir()
    (found / "spoilt" / "handlers.py").write_text("def")
    for kind, name in (("yaml", "order.yaml"), ("python", "handlers.py")):
        text = next(text for block, text in blocks("docs/service.md") if block == kind)
        (found / "workflows" / name).write_text(text, encoding="utf-8")
    return found


class Process:
    """`orchkit serve` on a free port."""

    def __init__(self, folder, store="state.duckdb", *options):
        command = [sys.executable, "-m", "orchkit.cli", "serve", store, "workflows", "--port", "0", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.folder, self.store = folder, folder / store
        self.child = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said = []
        for line in self.child.stdout:
            self.said.append(line.strip())
            if line.startswith("Serving"):
                break
        else:
            raise AssertionError(self.child.communicate()[1])
        self.url = self.said[-1].rpartition(" ")[2]
        self.token = next((line for line in self.said if line.startswith("ok_")), None)

    def client(self, token):
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def end(self, number):
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=60)
        return self.child.returncode, out, err


@pytest.fixture(scope="module")
def process(folder):
    found = Process(folder)
    yield found
    if found.child.poll() is None:
        found.end(signal.SIGKILL)


def agrees(said, told):
    """Return whether a value is what the page says; … stands for anything."""
    if said == "…":
        return True
    if isinstance(said, dict):
        return isinstance(told, dict) and said.keys() == told.keys() and all(agrees(said[k], told[k]) for k in said)
    if isinstance(said, list):
        return isinstance(told, list) and len(said) == len(told) and all(map(agrees, said, told))
    return said == told


def commands(page):
    """Return the commands of a page, each with the JSON that follows it, or None."""
    told = blocks(page)
    for (kind, text), (after, answer) in zip(told, [*told[1:], ("", "")], strict=True):
        if kind == "sh" and text.startswith("curl"):
            yield text, json.loads(answer) if after == "json" else None


def started(process, command):
    port = process.url.rpartition(":")[2]
    environment = {**os.environ, "TOKEN": process.token}
    shell = ["bash", "-c", f"exec {command.replace(':8321', f':{port}')}"]
    return subprocess.Popen(shell, env=environment, stdout=subprocess.PIPE, text=True)


def run(process, command):
    with started(process, command) as child:
        return child.communicate(timeout=60)[0]


def follow(process, command, sign):
    """Return the lines of a stream up to the one with a sign."""
    lines = []
    with started(process, command) as child:
        for line in child.stdout:
            lines.append(line)
            if sign in line:
                break
        child.kill()
    return lines


def test_the_commands_of_the_page_do_what_it_says(process):
    found = list(commands("docs/service.md"))

    assert len(found) == 7
    for command, said in found:
        if said is None:  # the stream
            told = follow(process, command, '"status":"COMPLETED"')
            assert told[2:4] == ["id: 1\n", "event: history\n"]
        else:
            told = run(process, command)
            assert agrees(said, json.loads(told)), f"{command}\n{told}"


def test_the_commands_of_the_readme_do_what_it_says(process):
    found = list(commands("README.md"))

    assert len(found) >= 2
    for command, said in found:
        told = json.loads(run(process, command))
        assert said is None or agrees(said, told), f"{command}\n{told}"


def test_every_route_of_the_page_is_there_and_the_other_way_round(process):
    paths = set(httpx.get(f"{process.url}/openapi.json").json()["paths"])
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    tops = {path.split("/")[2] for path in paths if path.startswith("/v1/")}

    assert {name for name in re.findall(r"/v1/([a-z-]+)", page) if name != "history"} == tops


def test_what_was_acknowledged_outlasts_a_kill_and_a_term_signal_closes_the_store(folder):
    text = (folder / "workflows" / "order.yaml").read_text().replace('"1"', '"2"')
    first = Process(folder, "killed.duckdb")
    with first.client(first.token) as client:
        deployed = client.put("/v1/workflows", content=text, headers={"Content-Type": "application/yaml"})
        started = [
            client.post("/v1/runs", json={"workflow": "order", "case_id": str(case), "inputs": {"address": "Oslo"}})
            for case in range(20)
        ]
    first.end(signal.SIGKILL)
    second = Process(folder, "killed.duckdb", "--no-deploy")
    with second.client(first.token) as client:
        known = client.get("/v1/runs").json()["runs"]
        for answer in started:
            path = f"/v1/runs/{answer.json()['run_id']}"
            done = client.post(f"{path}/callbacks/complete", json={"callback": "carrier"})
            assert (answer.status_code, done.status_code) == (201, 204)
        # The file is what it was when it was deployed first, so that it does not undo what came over HTTP.
        version = client.get("/v1/workflows/order").json()["version"]
        refused = client.put("/v1/workflows", content=text, headers={"Content-Type": "application/yaml"})
    code, out, err = second.end(signal.SIGTERM)

    assert (deployed.status_code, version, refused.status_code) == (200, "2", 403)
    assert sorted(int(run["case_id"]) for run in known) == list(range(20))
    assert (first.token is None, second.token) == (False, None)  # it is shown once
    assert (code, first.token in out + err, "Traceback" in err) == (0, False, False)
    assert not (folder / "killed.duckdb.wal").exists()
    with ok.Engine(folder / "killed.duckdb", handlers={"ship": lambda address: address}) as engine:
        for answer in started:
            assert engine.get(answer.json()["run_id"]).wait("30 s").status == "COMPLETED"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["state2.duckdb", "workflows", "--host", "0.0.0.0"], "--allow-remote"),
        (["state2.duckdb", "spoilt"], "handlers.py cannot be loaded: SyntaxError"),
        (["state2.duckdb", "nowhere"], "There is no folder 'nowhere'"),
        (["state2.duckdb", "workflows", "--secret", "crm"], "--secret takes a name and a value"),
        (["state2.duckdb", "workflows", "--secret", "crm=NOT_THERE"], "no environment variable 'NOT_THERE'"),
    ],
)
def test_wrong_use_is_said_in_words(folder, words, why, monkeypatch, capsys):
    from orchkit.cli import main  # noqa: PLC0415 -- the command line, in this process

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["orchkit", "serve", *words])
    with pytest.raises(SystemExit) as ended:
        main()

    assert (ended.value.code, why in capsys.readouterr().err) == (2, True)
    assert not (folder / "state2.duckdb").exists()


def test_tokens_are_made_listed_and_revoked_from_a_shell(tmp_path, monkeypatch, capsys):
    from orchkit.cli import app  # noqa: PLC0415 -- the command line, in this process

    monkeypatch.chdir(tmp_path)
    ok.Engine("state.duckdb").close()

    def told(*words):
        app(["token", *words], standalone_mode=False)
        return capsys.readouterr().out.strip()

    token = told("create", "state.duckdb", "dashboard", "--role", "operate")
    (listed,) = map(json.loads, told("list", "state.duckdb", "--json").splitlines())
    said = told("revoke", "state.duckdb", listed["token"])
    (after,) = map(json.loads, told("list", "state.duckdb", "--json").splitlines())

    assert (token.split("_")[1], listed["role"], listed["revoked"]) == (listed["token"], "operate", False)
    assert (said, after["revoked"]) == (f"{listed['token']} is revoked.", True)
