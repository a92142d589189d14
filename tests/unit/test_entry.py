"""The entry pages without a broker: who sees what, what is said of what was typed, nothing typed is lost."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pyotp
import pytest

from producers.audit import read
from tests.support.entry import CLERK, DISTRICT, FRONT, OTHER, EntryBench, csrf_of, log_in, send
from tests.support.sheets import TESTING_ROW, form_of, typed

TESTING = "/units/03390/forms/testing-daily/2021-12-20"
SENT = "/units/03390/forms/vaccination-daily/2021-12-13"
# kafka-python leaves its sockets open when a producer can't connect
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntryBench]:
    made = EntryBench(tmp_path_factory.mktemp("entry"))
    yield made
    made.close()


@pytest.fixture
async def clerk(bench: EntryBench) -> AsyncIterator[httpx.AsyncClient]:
    client = await bench.visitor(CLERK)
    yield client
    await client.aclose()


def text_of(answer: httpx.Response) -> str:
    """What people read of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def row(at: int = 0, /, method: str = "antigen", sample: str = "single", **numbers: str) -> dict[str, str]:
    """The fields of a row of testing-daily."""
    given = {"persons": "", "tubes": "", "positive_tubes": "", "positive_persons": "", **numbers}
    fields = {"method": method, "sample": sample, **given}
    return {f"r{at}.{name}": text for name, text in fields.items()}


FULL = {"persons": "16", "tubes": "16", "positive_tubes": "0", "positive_persons": "0"}


async def test_day_shows_what_is_due_with_state_and_time_left(clerk: httpx.AsyncClient) -> None:
    said = text_of(await clerk.get("/units/03390/day"))
    assert "Bộ biểu ngày 20/12/2021 Thị trấn Tam Đường" in said
    assert "Báo cáo kết quả xét nghiệm hằng ngày" in said
    assert "hạn 17:30 20/12 , còn 1 giờ 30 phút" in said
    assert "kỳ 21/12" not in said  # has not begun


async def test_report_that_was_sent_is_done_and_one_of_a_past_day_is_told_as_it_was(clerk: httpx.AsyncClient) -> None:
    said = text_of(await clerk.get("/units/03390/day?day=2021-12-13"))
    assert "2/2 đã xong" in said
    assert "Đính chính" in said


async def test_first_page_with_style_and_script_is_small(clerk: httpx.AsyncClient) -> None:
    parts = [await clerk.get(path) for path in (
        "/units/03390/day", "/worker.js", *(f"/static/{name}" for name in (
            "entry.css", "entry.js", "kept.js", "offline.js", "icon.svg")))]  # fmt: skip
    assert sum(len(part.content) for part in parts) < 50_000
    assert (await clerk.get(TESTING)).text.count("<fieldset class") == 4


async def test_empty_form_has_all_rows_and_says_whose_and_when(clerk: httpx.AsyncClient) -> None:
    said = text_of(await clerk.get(TESTING))
    assert "Thị trấn Tam Đường, ngày 20/12/2021" in said
    assert "Xét nghiệm nhanh kháng nguyên, Mẫu đơn" in said
    assert "Số người được xét nghiệm (người)" in said


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        (row(persons="16"), "r0.tubes", "Chưa điền. Không có thì ghi 0."),
        (row(**{**FULL, "persons": "1,5"}), "r0.persons", "không phải số nguyên"),
        (row(**{**FULL, "persons": "x"}), "r0.persons", "không phải số nguyên"),
        (row(**{**FULL, "persons": "-1"}), "r0.persons", "Không được nhỏ hơn 0."),
        (row(**{**FULL, "persons": "9" * 15}), "r0.persons", "Số quá lớn."),
        (row(method="", **FULL), "r0.method", "Hãy chọn phương pháp."),
        (row(**FULL) | row(1, **FULL), "r1.method", "Trùng với dòng 1"),
        (row(**FULL) | {"n.notes": "a" * 1_050_000}, "n.notes", "Nhiều nhất"),
        (row(), "", "Chưa nhập số liệu nào."),
    ],
)
async def test_every_fault_is_told_beside_its_field_and_at_the_top(
    clerk: httpx.AsyncClient, fields: dict[str, str], field: str, said: str
) -> None:
    page = await send(clerk, TESTING, do="check", rows="2", **{**row(1), **fields} if "r1.method" not in fields
                      else fields)  # fmt: skip
    assert page.status_code == 422
    assert said in text_of(page)
    if field and field != "r0.method":
        assert f'href="#{field}"' in page.text
        assert f'id="{field}-bad1"' in page.text or field.endswith(".method")


