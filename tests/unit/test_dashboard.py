"""The page's answers on the synthetic week of Tam Đường: numbers, coverage, names, errors, data out, headers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from html import unescape
from pathlib import Path

import httpx
import pytest

from consumers.dashboard.app import application
from consumers.dashboard.question import Question, Refusal
from consumers.dashboard.source import NOTICE_FILE, Source, version
from consumers.dashboard.table import across, cells, head
from consumers.dashboard.watch import Watch
from consumers.read_model.database import FILE_NAME, open_writer
from schemas.catalogue import ZONE
from schemas.figure import State
from schemas.form import FormId
from schemas.read_model import FigureRow, NotReady, RowKind
from schemas.unit import UnitCode
from tests.support.pages import Tables, words_of
from tests.support.read_model import CATALOGUE, DAYS, FigureLog, doses, store_at
from tests.support.tam_duong import TamDuong, week

NOW = datetime(2021, 12, 20, 8, 0, tzinfo=ZONE)
TUESDAY = "form=vaccination-daily&from=2021-12-14&to=2021-12-14"
SUNDAY = "form=vaccination-daily&from=2021-12-19&to=2021-12-19"
WEEK = "form=vaccination-daily&from=2021-12-13&to=2021-12-19"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard")
    week(folder)
    return folder


def client_on(folder: Path) -> tuple[httpx.AsyncClient, Source]:
    source = Source(folder / FILE_NAME)
    transport = httpx.ASGITransport(application(source, lambda: NOW))
    return httpx.AsyncClient(transport=transport, base_url="http://page"), source


@pytest.fixture
async def client(data: Path) -> AsyncIterator[httpx.AsyncClient]:
    made, source = client_on(data)
    with closing(source):
        async with made:
            yield made


async def test_a_week_is_summed_with_its_coverage_and_who_is_missing_when(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106?{WEEK}")).text
    own, below = Tables(page).tables[:2]
    assert own[-1] == ["Cộng", "3.060", "9", "18", "62", "6", "567", "2.398", "2.965", "25", "118", "0"]
    assert below[-1][:2] == ["Cộng", "90/91"]
    said = words_of(page)
    assert "90/91 báo cáo đã có (đơn vị × ngày), 63 không phát sinh." in said
    assert "Chưa có: Xã Bản Giang (19/12)" in said


async def test_a_day_names_the_missing_and_marks_the_numbers_preliminary(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106?{SUNDAY}")).text
    said = words_of(page)
    assert "12/13 đơn vị đã báo cáo, 12 không phát sinh. Số liệu tính đến 15:42 ngày 19/12/2021. sơ bộ" in said
    assert "Chưa có: Xã Bản Giang" in said
    giang = next(row for row in Tables(page).tables[1] if row[0] == "Xã Bản Giang")
    assert giang == ["Xã Bản Giang", "chưa có", *[""] * 11]


async def test_a_province_names_its_missing_by_district(client: httpx.AsyncClient) -> None:
    said = words_of((await client.get(f"/units/12?{SUNDAY}")).text)
    assert "12/106 đơn vị đã báo cáo" in said
    assert "Huyện Mường Tè: Thị trấn Mường Tè, " in said


async def test_nobody_is_called_missing_whom_no_regime_asks(client: httpx.AsyncClient) -> None:
    friday = words_of((await client.get("/units/12?form=support-payout&from=2021-12-17&to=2021-12-17")).text)
    assert "13/13 đơn vị đã báo cáo" in friday
    assert "Chưa có:" not in friday
    thursday = words_of((await client.get("/units/106?form=support-payout&from=2021-12-16&to=2021-12-16")).text)
    assert "0 báo cáo; không chế độ báo cáo nào yêu cầu báo cáo kỳ này." in thursday


async def test_more_missing_than_can_be_read_are_counted_and_named_by_the_units_below(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.dashboard.coverage.NAMED", 93)
    answer = await client.get(f"/units/12?{SUNDAY}")
    assert "Chưa có: 94 đơn vị. Bấm vào một đơn vị ở bảng dưới" in words_of(answer.text)
    assert "Thị trấn Mường Tè" not in answer.text


async def test_as_of_shows_what_was_known_at_the_morning_meeting(client: httpx.AsyncClient) -> None:
    said = words_of((await client.get(f"/units/106?{TUESDAY}&as_of=2021-12-15T07:00&axis=issued")).text)
    assert "12/13 đơn vị đã báo cáo" in said
    assert "Chưa có: Xã Khun Há" in said
    assert "Số liệu như đã biết lúc 07:00 ngày 15/12/2021 (theo lúc đơn vị ký gửi)." in said
    later = words_of((await client.get(f"/units/106?{TUESDAY}&as_of=2021-12-15T12:00%2B07:00&axis=issued")).text)
    assert "13/13 đơn vị đã báo cáo, 8 không phát sinh, 1 nhập hộ." in later


async def test_a_commune_shows_every_sending_and_which_one_counts(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/03430?{TUESDAY}")).text
    assert Tables(page).tables[-1][1:] == [
        ["09:20 ngày 15/12/2021", "báo cáo", "Huyện Tam Đường nhập hộ", "không"],
        ["07:10 ngày 16/12/2021", "báo cáo", "đơn vị tự gửi", "có"],
    ]
    assert "Đã báo cáo. Số liệu tính đến 07:10 ngày 16/12/2021." in words_of(page)


async def test_without_a_form_or_a_day_the_newest_is_shown(client: httpx.AsyncClient) -> None:
    assert "ngày 19/12/2021" in words_of((await client.get("/units/106")).text)


async def test_the_first_page_leads_to_forms_and_finds_units_without_marks(client: httpx.AsyncClient) -> None:
    assert "/units/VN?form=support-payout&amp;from=2021-12-17" in (await client.get("/")).text
    assert "Huyện Tam Đường, Tỉnh Lai Châu (106)" in words_of((await client.get("/?q=tam duong")).text)
    assert "Không có đơn vị nào có tên" in words_of((await client.get("/?q=<script>")).text)


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/units/999", 404, "Không có đơn vị nào mang mã “999”"),
        ("/units/106?form=nothing", 404, "Không có biểu “nothing”"),
        ("/units/106?form=covid-doses", 404, "Chưa có báo cáo nào cho biểu “Số liều vắc xin COVID-19 tiêm trong ngày”"),
        (f"/units/106?{TUESDAY}&as_of=soon", 400, "“soon” không phải là một thời điểm"),
        ("/units/106?from=20211213", 400, "“20211213” không phải là một ngày"),
        ("/units/106?from=2021-12-14&to=2021-12-13", 400, "Ngày bắt đầu ở sau ngày kết thúc"),
        ("/units/106?from=2001-12-14&to=2021-12-13", 400, "Khoảng thời gian quá dài"),
        ("/units/106?form=vaccination-daily&from=2025-07-02&to=2025-07-02", 404, "không tồn tại vào ngày 02/07/2025"),
        (f"/units/106?{TUESDAY}&axis=x", 400, "Không có trục thời gian “x”"),
        ("/nowhere", 404, "Không có trang này"),
    ],
)
async def test_a_question_without_an_answer_is_told_in_vietnamese_with_a_way_out(
    client: httpx.AsyncClient, address: str, status: int, said: str
) -> None:
    answer = await client.get(address)
    assert (answer.status_code, said in words_of(answer.text)) == (status, True), words_of(answer.text)
    assert 'href="/' in answer.text


async def test_a_day_nobody_reported_says_so_and_leads_to_the_newest(client: httpx.AsyncClient) -> None:
    said = words_of((await client.get("/units/106?form=vaccination-daily&from=2021-12-25&to=2021-12-25")).text)
    assert "0/13 đơn vị đã báo cáo." in said
    assert "Chưa có báo cáo nào cho Huyện Tam Đường ngày 25/12/2021." in said
    assert "Kỳ mới nhất có số liệu: ngày 19/12/2021" in said


async def test_the_links_give_what_the_page_shows_as_csv_and_json(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/units/106?{WEEK}")).text
    links = [unescape(found) for found in re.findall(r'href="(/api/figures[^"]+)"', page)]
    assert len(links) == 4
    own, own_json, below, _ = [(await client.get(link)) for link in links]
    lines = list(csv.DictReader(io.StringIO(own.text)))
    assert sum(int(line["dose1"]) + int(line["dose2"]) for line in lines) == 2965
    assert own.headers["content-disposition"] == (
        'attachment; filename="vaccination-daily_106_2021-12-13_2021-12-19.csv"'
    )
    assert [line["dose1"] for line in own_json.json()] == [int(line["dose1"]) for line in lines]
    children = list(csv.DictReader(io.StringIO(below.text)))
    assert {line["unit"] for line in children} > {"03430", "03418"}
    assert sum(int(line["dose1"]) for line in children) == sum(int(line["dose1"]) for line in lines)


async def test_the_api_tells_a_unit_and_its_coverage_and_refuses_in_json(client: httpx.AsyncClient) -> None:
    unit = (await client.get("/api/units/106?form=vaccination-daily&period=2021-12-19")).json()
    assert (unit["name"], [one["name"] for one in unit["superiors"]]) == (
        "Huyện Tam Đường",
        ["Tỉnh Lai Châu", "Việt Nam"],
    )
    assert unit["coverage"]["missing"] == [{"code": "03418", "name": "Xã Bản Giang"}]
    for address in ("/api/figures", "/api/figures?unit=106&form=x", "/api/figures?unit=x&form=vaccination-daily",
                    f"/api/figures?unit=106&{TUESDAY}&format=table", "/api/units/x",
                    "/api/units/106?form=vaccination-daily&period=soon"):  # fmt: skip
        answer = await client.get(address)
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]


async def test_everything_comes_from_this_host_and_nothing_inline_is_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/units/106?{TUESDAY}")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r'(?:src|href|action)="(?!/|#)', answer.text)
    assert "style=" not in answer.text
    assert not re.search(r"<script(?! src)", answer.text)


async def test_a_page_with_its_assets_is_below_50_kb(client: httpx.AsyncClient) -> None:
    addresses = (f"/units/106?{WEEK}", "/static/page.css", "/static/refresh.js", "/static/icon.svg")
    sizes = [len((await client.get(address)).content) for address in addresses]
    assert sum(sizes) < 50_000


async def test_a_notice_in_the_data_folder_is_on_every_page(tmp_path: Path) -> None:
    week(tmp_path, ["testing-daily"])
    (tmp_path / NOTICE_FILE).write_text("Số liệu giả định <synthetic>\n", encoding="utf-8")
    client, source = client_on(tmp_path)
    with closing(source):
        async with client:
            for address in ("/", "/units/106", "/units/999"):
                assert "Số liệu giả định &lt;synthetic&gt;</p>" in (await client.get(address)).text


async def test_before_there_is_a_read_model_the_page_says_so_and_tries_again(tmp_path: Path) -> None:
    client, source = client_on(tmp_path)
    with closing(source):
        async with client:
            for made in (False, True):
                if made:
                    open_writer(tmp_path / FILE_NAME).close()
                answer = await client.get("/")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert "Số liệu đang được chuẩn bị" in answer.text
                assert 'http-equiv="refresh"' in answer.text
                assert (await client.get("/healthz")).status_code == 503


async def test_with_a_catalogue_and_no_report_the_page_says_what_it_waits_for(tmp_path: Path) -> None:
    store_at(tmp_path / FILE_NAME).apply(FigureLog().batch())
    client, source = client_on(tmp_path)
    with closing(source):
        async with client:
            assert "chưa có báo cáo nào" in (await client.get("/")).text
            answer = await client.get("/units/R")
            assert (answer.status_code, "Chưa có báo cáo nào" in answer.text) == (404, True)


def rows_of(*numbers: tuple[int | None, ...]) -> list[FigureRow]:
    return [FigureRow(UnitCode("R"), FormId("stock-count"), "2021-12-13", RowKind.TOTAL, (str(n),), one, 2, "1:1")
            for n, one in enumerate(numbers)]  # fmt: skip


def test_what_must_not_be_added_stays_empty_with_its_reason() -> None:
    form = CATALOGUE.form_in_force(FormId("stock-count"), DAYS[0])
    assert form is not None
    together = across(form, rows_of((1_000, None, 5), (234, None, 6)))
    assert together == (1234, None, None)
    shown = cells(form, together, 2, leaf=False, summed=False)
    assert [(one.text, bool(one.why)) for one in shown] == [("1.234", False), ("–", True), ("không cộng được", True)]
    assert cells(form, (None, None, None), 0, leaf=True, summed=False)[0].why == "Báo cáo đã rút"
    assert cells(form, (-1_234, 1, None), 1, leaf=True, summed=True)[0].text == "\N{MINUS SIGN}1.234"
    assert "qua nhiều ngày" in cells(form, (1, 1, None), 1, leaf=True, summed=True)[2].why


def test_headings_that_share_a_beginning_are_grouped_as_on_paper(data: Path) -> None:
    with closing(Source(data / FILE_NAME)) as source:
        form = source.ask_now(lambda model: model.catalogue().form_in_force(FormId("vaccination-daily"), DAYS[0]))
    assert form is not None
    made = head(form)
    assert [(one.text, one.across) for one in made.upper if one.across > 1] == [
        ("Số tiêm được", 2),
        ("Vắc xin (liều)", 2),
    ]
    assert made.lower == ("Mũi 1", "Mũi 2", "Số sử dụng", "Số hủy")
    assert sum(one.across for one in made.upper) == len(made.units) == len(form.measures)


@pytest.mark.parametrize("text", ["2021-12-15T07:00", "2021-12-15T07:00:30", "2021-12-15T07:00:30.250"])
def test_an_address_reads_back_as_the_question_it_was_made_of(text: str) -> None:
    given = {"form": "f", "from": "2021-12-13", "to": "2021-12-14", "as_of": text, "axis": "issued"}
    question = Question.read("106", given)
    assert question.parameters() == given
    assert Question.read("106", question.parameters()) == question


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[TamDuong, Source]]:
    made = week(tmp_path, ["vaccination-daily"])
    with closing(Source(tmp_path / FILE_NAME)) as source:
        yield made, source


def correction(made: TamDuong, unit: str, day: date) -> None:
    """The unit's last report of that day once more, its first measure one higher."""
    last = [sent for sent in made.log.reports if (sent.unit, sent.day, sent.state) == (unit, day, State.REPORT)][-1]
    rows = [(*row[:2], (row[2][0], int(row[2][1] or 0) + 1), *row[3:]) for row in last.rows]
    made.send([replace(last, revision=last.revision + 1, rows=tuple(rows), accepted_at=last.accepted_at + 1)])


