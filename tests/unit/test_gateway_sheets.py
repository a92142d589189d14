"""Workbooks at the gateway, as far as no broker is needed: who may, what is said of each sheet, what is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import httpx
import openpyxl
import pytest

from producers.gateway.refusal import URN
from producers.sheets.writing import MEDIA_TYPE
from tests.support.gateway import CLERK, FRONT, OTHER, Bench
from tests.support.sheets import TESTING_HEAD, TESTING_LINE, xlsx

GOOD = xlsx([["Mã biểu", "testing-small"], ["Kỳ báo cáo", "13/12/2021"], [], TESTING_HEAD, TESTING_LINE])
BAD = xlsx([["Mã biểu", "testing-small"], ["Kỳ báo cáo", "13/12/2021"], [], TESTING_HEAD,
            ["antigen", "nước bọt", 1.5, 16, 0, 0]])  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("gateway"), burst=1e6)
    yield made
    made.close()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(bench.app), base_url="http://gateway") as made:
        yield made


async def post(client: httpx.AsyncClient, bench: Bench, content: bytes, query: str = "", name: Any = CLERK,
               language: str = "vi") -> httpx.Response:  # fmt: skip
    headers = bench.headers(name) | {"Content-Type": MEDIA_TYPE, "Accept-Language": language}
    return await client.post(f"/v1/sheets?unit=c1{query}", headers=headers, content=content)


async def test_preview_says_what_each_sheet_is(client: httpx.AsyncClient, bench: Bench) -> None:
    answer = await post(client, bench, GOOD, "&preview=1")
    assert answer.status_code == 200
    (sheet,) = answer.json()["sheets"]
    assert sheet == {"sheet": "Sheet", "state": "table", "form": "testing-small", "period": "2021-12-13", "rows": 1,
                     "notes": [], "errors": []}  # fmt: skip


@pytest.mark.parametrize(("language", "word"), [("vi", "phần lẻ"), ("en", "decimals")])
async def test_workbook_with_flaws_is_refused_with_every_cell_in_the_callers_language(
    client: httpx.AsyncClient, bench: Bench, language: str, word: str
) -> None:
    answer = await post(client, bench, BAD, language=language)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == f"{URN}sheet-invalid"
    assert [(one["cell"], one["reason"]) for one in problem["errors"]] == [("B5", "unknown-code"), ("C5", "decimal")]
    assert word in problem["errors"][1]["detail"]


async def test_preview_of_a_flawed_workbook_names_the_same_cells(client: httpx.AsyncClient, bench: Bench) -> None:
    (sheet,) = (await post(client, bench, BAD, "&preview=1")).json()["sheets"]
    assert (sheet["state"], [one["cell"] for one in sheet["errors"]]) == ("flawed", ["B5", "C5"])


async def test_what_is_no_workbook_is_a_problem_with_its_trouble(client: httpx.AsyncClient, bench: Bench) -> None:
    answer = await post(client, bench, b"<html></html>", "&preview=1")
    assert (answer.status_code, answer.json()["trouble"]) == (422, "web-page")
    assert answer.json()["type"] == f"{URN}sheet-unreadable"


async def test_multipart_form_may_carry_file_and_parameters(client: httpx.AsyncClient, bench: Bench) -> None:
    answer = await client.post("/v1/sheets", headers=bench.headers(), data={"unit": "c1", "preview": "1"},
                               files={"file": ("a.xlsx", GOOD, MEDIA_TYPE)})  # fmt: skip
    assert answer.json()["sheets"][0]["state"] == "table"
    broken = bench.headers() | {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (
        b"",
        b"--y",
        b"--x\r\n\r\n",
        b"--x\r\nContent-Disposition: form-data; name=unit\r\n\r\nc1\r\n--x--\r\n",
    ):
        assert (await client.post("/v1/sheets", headers=broken, content=content)).status_code == 400


async def test_marked_copy_has_the_bad_cells_in_red_with_their_reasons(client: httpx.AsyncClient, bench: Bench) -> None:
    answer = await post(client, bench, BAD, "&marked=1")
    assert answer.headers["content-type"] == MEDIA_TYPE
    book = openpyxl.load_workbook(BytesIO(answer.content))
    assert book.sheetnames[0] == "Lỗi"
    cell = book["Sheet"]["C5"]
    assert cell.fill.start_color.rgb == "FFFFC7CE"
    assert "phần lẻ" in cell.comment.text


async def test_nobody_reads_or_sends_a_workbook_of_another_unit(client: httpx.AsyncClient, bench: Bench) -> None:
    for query in ("&preview=1", "", "&form=testing-small&map=x%3Dpersons"):
        assert (await post(client, bench, GOOD, query, OTHER)).status_code == 403
    assert (await client.get("/v1/sheets/c1?form=testing-small", headers=bench.headers(OTHER))).status_code == 403
    assert (await post(client, bench, GOOD, "&form=testing-small&map=x%3Dpersons", FRONT)).status_code == 403
    assert (await post(client, bench, GOOD, "", FRONT)).status_code in (403, 207)


async def test_without_a_key_nothing_is_sent(client: httpx.AsyncClient, bench: Bench) -> None:
    headers = bench.headers()
    headers.pop("Idempotency-Key")
    answer = await client.post("/v1/sheets?unit=c1", headers=headers, content=GOOD)
    assert answer.json()["type"] == f"{URN}idempotency-key-missing"


async def test_heading_is_mapped_once_and_remembered_for_the_unit(client: httpx.AsyncClient, bench: Bench) -> None:
    own = xlsx([["Cách làm", *TESTING_HEAD[1:]], TESTING_LINE])
    query = "&preview=1&form=testing-small&period=2021-12-13"
    (sheet,) = (await post(client, bench, own, query)).json()["sheets"]
    assert [one["reason"] for one in sheet["errors"]] == ["heading-missing"]
    (sheet,) = (await post(client, bench, own, f"{query}&map=C%C3%A1ch%20l%C3%A0m%3Dmethod")).json()["sheets"]
    assert sheet["state"] == "table"
    (sheet,) = (await post(client, bench, own, query)).json()["sheets"]
    assert sheet["state"] == "table"
    assert (await post(client, bench, own, f"{query}&map=x%3Dnone")).status_code == 400
    assert (await post(client, bench, own, "&preview=1&map=x%3Dmethod")).status_code == 400


async def test_workbook_of_named_forms_is_given(client: httpx.AsyncClient, bench: Bench) -> None:
    path = "/v1/sheets/c1?on=2021-12-13&form=testing-small&form=testing-daily"
    answer = await client.get(path, headers=bench.headers())
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="c1-2021-12-13.xlsx"'
    assert len(openpyxl.load_workbook(BytesIO(answer.content)).sheetnames) == 5


@pytest.mark.parametrize(
    ("query", "status"),
    [("on=2021-12-13", 404), ("form=no-such", 404), ("on=x", 400), ("form=testing-small&period=2021-W50", 404),
     ("period=x", 400), ("line=x", 400), ("form=testing-small&on=1990-01-01", 404)],
)  # fmt: skip
async def test_workbook_of_nothing_is_refused_in_words(
    client: httpx.AsyncClient, bench: Bench, query: str, status: int
) -> None:
    answer = await client.get(f"/v1/sheets/c1?{query}", headers=bench.headers())
    assert answer.status_code == status
    assert answer.json()["detail"]