async def test_number_may_be_grouped_as_vietnamese_write_it(clerk: httpx.AsyncClient) -> None:
    page = await send(clerk, TESTING, do="look", rows="1", **row(persons="1.234", tubes="1 234", positive_tubes="0",
                                                               positive_persons="0"))  # fmt: skip
    assert page.status_code == 200
    assert "Xem lại trước khi gửi" in text_of(page)


async def test_zeros_are_filled_in_on_demand_and_never_by_themselves(clerk: httpx.AsyncClient) -> None:
    page = await send(clerk, TESTING, do="zeros", rows="1", **row(persons="16"))
    assert page.status_code == 200
    assert page.text.count('value="0" inputmode') == 3


async def test_warning_is_shown_once_more_before_it_goes_and_what_was_typed_goes_along(
    clerk: httpx.AsyncClient,
) -> None:
    fields = row(**{**FULL, "positive_tubes": "20"})
    page = await send(clerk, TESTING, do="check", rows="1", **fields)
    said = text_of(page)
    assert "vẫn gửi được" in said
    assert "Số ống dương tính (20) lớn hơn số ống mẫu (16)." in said
    assert 'name="r0.positive_tubes" value="20"' in page.text


async def test_correction_begins_with_what_was_sent_and_shows_what_it_changes(clerk: httpx.AsyncClient) -> None:
    page = await clerk.get(SENT)
    (targeted,) = re.findall(r'name="r0.targeted" value="(\d+)"', page.text)
    fields = dict(re.findall(r'name="(r\d+\.\w+|rows|after|key)" value="([^"]*)"', page.text))
    fields |= {name: re.search(rf'name="{name}".*?<option value="([^"]+)" selected', page.text, re.S)[1]  # type: ignore[index]
               for name in ("r0.round", "r0.vaccine")}  # fmt: skip
    deferred = int(fields["r0.deferred"])
    changed = {"r0.targeted": str(int(targeted) + 1), "r0.deferred": str(deferred + 1)}
    seen = text_of(await send(clerk, SENT, do="check", **{**fields, **changed}))
    assert f"Số hoãn tiêm: {deferred} → {deferred + 1}" in seen
    assert "Không có gì thay đổi" in text_of(await send(clerk, SENT, do="check", **fields))


async def test_report_that_the_broker_does_not_take_is_told_and_what_was_typed_stays(
    clerk: httpx.AsyncClient,
) -> None:
    page = await send(clerk, TESTING, do="check", rows="1", **row(**{**FULL, "persons": "77"}))
    assert page.status_code == 503
    assert "Chưa gửi được." in text_of(page)
    assert 'value="77"' in page.text


async def test_history_tells_each_revision_with_what_it_changed(clerk: httpx.AsyncClient) -> None:
    page = text_of(await clerk.get("/units/03390/history/vaccination-daily/2021-12-13"))
    assert "Lần gửi 1" in page
    assert "đang được tính" in page


async def test_withdrawal_needs_a_reason(clerk: httpx.AsyncClient) -> None:
    page = await send(clerk, "/units/03390/history/vaccination-daily/2021-12-13", reason=" ", after="1", key="k")
    assert page.status_code == 422
    assert "Hãy ghi lý do rút báo cáo" in text_of(page)


async def test_without_login_every_page_leads_to_the_login_and_back(bench: EntryBench) -> None:
    async with bench.client() as client:
        for path in ("/", "/units/03390/day", TESTING):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")
        assert (await client.post(TESTING, data={"do": "check"})).status_code == 303
        answer = await log_in(client, bench.tokens[CLERK], next=TESTING)
        assert answer.headers["location"] == TESTING
        for foreign in ("//evil.example", "https://evil.example", "/\\evil.example"):
            again = await log_in(client, bench.tokens[CLERK], next=foreign)
            assert again.headers["location"] == "/"