async def test_the_version_changes_with_what_is_shown_and_with_nothing_else(
    live: tuple[TamDuong, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, source = live
    monkeypatch.setattr("consumers.dashboard.watch.LOOK_EVERY_S", 0.0)
    watch = Watch(source)
    tuesday, monday = date(2021, 12, 14), date(2021, 12, 13)
    asked = {
        (unit, day): Question(UnitCode(unit), FormId("vaccination-daily"), day, day)
        for unit in ("106", "12", "03430", "03400") for day in (monday, tuesday)
    }  # fmt: skip
    before = {key: await watch.version(question) for key, question in asked.items()}
    assert before == {key: await watch.version(question) for key, question in asked.items()}
    correction(made, "03430", tuesday)
    changed = {key for key, question in asked.items() if await watch.version(question) != before[key]}
    assert changed == {("106", tuesday), ("12", tuesday), ("03430", tuesday)}


async def test_an_answer_follows_the_read_model_that_was_made_anew(tmp_path: Path) -> None:
    store_at(tmp_path / FILE_NAME).apply(FigureLog().batch())
    with closing(Source(tmp_path / FILE_NAME)) as source:
        question = Question(UnitCode("a1"), FormId("covid-doses"))
        with pytest.raises(Refusal):
            source.ask_now(version, question)
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(NotReady):
            source.ask_now(version, question)
        log = FigureLog()
        log.report(doses("a1", DAYS[0], 5))
        store_at(tmp_path / FILE_NAME).apply(log.batch())
        assert source.ask_now(version, question)
