"""The gateway's answers that need no broker: who may come in, what is refused and how, and its own description."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from producers.audit import broken_at, read
from producers.gateway.draft import MEMBERS
from producers.gateway.guard import route_of
from producers.gateway.openapi import description, downgraded
from producers.gateway.refusal import PROBLEMS, URN, Language, preferred
from producers.sequences import Sequences
from schemas.log import Record
from schemas.report import Kind, Millis, Offset
from schemas.topics import REPORTS
from tests.support.gateway import CLERK, FRONT, NOW, OTHER, SUPERIOR, Bench, report
from tests.support.signed import CATALOGUE, TESTING
from tests.support.signed import Draft as SignedDraft


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One for all tests that change nothing in it: proving a token is slow on purpose."""
    made = Bench(tmp_path_factory.mktemp("gateway"), burst=1e6)
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def client_of(bench: Bench) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url="http://gateway")


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(bench) as made:
        yield made


async def post(client: httpx.AsyncClient, headers: dict[str, str], content: Any) -> httpx.Response:
    return await client.post("/v1/reports", headers=headers, json=content)


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem that an answer holds, which must be of that kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == URN + slug
    assert found["status"] == status
    return found


@pytest.mark.parametrize("authorization", ["", "Basic x", "Bearer", "Bearer x", "Bearer cs_c1-vp_00", "Bearer cs__"])
async def test_without_a_token_that_stands_nothing_is_told(client: httpx.AsyncClient, authorization: str) -> None:
    for path in ("/v1/receipts?unit=c1", "/v1/forms", "/v1/units", "/v1/series", "/v1/keys", "/v1/receipts/0-1"):
        answer = await client.get(path, headers={"Authorization": authorization} if authorization else {})
        problem(answer, 401, "not-logged-in")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_revoked_token_and_unbound_account_come_in_no_more(fresh: Bench) -> None:
    headers = fresh.headers()
    async with client_of(fresh) as client:
        assert (await client.get("/v1/forms", headers=headers)).status_code == 200
        fresh.accounts.revoke(CLERK, fresh.now)
        problem(await client.get("/v1/forms", headers=headers), 401, "not-logged-in")
        fresh.now = Millis(0)
        problem(await client.get("/v1/forms", headers=fresh.headers(OTHER)), 403, "not-allowed")


async def test_account_neither_writes_for_nor_reads_another_commune(client: httpx.AsyncClient, bench: Bench) -> None:
    headers = bench.headers(OTHER)
    problem(await post(client, headers, report()), 403, "not-allowed")
    for path in (
        "/v1/receipts?unit=c1",
        "/v1/keys?unit=c1",
        "/v1/obligations?unit=c1",
        "/v1/series?unit=c1&form=testing-small&period=2021-12-13",
    ):
        problem(await client.get(path, headers=headers), 403, "not-allowed")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (FRONT, report()),
        (FRONT, report(unit="A")),
        (SUPERIOR, report()),
        (CLERK, report(entered_by="D")),
        (OTHER, report(unit="c2", form="testing-daily")),
        (SUPERIOR, report(unit="L", entered_by="D")),
    ],
)
async def test_what_no_binding_allows_is_refused(
    client: httpx.AsyncClient, bench: Bench, name: Any, content: dict[str, Any]
) -> None:
    problem(await post(client, bench.headers(name), content), 403, "not-allowed")


async def test_supervisor_reads_below_and_not_beside(client: httpx.AsyncClient, bench: Bench) -> None:
    assert (await client.get("/v1/keys?unit=c1", headers=bench.headers(FRONT))).json()["keys"][0]["unit"] == "c1"
    problem(await client.get("/v1/keys?unit=L", headers=bench.headers(FRONT)), 403, "not-allowed")


async def test_gaps_that_the_operator_found_are_shown_to_the_sender(fresh: Bench) -> None:
    async with client_of(fresh) as client:
        assert (await client.get("/v1/keys?unit=c1", headers=fresh.headers())).json()["keys"][0]["sequence"] is None
        signed = SignedDraft(sequence=3).record()
        sequences = Sequences(fresh.folder / "sequences.sqlite")
        sequences.take([Record(REPORTS, 0, Offset(0), NOW, signed.key, signed.value, signed.headers)], CATALOGUE,
                       fresh.registers)  # fmt: skip
        sequences.close()
        (key,) = (await client.get("/v1/keys?unit=c1", headers=fresh.headers())).json()["keys"]
    assert key["sequence"] == {"highest": 3, "gaps": [{"first": 1, "last": 2}], "forks": []}