async def test_cookie_is_for_this_site_and_no_script_and_ends_with_the_session(bench: EntryBench) -> None:
    async with bench.client() as client:
        answer = await log_in(client, bench.tokens[CLERK])
        cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("chungsuc="))
        assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
        page = await client.get("/units/03390/day")
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert (await client.post("/logout", data={"csrf": csrf_of(page)})).status_code == 303
        client.cookies.set("chungsuc", cookie.split(";")[0].partition("=")[2])
        assert (await client.get("/units/03390/day")).status_code == 303


async def test_session_ends_after_its_hours_and_with_its_token(bench: EntryBench) -> None:
    client = await bench.visitor(FRONT)
    before = bench.now
    bench.now = type(before)(before + 12 * 3_600_000)
    assert (await client.get("/units/106/day")).status_code == 303
    bench.now = before
    assert (await client.get("/units/106/day")).status_code == 200
    bench.accounts.revoke(FRONT, before)
    assert (await client.get("/units/106/day")).status_code == 303
    bench.tokens[FRONT] = bench.accounts.new_token(FRONT, before)
    await client.aclose()


async def test_form_of_another_session_or_site_is_refused(bench: EntryBench, clerk: httpx.AsyncClient) -> None:
    other = await bench.visitor(OTHER)
    foreign = csrf_of(await other.get("/units/03430/day"))
    csrf = csrf_of(await clerk.get(TESTING))
    fields = {"do": "check", "rows": "1", **row(**FULL)}
    for token in ("", "x", foreign):
        assert (await clerk.post(TESTING, data={**fields, "csrf": token})).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await clerk.post(TESTING, data={**fields, "csrf": csrf}, headers=headers)).status_code == 403
    login = await bench.client().post("/login", data={"token": bench.tokens[CLERK]})
    assert login.status_code == 403
    await other.aclose()


async def test_account_sees_nothing_of_another_commune_and_writes_nothing_for_it(
    bench: EntryBench, clerk: httpx.AsyncClient
) -> None:
    csrf = csrf_of(await clerk.get("/units/03390/day"))
    for path in (
        "/units/03430/day", "/units/03430/other?form=testing-daily&period=2021-12-20",
        "/units/03430/forms/testing-daily/2021-12-20", "/units/03430/history/vaccination-daily/2021-12-13",
        "/units/03430/receipts/0-1", "/units/106/day",
    ):  # fmt: skip
        answer = await clerk.get(path)
        assert answer.status_code == 403, path
        assert "Khun Há" not in answer.text
    for path in ("/units/03430/nil", "/units/03430/forms/testing-daily/2021-12-20",
                 "/units/03430/history/vaccination-daily/2021-12-13"):  # fmt: skip
        fields = {"csrf": csrf, "do": "send", "rows": "1", **row(**FULL), "reason": "x"}
        assert (await clerk.post(path, data=fields)).status_code == 403


async def test_receipt_of_another_commune_is_not_told_under_the_own_address(clerk: httpx.AsyncClient) -> None:
    own = [(await clerk.get(f"/units/03390/receipts/0-{number}")).status_code for number in range(1, 40)]
    assert set(own) <= {200, 404}
    assert 404 in own


async def test_supervisor_reads_and_never_writes(bench: EntryBench) -> None:
    client = await bench.visitor(FRONT)
    page = await client.get("/units/03390/day")
    assert page.status_code == 200
    assert "Nhập" not in text_of(page).replace("Nhập báo cáo", "")
    assert (await client.get(TESTING)).status_code == 403
    assert (await send_with(client, page, TESTING)).status_code == 403
    await client.aclose()


async def send_with(client: httpx.AsyncClient, page: httpx.Response, address: str) -> httpx.Response:
    return await client.post(address, data={"csrf": csrf_of(page), "do": "send", "rows": "1", **row(**FULL)})


