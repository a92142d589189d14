"""The page's answers about obligations, findings, indicators and other lines, on the synthetic week of Tam Đường."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from html import unescape
from pathlib import Path

import httpx
import pytest

from consumers.dashboard.app import application
from consumers.dashboard.source import Source
from consumers.read_model.database import FILE_NAME
from schemas import words
from schemas.act import ACT_TYPE, Act, Decided, ObligationDecided, ReportReturned
from schemas.catalogue import ZONE
from schemas.codec import encode_act
from schemas.form import FormId
from schemas.log import Record
from schemas.period import PeriodText
from schemas.report import Millis, Offset
from schemas.signature import sign
from schemas.topics import ACTS
from schemas.unit import UnitCode
from tests.support.pages import Tables, words_of
from tests.support.read_model import OPERATOR, reading
from tests.support.released import released_catalogue
from tests.support.tam_duong import DISTRICT, TamDuong, sends, week

NOW = datetime(2021, 12, 20, 8, 0, tzinfo=ZONE)
ISSUED = "from=2021-12-13&to=2021-12-19&axis=issued"


def act_record(body: ObligationDecided | ReportReturned, at: datetime, offset: int) -> Record:
    millis = Millis(int(at.timestamp() * 1000))
    value = encode_act(Act(str(offset), millis, body))
    signed = sign(OPERATOR, key=body.unit.encode(), value=value, event_type=ACT_TYPE, event_id=str(offset), time="t")
    return Record(ACTS, 0, Offset(offset), millis, signed.key, signed.value, signed.headers)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The week with an extension and a return."""
    folder = tmp_path_factory.mktemp("pages")
    made = week(folder)
    with reading(folder / FILE_NAME) as model:
        sent = model.history(UnitCode("03394"), FormId("vaccination-daily"), PeriodText("2021-12-17"))
    wednesday, saturday = datetime(2021, 12, 15, 17, tzinfo=ZONE), datetime(2021, 12, 18, 9, tzinfo=ZONE)
    until = Millis(int(datetime(2021, 12, 24, 17, tzinfo=ZONE).timestamp() * 1000))
    town = ObligationDecided("green-zone", UnitCode("03390"), PeriodText("T:2021-12-14:vung-xanh"), Decided.EXTENDED,
                             until, UnitCode(DISTRICT), "chờ kết quả xét nghiệm")  # fmt: skip
    back = ReportReturned(sent[-1].source, UnitCode("03394"), until, UnitCode(DISTRICT), "thiếu số hủy")
    made.store.apply({(ACTS, 0): [act_record(town, wednesday, 1), act_record(back, saturday, 2)]})
    return folder


@pytest.fixture
async def client(data: Path) -> AsyncIterator[httpx.AsyncClient]:
    with closing(Source(data / FILE_NAME)) as source:
        transport = httpx.ASGITransport(application(source, lambda: NOW))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as made:
            yield made