async def test_audit_log_that_cannot_be_written_is_no_bug_and_the_request_may_be_repeated(fresh: Bench) -> None:
    fresh.audit.path.unlink(missing_ok=True)
    fresh.audit.path.mkdir()
    async with client_of(fresh) as client:
        answer = await post(client, fresh.headers(), report(form="none"))
    assert "audit log can't be written" in problem(answer, 503, "away")["detail"]
    assert answer.headers["retry-after"] == "5"
    assert str(fresh.folder) not in answer.text


async def test_idempotency_key_is_needed_and_must_be_one(client: httpx.AsyncClient, bench: Bench) -> None:
    headers = bench.headers()
    headers.pop("Idempotency-Key")
    problem(await post(client, headers, report()), 400, "idempotency-key-missing")
    for bad in ('"', '""', '"a"b"', "a b", "x" * 256):
        headers["Idempotency-Key"] = bad
        problem(await post(client, headers, report()), 400, "bad-request")


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        ({"form": "no-such"}, "/form", "unknown_form"),
        ({"form": 3}, "/form", "header_invalid"),
        ({"unit": ""}, "/unit", "header_invalid"),
        ({"kind": "delta"}, "/kind", "header_invalid"),
        ({"revision": 3}, "/revision", "header_invalid"),
        ({"rows": {}}, "/rows", "kind_rows"),
        ({"rows": []}, "/rows", "kind_rows"),
        ({"rows": [3]}, "/rows/0", "kind_rows"),
        ({"rows": [{**TESTING, "persons": "16"}]}, "/rows/0/persons", "value_range"),
        ({"rows": [{**TESTING, "persons": 1.5}]}, "/rows/0/persons", "value_range"),
        ({"rows": [{**TESTING, "persons": True}]}, "/rows/0/persons", "value_range"),
        ({"rows": [{**TESTING, "persons": 10**30}]}, "/rows/0/persons", "value_range"),
        ({"rows": [{**TESTING, "persons": None}]}, "/rows/0/persons", "value_missing"),
        ({"rows": [{**TESTING, "method": 1}]}, "/rows/0/method", "unknown_code"),
        ({"rows": [{**TESTING, "extra": 1}]}, "/rows/0/extra", "header_invalid"),
        ({"rows": [{**TESTING, "method": "no-such"}]}, "", "unknown_code"),
        ({"rows": [TESTING, TESTING]}, "", "duplicate_row"),
        ({"kind": "nil"}, "/rows", "kind_rows"),
        ({"period": "20211213"}, "/period", "period_invalid"),
        ({"period": "2031-12-13"}, "/period", "period_future"),
        ({"issued_at": "yesterday"}, "/issued_at", "header_invalid"),
        ({"issued_at": "2021-12-13T10:00:00"}, "/issued_at", "header_invalid"),
        ({"after_revision": -1}, "/after_revision", "header_invalid"),
        ({"narrative": ["a"]}, "/narrative", "header_invalid"),
        ({"rows": [{**TESTING, "positive_persons": 151}]}, "", "check_failed"),
    ],
)
async def test_report_that_ingest_would_reject_is_refused_with_place_and_reason(
    client: httpx.AsyncClient, bench: Bench, change: dict[str, Any], pointer: str, reason: str
) -> None:
    found = problem(await post(client, bench.headers(), report(**change)), 422, "report-invalid")
    assert (found["errors"][0]["pointer"], found["errors"][0]["reason"]) == (pointer, reason)
    assert found["detail"]


