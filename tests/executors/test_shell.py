from __future__ import annotations

import sys
import time
from pathlib import Path

import orchkit as ok


def outcome(settings, variables=None, **more):
    steps = [ok.task("do", executor="shell", settings=settings, **more)]
    retry = ok.Retry(max_attempts=2, initial_delay="0s", multiplier=1)
    with ok.Engine() as engine:
        run = engine.run(ok.workflow("w", steps, retry=retry), variables or {}, case_id="A")
        return run.status.value, run.variables.get("do"), run.error, run.steps()


def python(text):
    return [sys.executable, "-c", text]


def test_the_result_has_code_and_what_was_written():
    status, result, _, _ = outcome({"command": python("print('hello')")})

    assert (status, result) == ("COMPLETED", {"code": 0, "stdout": "hello\n", "stderr": ""})


def test_a_value_is_never_more_than_one_word():
    command = f"{sys.executable} -c 'import sys; print(sys.argv[1:])' ${{name}}"

    _, result, _, _ = outcome({"command": command}, {"name": "x; rm -rf / '$(id)'"})

    assert result["stdout"] == """["x; rm -rf / '$(id)'"]\n"""


def test_json_that_the_command_writes_is_the_result():
    settings = {"command": python("import sys; print(sys.stdin.read())"), "input": '{"n": 1}', "parse": "json"}

    assert outcome(settings)[1] == {"n": 1}


def test_another_code_than_0_is_permanent_and_says_what_the_command_said():
    status, _, error, steps = outcome({"command": python("import sys; sys.exit('no such order')")})

    assert (status, len(steps)) == ("FAILED", 1)
    assert error.message == f"{sys.executable} ended with code 1: no such order"


def test_code_75_is_transient():
    status, _, error, steps = outcome({"command": python("import sys; sys.exit(75)")})

    assert (status, len(steps), error.error_class.value) == ("DEAD_LETTERED", 2, "transient")


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path):
    pid = tmp_path / "child"
    command = ["sh", "-c", f"sleep 600 & echo $! > {pid}; wait"]
    for timeout in ("300ms", "3 s", "30 s"):  # a busy machine may not have begun by then
        status, _, error, _ = outcome({"command": command}, timeout=timeout, retry=ok.Retry(max_attempts=1))
        assert (status, error.error_class.value) == ("DEAD_LETTERED", "timeout")
        if pid.exists() and pid.read_text():
            break

    end = time.monotonic() + 60  # what has been killed ends when the system gets round to it
    while _runs(int(pid.read_text())):
        assert time.monotonic() < end
        time.sleep(0.01)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_is_not_there_is_said():
    _, _, error, _ = outcome({"command": ["no-such-program"]})

    assert error.message == "no-such-program cannot be run: No such file or directory."