async def test_who_is_missing_stands_first_with_all_that_one_call_must_ask_for(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106/obligations?{ISSUED}")).text
    chase = Tables(page).tables[0]
    assert chase[0] == ["Đơn vị", "Báo cáo chưa gửi", "Kỳ", "Hạn gửi"]
    giang = next(row for row in chase if row[0] == "Xã Bản Giang")
    assert giang[1:] == ["Báo cáo ngày kết quả tiêm vắc xin phòng COVID-19", "19/12", "17:30 19/12"]
    said = words_of(page)
    assert "Tính đến 08:00 ngày 20/12/2021, theo lúc đơn vị ký gửi." in said
    assert "Gửi chậm: 7 báo cáo" in said
    late = Tables(page).tables[1]
    assert ["Xã Khun Há", "Báo cáo ngày kết quả tiêm vắc xin phòng COVID-19", "14/12", "17:30 14/12",
            "09:20 ngày 15/12/2021", "Huyện Tam Đường nhập hộ"] in late  # fmt: skip


async def test_extensions_and_returns_are_shown_with_who_and_why(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106/obligations?{ISSUED}")).text
    eased = Tables(page).tables[2]
    assert ["Thị trấn Tam Đường", "Báo cáo đột xuất thiết lập vùng xanh trong 48 giờ", "14/12", "17:00 24/12",
            "được gia hạn", "Huyện Tam Đường gia hạn: chờ kết quả xét nghiệm"] in eased  # fmt: skip
    returned = next(row for row in eased if row[0].startswith("Xã"))
    assert returned[3:] == ["17:00 24/12", "chưa đến hạn", "Huyện Tam Đường yêu cầu chỉnh lý: thiếu số hủy"]
    sent = (await client.get("/units/03394?form=vaccination-daily&from=2021-12-17&to=2021-12-17")).text
    assert Tables(sent).tables[-1][-1][-1] == "có; yêu cầu chỉnh lý: thiếu số hủy"


async def test_counts_by_report_and_by_unit_are_those_of_the_list(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106/obligations?{ISSUED}")).text
    by_regime, by_unit = Tables(page).tables[-2:]
    lines = list(csv.DictReader(io.StringIO((await client.get(f"/api/obligations?unit=106&{ISSUED}&format=csv")).text)))
    for table in (by_regime, by_unit):
        assert table[-1] == ["Cộng", *(word if word != "0" else "" for word in table[-1][1:])]
        assert int(table[-1][1]) == len(lines) == 229
    statuses = ["in-time", "late", "missing", "extended", "open", "not-subject"]
    counts = [sum(line["status"] == status for line in lines) for status in statuses]
    assert [int(cell or 0) for cell in by_unit[-1][2:]] == counts
    summary = (await client.get(f"/api/obligations?unit=106&{ISSUED}&summary=1")).json()
    assert summary[-1]["owed"] == 229


async def test_as_of_the_morning_meeting_only_who_was_missing_then_is_chased(client: httpx.AsyncClient) -> None:
    asked = "from=2021-12-14&to=2021-12-14&as_of=2021-12-15T07:00&axis=issued"
    page = (await client.get(f"/units/106/obligations?{asked}")).text
    assert {row[0] for row in Tables(page).tables[0][1:] if row[0].startswith("Xã")} == {"Xã Khun Há"}
    assert "Như đã biết lúc 07:00 ngày 15/12/2021 (theo lúc đơn vị ký gửi)." in words_of(page)
    assert 'http-equiv="refresh"' not in page
    assert 'http-equiv="refresh"' in (await client.get("/units/106/obligations")).text


async def test_a_unit_sees_its_own_reports_with_what_became_of_each(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/03415/obligations?{ISSUED}")).text
    (table,) = Tables(page).tables
    monday = next(row for row in table if row[0].startswith("Báo cáo ngày kết quả tiêm") and row[1] == "13/12")
    assert monday[2:5] == ["chậm", "17:30 13/12", "18:05 ngày 13/12/2021"]


def test_every_unit_of_measure_of_a_released_form_has_a_vietnamese_word() -> None:
    units = {measure.unit for form in released_catalogue().forms for measure in form.measures}
    assert [unit for unit in sorted(units) if words.unit_of_measure(unit) == unit] == []


async def test_a_province_chases_by_district_and_stays_below_50_kb(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await client.get(f"/units/12/obligations?{ISSUED}")
    assert len(answer.content) < 50_000
    assert "Cần đôn đốc: " in words_of(answer.text)
    chase = Tables(answer.text).tables[0]
    muong_te = next(row for row in chase if row[0] == "Huyện Mường Tè")
    assert muong_te[1].startswith("Thị trấn Mường Tè, Xã ")
    assert muong_te[3] == "13/12, 14/12, 15/12, 16/12, 17/12, 18/12, 19/12"
    sizes = {name: len((await client.get(f"/units/106/{name}?{ISSUED}")).content) for name in
             ("obligations", "findings", "indicators")}  # fmt: skip
    styles = len((await client.get("/static/page.css")).content) + len((await client.get("/static/icon.svg")).content)
    assert max(sizes.values()) + styles < 50_000, sizes
    monkeypatch.setattr("consumers.dashboard.obligations.NAMED", 5)
    assert "đơn vị chưa gửi. Bấm vào một đơn vị" in words_of((await client.get(f"/units/12/obligations?{ISSUED}")).text)


async def test_findings_are_told_by_check_and_lead_to_the_figures(client: httpx.AsyncClient) -> None:
    page = (await client.get("/units/106/findings?from=2021-12-13&to=2021-12-19")).text
    rows = [row for table in Tables(page).tables for row in table]
    khun_ha = next(row for row in rows if row[0] == "Xã Khun Há" and "135" in row[1])
    assert "kỳ 14/12/2021" in khun_ha[1]
    assert re.search(r'href="/units/03430\?form=vaccination-daily&amp;from=2021-12-14&amp;to=2021-12-14', page)
    asked = "from=2021-12-15&to=2021-12-15&as_of=2021-12-15T16:30&axis=issued"
    twice = words_of((await client.get(f"/units/106/findings?{asked}")).text)
    assert "Xã Giang Ma" in twice
    assert "Xã Tả Lèng" in twice
    found = (await client.get("/api/findings?unit=106&from=2021-12-13&to=2021-12-19")).json()
    assert {one["check"] for one in found} >= {"two-senders-disagree"}


async def test_an_indicator_has_a_value_or_a_reason(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106/indicators?{ISSUED}")).text
    own, below = Tables(page).tables
    told = {row[0].split(" (")[0]: row for row in own[1:]}
    assert told["Tỷ lệ dương tính"][1:4] == ["0,72", "3", "416"]
    assert told["Tỷ lệ giường điều trị đang sử dụng"][1] == "chưa có báo cáo"
    assert [row[0] for row in below][:2] == ["Đơn vị", "Thị trấn Tam Đường"]
    lines = (await client.get(f"/api/indicators?unit=106&children=1&{ISSUED}")).json()
    assert all(bool(line["value"]) != bool(line["reason_vi"]) for line in lines)
    assert {line["unit"] for line in lines} > {"106", "03406"}


async def test_another_line_is_chosen_and_kept_in_every_link(client: httpx.AsyncClient) -> None:
    centre = "/units/H35.14.26"
    page = await client.get(f"{centre}/obligations?line=health")
    assert page.status_code == 200
    assert "tuyến ngành y tế" in words_of(page.text)
    assert '<option value="health" selected>' in page.text
    assert re.search(r'href="/units/H35\.14\.01\?[^"]*line=health"', page.text)
    nothing = await client.get(f"{centre}?line=health&form=vaccination-daily&from=2021-12-13&to=2021-12-13")
    assert (nothing.status_code, "Chưa có báo cáo nào cho" in nothing.text) == (200, True)
    unit = (await client.get("/api/units/H35.14.26?line=health&day=2021-12-13")).json()
    assert [one["code"] for one in unit["superiors"]] == ["H35.14.01", "H35.14", "G18"]
    wrong = await client.get("/units/106?line=nothing")
    assert (wrong.status_code, "Không có tuyến báo cáo “nothing”" in wrong.text) == (404, True)
    assert "Cơ quan, tổ chức đặt tại đây" in (await client.get(f"/units/106/obligations?{ISSUED}")).text


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/units/999/obligations", 404, "Không có đơn vị nào mang mã “999”"),
        ("/units/106/obligations?from=2021-01-01&to=2021-12-31", 400, "Hãy chọn không quá 31 ngày"),
        ("/units/106/obligations?axis=x", 400, "Không có trục thời gian “x”"),
        ("/units/106/findings?from=2025-07-02&to=2025-07-02", 404, "không tồn tại vào ngày 02/07/2025"),
        ("/units/106/nothing", 404, "Không có trang này"),
    ],
)
async def test_a_question_without_an_answer_is_told(
    client: httpx.AsyncClient, address: str, status: int, said: str
) -> None:
    answer = await client.get(address)
    assert (answer.status_code, said in words_of(answer.text)) == (status, True), words_of(answer.text)


async def test_more_units_than_can_be_looked_at_are_led_to_those_below(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.dashboard.findings.MOST_UNITS", 50)
    answer = await client.get("/units/12/findings")
    assert (answer.status_code, "/units/106/findings" in answer.text) == (400, True)
    monkeypatch.setattr("consumers.dashboard.obligations._MOST", 50)
    said = words_of((await client.get(f"/units/12/obligations?{ISSUED}")).text)
    assert "hãy chọn không quá 1 ngày" in said


async def test_lines_for_machines_are_refused_in_json(client: httpx.AsyncClient) -> None:
    for address in ("/api/obligations", "/api/findings?unit=x", f"/api/indicators?unit=106&{ISSUED}&format=table"):
        answer = await client.get(address)
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]


async def test_reports_late_only_by_acceptance_are_said_with_the_way_to_the_other_axis(tmp_path: Path) -> None:
    made = TamDuong(tmp_path)
    replayed = int(datetime(2021, 12, 20, 7, tzinfo=ZONE).timestamp() * 1000)
    made.send([replace(one, accepted_at=replayed) for one in sends("support-payout")])
    with closing(Source(tmp_path / FILE_NAME)) as source:
        transport = httpx.ASGITransport(application(source, lambda: NOW))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            friday = "/units/106/obligations?from=2021-12-17&to=2021-12-17"
            page = (await client.get(friday)).text
            assert "12 báo cáo chậm đã được ký gửi đúng hạn nhưng tiếp nhận sau hạn" in words_of(page)
            by_issue = re.search(r'href="([^"]+)">Tính theo lúc đơn vị ký gửi', page)
            assert by_issue is not None
            other = words_of((await client.get(unescape(by_issue[1]))).text)
            assert "tiếp nhận sau hạn" not in other
            indicators = words_of((await client.get(friday.replace("obligations", "indicators"))).text)
            assert "12 báo cáo chậm đã được ký gửi đúng hạn" in indicators