async def test_everything_wrong_with_the_shape_is_told_at_once(client: httpx.AsyncClient, bench: Bench) -> None:
    content = report(kind="x", rows=[{**TESTING, "persons": "a"}, {**TESTING, "tubes": None}])
    found = problem(await post(client, bench.headers(), content), 422, "report-invalid")
    assert {error["pointer"] for error in found["errors"]} == {"/kind", "/rows/0/persons", "/rows/1/tubes"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b"null", b"\xff", b"[" * 100_000, b'{"reports": []}', b'{"reports": 3}',
     b'{"form": "\\ud800"}', b'{"form": NaN}', b'{"reports": [1], "more": 1}', b'{"a": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
async def test_no_bytes_make_the_gateway_stumble(client: httpx.AsyncClient, bench: Bench, body: bytes) -> None:
    for kind in ("application/json", "application/avro", "text/csv"):
        headers = bench.headers(Content_Type=kind)
        answer = await client.post("/v1/reports", headers=headers, content=body)
        assert answer.status_code in (400, 415, 422)
        assert answer.json()["detail"]


async def test_what_is_too_large_is_refused_before_it_is_read(client: httpx.AsyncClient, bench: Bench) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * (1 << 20)

    answer = await client.post("/v1/reports", headers=bench.headers(Content_Type="application/json"), content=flood())
    problem(answer, 413, "too-large")
    narrative = {"note": "a" * (1 << 20)}
    problem(await post(client, bench.headers(), report(narrative=narrative)), 413, "too-large")


async def test_batch_of_nothing_good_has_a_problem_each(client: httpx.AsyncClient, bench: Bench) -> None:
    content = {"reports": [report(unit="c2"), report(kind="x"), {"value": "?", "headers": {"sig": ""}}]}
    answer = await post(client, bench.headers(), content)
    assert answer.status_code == 207
    found = answer.json()
    assert (found["acknowledged"], found["refused"]) == (0, 3)
    assert [result["status"] for result in found["results"]] == [403, 422, 422]
    assert found["results"][1]["problem"]["errors"][0]["pointer"] == "/reports/1/kind"


async def test_rate_of_an_account_is_bounded_and_that_of_others_untouched(fresh: Bench) -> None:
    batch = {"reports": [report(kind="x")] * 1000}
    async with client_of(fresh) as client:
        assert (await post(client, fresh.headers(), batch)).status_code == 207
        answer = await post(client, fresh.headers(), batch)
        problem(answer, 429, "too-many-requests")
        assert answer.headers["retry-after"] == "25"
        assert (await client.get("/v1/forms", headers=fresh.headers(OTHER))).status_code == 200
        fresh.now = Millis(fresh.now + 25_000)
        assert (await post(client, fresh.headers(), batch)).status_code == 207


async def test_altered_and_foreign_signed_reports_are_refused(client: httpx.AsyncClient, bench: Bench) -> None:
    def signed(draft: SignedDraft) -> dict[str, Any]:
        record = draft.record()
        headers = {name: value.decode() for name, value in record.headers if name != "sig"}
        headers["sig"] = base64.b64encode(dict(record.headers)["sig"]).decode()
        return {"value": base64.b64encode(record.value).decode(), "headers": headers}

    content = {"reports": [
        signed(SignedDraft(flip_signature=True)), signed(SignedDraft(signer="c2")), signed(SignedDraft(unit="c2")),
        signed(SignedDraft(principal="d-vp")), signed(SignedDraft(kid="kid-no-such-1")),
    ]}  # fmt: skip
    found = (await post(client, bench.headers(), content)).json()["results"]
    assert [result["status"] for result in found] == [403] * 5
    reasons = [result["problem"].get("reason") for result in found]
    assert reasons == ["bad_signature", "not_authorised", None, None, "unknown_key"]


async def test_problem_speaks_the_callers_language(client: httpx.AsyncClient, bench: Bench) -> None:
    headers = bench.headers()
    for wanted, title in (("en", "The report is not valid"), ("fr", "Báo cáo không hợp lệ")):
        headers["Accept-Language"] = wanted
        answer = await post(client, headers, report(kind="x"))
        assert answer.json()["title"] == title
    assert answer.headers["content-language"] == "vi"


@pytest.mark.parametrize(
    ("header", "language"),
    [(None, "vi"), ("en-GB,vi;q=0.5", "en"), ("en;q=0.3, vi;q=0.4", "vi"), ("de, en;q=0.1", "en"), ("en;q=x", "vi")],
)
def test_language_wanted_most(header: str | None, language: str) -> None:
    assert preferred(header) is Language(language)


async def test_request_id_is_the_callers_where_it_is_plain(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
    made = (await client.get("/v1", headers={"X-Request-Id": "a b"})).headers["x-request-id"]
    assert made != "a b"
    assert made


async def test_unknown_addresses_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    problem(await client.get("/v2"), 404, "not-found")
    answer = await client.delete("/v1/reports")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


async def test_questions_that_can_not_be_understood_are_refused(client: httpx.AsyncClient, bench: Bench) -> None:
    for path in ("units?line=x", "receipts", "receipts?unit=c1&since=x", "obligations",
                 "obligations?unit=c1&from=x", "obligations?unit=c1&from=2021-12-13&to=2022-12-13",
                 "receipts?unit=c1&limit=0", "units?day=1", "units?limit=٣",
                 "series?unit=c1&form=x&period=y", "series?unit=c1&form=x&period=2021-12-13&scope=z"):  # fmt: skip
        problem(await client.get(f"/v1/{path}", headers=bench.headers()), 400, "bad-request")
    for path in ("receipts/x", "receipts/0-99", "forms/x", "forms/x/schema", "units/x"):
        problem(await client.get(f"/v1/{path}", headers=bench.headers()), 404, "not-found")


async def test_forms_and_units_are_told(client: httpx.AsyncClient, bench: Bench) -> None:
    headers = bench.headers()
    form = (await client.get("/v1/forms/testing-small?day=2021-12-13", headers=headers)).json()
    assert {code["code"] for code in form["dimensions"][0]["codes"]} >= {"antigen", "rt-pcr"}
    assert "testing-small" in {one["id"] for one in (await client.get("/v1/forms", headers=headers)).json()["forms"]}
    schema = await client.get("/v1/forms/testing-small/schema?day=2021-12-13", headers=headers)
    assert schema.headers["content-type"] == "application/schema+json"
    assert schema.json()["properties"]["form"] == {"const": "testing-small"}
    assert set(schema.json()["properties"]) == set(MEMBERS)
    below = (await client.get("/v1/units?under=D&day=2021-12-13", headers=headers)).json()["units"]
    assert [unit["code"] for unit in below] == ["c1", "c2", "c3", "e1"]
    one = (await client.get("/v1/units/c3?day=2021-12-14", headers=headers)).json()
    assert (one["name"], one["superior"]) == ("Xã Hồ Thầu Mới", "A")


async def test_audit_log_tells_logins_and_refusals_and_no_secret(fresh: Bench) -> None:
    wrong = "cs_c1-vp_" + "f" * 48
    async with client_of(fresh) as client:
        await post(client, fresh.headers(OTHER), report())
        await client.get("/v1/forms", headers={"Authorization": f"Bearer {wrong}"})
    path = fresh.folder / "audit.log"
    lines = list(read(path))
    assert [line["event"] for line in lines] == ["login", "refusal", "login_refused"]
    assert (lines[1]["unit"], lines[1]["principal"]) == ("c1", OTHER)
    assert broken_at(path) is None
    secrets = [token.rpartition("_")[2] for token in (*fresh.tokens.values(), wrong)]
    assert not any(secret in path.read_text() for secret in secrets)


async def test_description_is_served_in_both_versions(client: httpx.AsyncClient) -> None:
    newer, older = (await client.get("/v1/openapi.json")).json(), (await client.get("/v1/openapi-3.0.json")).json()
    assert (newer["openapi"], older["openapi"]) == ("3.1.0", "3.0.3")
    assert newer == json.loads(json.dumps(description()))


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            if name == "$ref":
                yield child
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def types_in(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        if "type" in node and not isinstance(node["type"], dict):
            yield node["type"]
        for child in node.values():
            yield from types_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from types_in(child)


def test_every_address_of_the_description_has_a_name_of_its_own_in_the_metrics() -> None:
    paths = [re.sub(r"\{\w+\}", "03390", path) for path in description()["paths"]]
    names = [route_of(path) for path in paths]
    assert "other" not in names
    assert len(set(names)) == len(paths)
    assert not any("03390" in name for name in names)


def test_every_reference_of_the_description_leads_somewhere() -> None:
    document = description()
    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place


def test_older_description_has_nothing_that_came_later() -> None:
    older = downgraded(description())
    assert all(isinstance(kind, str) for kind in types_in(older))
    assert '"null"' not in json.dumps(older)
    assert '"examples"' not in json.dumps(older)
    assert older["components"]["schemas"]["Report"]["properties"]["entered_by"]["nullable"] is True


def test_every_route_is_described_and_no_other(bench: Bench) -> None:
    routes = {(route.path, method) for route in bench.app.routes for method in route.methods - {"HEAD"}}  # type: ignore[attr-defined]
    described = {(path, method.upper()) for path, item in description()["paths"].items() for method in item}
    about = {"/v1", "/v1/openapi.json", "/v1/openapi-3.0.json", "/healthz"}
    assert described == {route for route in routes if route[0] not in about}


def test_every_problem_is_documented_with_both_titles_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 5]
    listed = [line for line in listed if line.split("|")[2].strip().isdigit()]
    assert listed == [f"| `{slug.value}` | {status} | {vi} | {en} |" for slug, (status, (vi, en)) in PROBLEMS.items()]


def test_kinds_of_the_description_are_those_of_reports() -> None:
    kinds = description()["components"]["schemas"]["Report"]["properties"]["kind"]["enum"]
    assert kinds == [kind.value for kind in Kind]
