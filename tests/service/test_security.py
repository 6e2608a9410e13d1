"""What the service refuses: each refusal is a problem, is in the log, and has changed nothing."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
from urllib.parse import urlsplit

import pytest

import orchkit as ok
from tests.service.conftest import SECRET, Served, problem


@pytest.fixture
def unchanged(served):
    """Check that a test has left nothing in the history and no run."""
    before = served.engine.last_seq()
    yield
    assert served.engine.last_seq() == before


def logged(served, answer):
    """Return the line of the log about an answer."""
    request = answer.headers["x-request-id"]
    (line,) = [line for line in served.lines if line.get("request") == request]
    return line


def raw(served, method, target, headers=(), body=None):
    """Send a request as it is: clients mend paths and hosts."""
    connection = http.client.HTTPConnection(urlsplit(served.service.url).netloc, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True)
        for name, value in {"Host": "localhost", **dict(headers)}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


ORDER = {"workflow": "order", "case_id": "never", "inputs": {"address": "Oslo"}}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, "token-missing"),
        ("Basic YWRhOmFkYQ==", "token-malformed"),
        ("Bearer", "token-malformed"),
        ("Bearer ok_00000000_wrong", "token-wrong"),
        ("Bearer \xff\xfe", "token-wrong"),
    ],
)
def test_who_has_no_token_is_refused(served, header, kind):
    with served.client() as client:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        told = client.post("/v1/runs", json=ORDER, headers=headers)

    problem(told, 401, kind)
    assert told.headers["www-authenticate"].startswith("Bearer")
    assert (logged(served, told)["reason"], logged(served, told)["event"]) == (kind, "refused")


@pytest.mark.usefixtures("unchanged")
def test_a_token_with_a_character_more_or_less_or_other_is_refused(served):
    token = served.tokens["admin"]
    for text in (token[:-1], token + "A", token[:-1] + ("A" if token[-1] != "A" else "B"), token.replace("ok_", "xx_")):
        with served.client(text) as client:
            problem(client.get("/v1/runs"), 401, "token-wrong")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("role", "method", "path"),
    [
        ("read", "POST", "/v1/runs"),
        ("read", "POST", "/v1/events"),
        ("read", "POST", "/v1/runs/0123456789abcdef/callbacks/complete"),
        ("read", "DELETE", "/v1/schedules/nightly"),
        ("operate", "PUT", "/v1/workflows"),
        ("operate", "GET", "/v1/tokens"),
        ("operate", "POST", "/v1/tokens"),
    ],
)
def test_a_role_that_does_not_suffice_is_refused_before_the_body_is_read(served, role, method, path):
    told = served.clients[role].request(method, path, content=b"{not even json")

    problem(told, 403, "role-missing")
    assert logged(served, told)["token"] == served.tokens[role].split("_")[1]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "target",
    [
        "/v1/workflows/../../etc/passwd",
        "/v1/workflows/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v1/workflows/%252e%252e%252fetc",
        "/v1/workflows/..",
        "/v1/workflows/a%00b",
        "/v1/workflows/..%5c..%5cwindows",
    ],
)
def test_a_path_that_climbs_is_refused(served, target):
    status, told = raw(served, "GET", target, {"Authorization": f"Bearer {served.tokens['admin']}"})

    assert (status, told["type"]) == (400, "urn:orchkit:problem:bad-path")
    assert served.lines[-1]["reason"] == "bad-path"


@pytest.mark.usefixtures("unchanged")
def test_the_text_of_a_workflow_is_never_the_path_of_a_file(admin, tmp_path):
    (tmp_path / "other.yaml").write_text("workflow: other\nsteps: [{task: ship}]\n")

    for text in (str(tmp_path / "other.yaml"), "/etc/passwd"):
        told = admin.put("/v1/workflows", content=text, headers={"Content-Type": "application/yaml"})
        assert "root:" not in problem(told, 409, "workflow-refused")["detail"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE history",
        "DELETE FROM history",
        "INSERT INTO meta VALUES ('a', 'b')",
        "WITH gone AS (INSERT INTO meta VALUES ('a', 'b') RETURNING *) FROM gone",
        "EXPLAIN ANALYZE DELETE FROM history",
        "SELECT 1; DROP TABLE history",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "ATTACH '/tmp/other.duckdb' AS other",
        "COPY history TO '/tmp/history.csv'",
        "EXPORT DATABASE '/tmp/all'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM 'http://127.0.0.1/x.csv'",
        "SET memory_limit = '1GB'",
        "PRAGMA enable_profiling",
        "CREATE TEMP TABLE t AS SELECT 1",
        "SELECT * FROM sqlite_scan('/etc/passwd', 'x')",
        "CALL pragma_version()",
        "SELECT getenv('HOME')",
    ],
)
def test_sql_that_writes_or_reaches_outside_is_refused(served, read, query):
    told = read.post("/v1/sql", json={"query": query})

    assert "root:" not in problem(told, 409, "query-refused")["detail"]
    assert logged(served, told)["reason"] == "query-refused"


def gigabyte():
    part = b"x" * (1 << 20)
    for _ in range(1_024):
        yield part


@pytest.mark.usefixtures("unchanged")
def test_a_body_of_a_gigabyte_is_refused_whether_or_not_it_says_how_long_it_is(served, operate):
    told = operate.post("/v1/runs", content=gigabyte(), headers={"Content-Type": "application/json"})
    problem(told, 413, "body-too-large")
    assert logged(served, told)["reason"] == "body-too-large"

    said = {"Content-Type": "application/json", "Content-Length": str(1 << 30)}
    status, told = raw(served, "POST", "/v1/runs", {**said, "Authorization": f"Bearer {served.tokens['operate']}"})
    assert (status, told["type"]) == (413, "urn:orchkit:problem:body-too-large")


def test_a_body_that_does_not_come_is_not_waited_for():
    served = Served(limits=ok.Limits(body_s=0.1))
    try:
        said = {"Content-Type": "application/json", "Content-Length": "100"}
        status, told = raw(served, "POST", "/v1/runs", {**said, "Authorization": f"Bearer {served.tokens['operate']}"})
        assert (status, told["type"]) == (408, "urn:orchkit:problem:body-too-slow")
    finally:
        served.close()


@pytest.mark.usefixtures("unchanged")
def test_a_name_that_is_not_ours_is_refused(served):
    token = {"Authorization": f"Bearer {served.tokens['admin']}"}
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "localhost:80:80"):
        status, told = raw(served, "GET", "/v1/runs", {"Host": host, **token})
        assert (status, told["type"]) == (421, "urn:orchkit:problem:misdirected-request")
    assert raw(served, "GET", "/health/live", {"Host": "localhost:8321"})[0] == 200


@pytest.mark.usefixtures("unchanged")
def test_a_page_from_elsewhere_gets_no_leave(served):
    with served.client() as client:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        told = client.options("/v1/runs", headers=asked)
        simple = client.post("/v1/runs", content="{}", headers={"Content-Type": "text/plain"})

    assert not [name for name in told.headers if name.startswith("access-control-")]
    problem(simple, 401, "token-missing")


@pytest.mark.usefixtures("unchanged")
def test_a_token_in_a_url_is_refused_and_not_logged(served):
    token = served.tokens["read"]
    with served.client() as client:
        told = client.get("/v1/runs", params={"access_token": token})

    problem(told, 400, "token-in-url")
    assert token not in served.log.getvalue()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "malformed-body"),
        (b"\xff\xfe", 400, "malformed-body"),
        (b'{"workflow": "order", "inputs": {"address": NaN}}', 400, "malformed-body"),
        (b'{"workflow": "order", "inputs": {"address": 1e999}}', 400, "malformed-body"),
        (b'{"workflow": "order", "inputs": {"address": ' + b"9" * 5_000 + b"}}", 400, "malformed-body"),
        (b'{"workflow": "order", "inputs": ' + b'{"a":' * 9_000 + b"1" + b"}" * 9_001, 400, "malformed-body"),
        (b'{"workflow": "order", "inputs": {"address": "\\ud800"}}', 400, "malformed-body"),
        (b'{"workflow": "order\\u0000"}', 422, "not-valid"),
        (b'{"workflow": "order", "inputs": [1]}', 422, "not-valid"),
        (b'{"workflow": "order", "inputs": {}, "more": 1}', 422, "not-valid"),
        (b"", 422, "not-valid"),
        (b"null", 422, "not-valid"),
    ],
)
def test_what_is_not_what_it_should_be_is_refused_and_never_a_failure(operate, body, status, kind):
    problem(operate.post("/v1/runs", content=body, headers={"Content-Type": "application/json"}), status, kind)


@pytest.mark.usefixtures("unchanged")
def test_another_kind_of_body_is_refused(operate, admin):
    problem(operate.post("/v1/runs", content=b"{}", headers={"Content-Type": "text/plain"}), 415, "not-json")
    problem(operate.post("/v1/runs", content=b"{}"), 415, "not-json")
    problem(admin.put("/v1/workflows", json={"workflow": "w"}), 415, "not-yaml")


@pytest.mark.usefixtures("unchanged")
def test_a_cursor_that_is_none_is_refused(read):
    for cursor in ("x", "1", "1-", "1-1-1", "9" * 30 + "-1", "-1-1", "%00"):
        problem(read.get("/v1/runs", params={"cursor": cursor}), 422, "not-valid")


def test_what_is_odd_and_well_formed_is_kept_as_it_is(served, operate):
    odd = {"nul": "a\0b", "emoji": "😀", "large": 2**70, "empty": "", "deep": [[[[[[1]]]]]]}
    run_id = operate.post("/v1/runs", json={"workflow": "parcel", "case_id": "odd 😀", "inputs": odd}).json()["run_id"]

    told = operate.get(f"/v1/runs/{run_id}").json()

    assert {name: told["variables"][name] for name in odd} == odd
    assert operate.get("/v1/runs", params={"case_id": "odd 😀"}).json()["runs"][0]["run_id"] == run_id
    assert served.engine.log("parcel").cases["case_id"].tolist().count("odd 😀") == 1


def test_a_secret_is_in_no_answer_no_row_and_no_line(served, operate):
    order = {"workflow": "order", "case_id": "leak", "inputs": {"address": "secret"}}
    run_id = operate.post("/v1/runs", json=order).json()["run_id"]
    served.engine.wait(run_id, "30 s")
    parcel = {"workflow": "parcel", "case_id": "leak", "inputs": {"note": f"Bearer {SECRET}"}}
    waiting = operate.post("/v1/runs", json=parcel).json()["run_id"]

    told = [
        operate.get(f"/v1/runs/{found}{part}") for found in (run_id, waiting) for part in ("", "/history", "/steps")
    ]
    told += [operate.get(f"/v1/workflows/{SECRET}"), operate.get("/v1/dead-letters", params={"failed": "true"})]
    told += [operate.post("/v1/sql", json={"query": query}) for query in ("FROM history", f"SELECT {SECRET}")]

    rows = served.engine.sql("FROM history").to_csv()
    assert "401 for Bearer ***" in told[0].text
    assert [SECRET in text for text in (*(one.text for one in told), rows, served.log.getvalue())] == [False] * 12


def test_a_token_is_in_no_row_and_no_line_and_only_its_hash_is_kept(served, read):
    read.get("/v1/nothing")
    rows = served.engine.sql("FROM history WHERE kind = 'token'").to_csv()

    for token in served.tokens.values():
        secret = token.split("_", 2)[2]
        assert (secret in rows, secret in served.log.getvalue()) == (False, False)
        assert hashlib.sha256(secret.encode()).hexdigest() in rows


def test_a_token_where_none_belongs_is_not_written_down(served, read):
    told = read.get(f"/v1/workflows/{served.tokens['admin']}")

    assert logged(served, told)["path"] == "/v1/workflows/***"


def test_what_fails_inside_is_told_to_the_log_only():
    served = Served()
    try:
        served.service.backend.watch.close()
        object.__setattr__(served.service.backend, "watch", None)
        told = served.clients["read"].get("/v1/alerts")

        found = problem(told, 500, "internal")
        assert found["detail"] == "Something went wrong inside; the log of the service says what."
        (line,) = [line for line in served.lines if line["event"] == "failed"]
        assert (line["request"], "AttributeError" in line["error"]) == (told.headers["x-request-id"], True)
    finally:
        served.close()


def test_who_asks_too_often_is_told_when_to_ask_again():
    served = Served(limits=ok.Limits(requests_per_s=0.001, burst=3, strangers_per_s=0.001, strangers_burst=2))
    try:
        read, operate = served.clients["read"], served.clients["operate"]
        statuses = [read.get("/v1/alerts").status_code for _ in range(4)]
        told = read.get("/v1/alerts")

        assert statuses == [200, 200, 200, 429]
        problem(told, 429, "too-many-requests")
        assert 900 <= int(told.headers["retry-after"]) <= 1_001
        assert operate.get("/v1/alerts").status_code == 200  # each has its own
        with served.client() as stranger:
            assert [stranger.get("/v1/alerts").status_code for _ in range(3)] == [401, 401, 429]
        assert served.lines[-1]["reason"] == "too-many-requests"
    finally:
        served.close()


def test_another_address_than_loopback_must_be_wanted():
    with pytest.raises(ok.InputError, match="not loopback"):
        ok.Service(None, host="0.0.0.0", port=0)


def test_a_proxys_name_is_answered_to_where_it_is_allowed():
    with ok.Service(None, port=0, allow_hosts=["flows.example"], log=io.StringIO()) as service:
        connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
        connection.request("GET", "/health/live", headers={"Host": "flows.example"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
        connection.close()