async def test_superior_enters_for_a_commune_and_it_is_said(bench: EntryBench) -> None:
    client = await bench.visitor(DISTRICT)
    assert "Nhập hộ" in text_of(await client.get(TESTING))
    await client.aclose()


async def test_markup_in_what_people_type_is_shown_and_never_run(clerk: httpx.AsyncClient) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    page = await send(clerk, TESTING, do="look", rows="1", **row(**FULL), **{"n.notes": evil})
    for answer in (page, await send(clerk, TESTING, do="check", rows="1", **row(**{**FULL, "persons": evil})),
                   await clerk.get("/units/03390/other", params={"form": evil, "period": "2021-12-13"})):  # fmt: skip
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
    assert "&lt;script&gt;" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("body", [b"", b"csrf=%ff", b"a" * 3_000_000, b"&".join(b"a=1" for _ in range(30_000))])
async def test_no_body_makes_a_page_stumble(clerk: httpx.AsyncClient, body: bytes) -> None:
    answer = await clerk.post(TESTING, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (400, 403, 413)
    assert (await clerk.post(TESTING, content=body, headers={"Content-Type": "text/plain"})).status_code == 415


async def test_audit_log_tells_logins_and_logouts_and_no_secret(bench: EntryBench) -> None:
    client = bench.client()
    await log_in(client, "cs_binh-lu_" + "f" * 48)
    events = {line["event"] for line in read(bench.folder / "audit.log")}
    assert {"login", "login_refused", "logout", "refusal"} <= events
    text = (bench.folder / "audit.log").read_text()
    assert not any(token.rpartition("_")[2] in text for token in bench.tokens.values())
    await client.aclose()


async def test_pages_speak_english_to_who_wants_it(bench: EntryBench, clerk: httpx.AsyncClient) -> None:
    said = text_of(await clerk.get("/units/03390/day", headers={"Accept-Language": "en"}))
    assert "The day's forms 20/12/2021" in said
    chosen = await clerk.get("/language?to=en")
    assert "chungsuc_lang=en" in chosen.headers["set-cookie"]
    assert "The day's forms" in text_of(await clerk.get("/units/03390/day"))


DECIDE = "/units/03430/decide/vaccination-daily/2021-12-17"
HISTORY = "/units/03430/history/vaccination-daily/2021-12-17"


async def decide(client: httpx.AsyncClient, do: str, address: str = DECIDE, **fields: str) -> httpx.Response:
    csrf = csrf_of(await client.get(address.replace("/decide/", "/history/").replace("/lock/", "/history/")))
    return await client.post(address, data={"csrf": csrf, "do": do, **fields})


async def test_superior_sees_those_below_by_form_and_state(bench: EntryBench) -> None:
    client = await bench.visitor(DISTRICT)
    page = await client.get("/units/106/below?day=2021-12-17")
    said = text_of(page)
    assert re.search(r"Huyện Tam Đường: \d+/\d+ báo cáo đã xong", said)
    assert re.search(r"Xã Khun Há – – – Đúng hạn Đúng hạn 2/2|Xã Khun Há.* Đúng hạn .*2/", said)
    assert len(page.content) < 60_000
    await client.aclose()


async def test_return_is_seen_by_both_sides_and_owed_again_until_taken_back(bench: EntryBench) -> None:
    district, commune = await bench.visitor(DISTRICT), await bench.visitor(OTHER)
    reason = "<b>số hủy</b> lớn hơn số nhận"
    assert (await decide(district, "return", reason=reason, until="2021-12-21T17:00")).status_code == 303
    for client in (district, commune):
        page = await client.get(HISTORY)
        assert "Yêu cầu chỉnh lý, hạn 17:00 ngày 21/12/2021" in text_of(page)
        assert "&lt;b&gt;số hủy" in page.text
        assert "<b>số hủy" not in page.text
    assert "Bị trả lại, chờ chỉnh lý" in text_of(await commune.get("/units/03430/day?day=2021-12-21"))
    assert "Yêu cầu chỉnh lý:" in text_of(await commune.get(HISTORY.replace("history", "forms")))
    assert "Bị trả lại" in text_of(await district.get("/units/106/below?day=2021-12-17"))
    assert (await decide(district, "keep")).status_code == 303
    assert "Thu hồi yêu cầu chỉnh lý" in text_of(await commune.get(HISTORY))
    await district.aclose()
    await commune.aclose()


async def test_approval_extension_and_exemption_are_seen_by_both_sides(bench: EntryBench) -> None:
    district, commune = await bench.visitor(DISTRICT), await bench.visitor(OTHER)
    assert "sơ bộ" in text_of(await commune.get(HISTORY))
    assert (await decide(district, "approve")).status_code == 303
    assert "đã duyệt" in text_of(await commune.get(HISTORY))
    due = "/units/03430/decide/testing-daily/2021-12-20"
    assert (await decide(district, "extend", due, reason="mất điện", until="2021-12-21T08:00")).status_code == 303
    day = text_of(await commune.get("/units/03430/day?day=2021-12-21"))
    assert "Được gia hạn" in text_of(await commune.get("/units/03430/day")) + day
    assert (await decide(district, "exempt", due, reason="không có điểm lấy mẫu")).status_code == 303
    assert "Không thuộc đối tượng (không có điểm lấy mẫu)" in text_of(await commune.get("/units/03430/day"))
    assert (await decide(district, "restore", due)).status_code == 303
    await district.aclose()
    await commune.aclose()


async def test_locked_period_takes_no_report_until_it_is_unlocked(bench: EntryBench) -> None:
    district, commune = await bench.visitor(DISTRICT), await bench.visitor(OTHER)
    lock, form = "/units/106/lock/testing-daily/2021-12-20", "/units/03430/forms/testing-daily/2021-12-20"
    assert (await decide(district, "lock", lock)).status_code == 303
    assert "Kỳ này đã khóa" in text_of(await commune.get(form))
    fields = {"do": "send", "rows": "1", **row(**FULL)}
    page = await send(commune, form, **fields)
    assert (page.status_code, "đã được đơn vị 106 khóa" in text_of(page)) == (409, True)
    assert (await decide(district, "unlock", lock)).status_code == 303
    assert (await send(commune, form, **fields)).status_code == 503
    await district.aclose()
    await commune.aclose()


async def test_nobody_decides_beyond_what_he_is_bound_to(bench: EntryBench, clerk: httpx.AsyncClient) -> None:
    assert (await decide(clerk, "approve", "/units/03390/decide/vaccination-daily/2021-12-13")).status_code == 403
    assert (await decide(clerk, "lock", "/units/03390/lock/testing-daily/2021-12-20")).status_code == 403
    assert (await clerk.get("/units/106/below")).status_code == 403
    assert (await clerk.get("/units/03390/below")).status_code == 403
    district = await bench.visitor(DISTRICT)
    past = {"reason": "x", "until": "2021-12-01T17:00"}
    for do, fields in (("return", {"until": "2021-12-21T17:00"}), ("return", past), ("extend", {**past, "until": "x"}),
                       ("exempt", {"reason": " "})):  # fmt: skip
        assert (await decide(district, do, **fields)).status_code == 422
    assert (await decide(district, "what")).status_code == 400
    await district.aclose()
    front = await bench.visitor(FRONT)
    assert (await front.get("/units/106/below?day=2021-12-17")).status_code == 200
    assert "Xử lý của cấp trên" not in text_of(await front.get(HISTORY))
    csrf = csrf_of(await front.get(HISTORY))
    assert (await front.post(DECIDE, data={"csrf": csrf, "do": "approve"})).status_code == 403
    await front.aclose()


async def test_script_without_a_line_is_served_at_the_root_and_pages_name_their_scripts(
    clerk: httpx.AsyncClient,
) -> None:
    worker = await clerk.get("/worker.js")
    assert (worker.status_code, worker.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    page = (await clerk.get(TESTING)).text
    assert "/static/offline.js" in page
    assert 'data-account="binh-lu"' in page
    assert "<script>" not in page


async def test_script_is_answered_in_json_with_faults_by_field(clerk: httpx.AsyncClient) -> None:
    csrf = csrf_of(await clerk.get(TESTING))
    fields = {"csrf": csrf, "do": "send", "rows": "1", **row(persons="16")}
    answer = await clerk.post(TESTING, data=fields, headers={"Accept": "application/json"})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["faults"]] == ["r0.tubes", "r0.positive_tubes",
                                                                   "r0.positive_persons"]  # fmt: skip
    full = {**fields, **row(**FULL)}
    client = httpx.AsyncClient(transport=clerk._transport, base_url="http://entry")
    answer = await client.post(TESTING, data=full, headers={"Accept": "application/json"})
    assert answer.status_code == 401
    await client.aclose()


async def test_workbook_of_the_day_goes_out_and_comes_in_with_a_preview(
    bench: EntryBench, clerk: httpx.AsyncClient
) -> None:
    page = await clerk.get("/units/03390/workbook")
    book = await clerk.get("/units/03390/workbook.xlsx?form=testing-daily&on=2021-12-20")
    assert (book.status_code, book.content[:2]) == (200, b"PK")
    fields = {"csrf": csrf_of(page)}
    seen = await clerk.post("/units/03390/workbook", data=fields, files={"file": ("a.xlsx", book.content)})
    assert seen.status_code == 200
    assert "Không có biểu nào được điền." in text_of(seen)
    for content in (b"", b"x", b"PK\x03\x04"):
        answer = await clerk.post("/units/03390/workbook", data=fields, files={"file": ("a.xlsx", content)})
        assert answer.status_code in (400, 422)
    missing = await clerk.post("/units/03390/workbook", files={"file": ("a.xlsx", book.content)})
    assert missing.status_code == 403
    other = await bench.visitor(OTHER)
    assert (await other.get("/units/03390/workbook")).status_code == 403
    assert (await other.get("/units/03390/workbook.xlsx")).status_code == 403
    await other.aclose()


async def test_filled_workbook_is_looked_at_and_then_sent(clerk: httpx.AsyncClient) -> None:
    book = await clerk.get("/units/03390/workbook.xlsx?form=testing-daily&period=2021-12-20&filled=1")
    content = typed(book.content, form_of("testing-daily"), [TESTING_ROW])
    fields = {"csrf": csrf_of(await clerk.get("/units/03390/workbook"))}
    seen = await clerk.post("/units/03390/workbook", data=fields, files={"file": ("a.xlsx", content)})
    assert "Gửi 1 biểu không có lỗi" in text_of(seen)
    kept = re.search(r'name="kept" value="([^"]+)"', seen.text)
    key = re.search(r'name="key" value="([^"]+)"', seen.text)
    assert kept is not None
    assert key is not None
    sending = {**fields, "do": "send", "kept": kept[1], "key": key[1]}
    # The broker is away in this test: it goes as far as that.
    answer = text_of(await clerk.post("/units/03390/workbook", data=sending))
    assert "máy chủ Kafka" in answer or "Máy chủ Kafka" in answer


async def test_second_factor_is_shown_once_and_each_code_is_good_once(bench: EntryBench) -> None:
    client = await bench.visitor(OTHER)
    shown = await send(client, "/account", do="begin")
    secret = re.search(r'id="secret">([A-Z2-7]+)<', shown.text)
    assert secret is not None
    assert "otpauth://totp/" in html.unescape(shown.text)
    totp = pyotp.TOTP(secret[1])
    assert (await send(client, "/account", do="confirm", code="000000")).status_code == 422
    code = totp.at(bench.now // 1000)
    assert (await send(client, "/account", do="confirm", code=code)).status_code == 303
    assert secret[1] not in (await client.get("/account")).text
    await client.aclose()
    async with bench.client() as fresh:
        for wrong in ("", code, "abc"):
            assert (await log_in(fresh, bench.tokens[OTHER], code=wrong)).status_code == 401
        assert (await log_in(fresh, bench.tokens[OTHER], code=totp.at(bench.now // 1000 + 30))).status_code == 303
    assert secret[1] not in (bench.folder / "audit.log").read_text()
    assert bench.office.factors.drop(OTHER)
    assert (await log_in(bench.client(), bench.tokens[OTHER])).status_code == 303
