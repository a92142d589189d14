"""The entry pages in a real browser on a real stack: what a clerk and a superior do in a day."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from deploy.operator_key import operator_key
from deploy.stack import Stack
from deploy.throwaway import stack_at
from producers.accounts import Accounts
from producers.audit import AuditLog
from producers.principals import Principals, read_principals
from schemas.log import ActReader
from schemas.register import Registers

# `up --detach` is meant to outlive whoever started it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
BASE = 27700
MORE = Path(__file__).resolve().parents[1] / "data" / "entry"
ACCOUNTS = """principal,unit,role,forms
binh-lu,03390,clerk,*
sin-suoi-ho,03394,clerk,*
tan-phong,03408,clerk,*
ban-bo,03424,clerk,*
ban-bo-lanh-dao,03424,approver,*
lai-chau,12,superior,*
"""


@dataclass
class Site:
    """A stack with accounts and the browser that looks at it."""

    stack: Stack
    tokens: dict[str, str]
    browser: Browser

    def visit(self, **options: object) -> BrowserContext:
        """A browser of its own, as of another person."""
        return self.browser.new_context(locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh", base_url=self.stack.gateway,
                                        **options)  # type: ignore[arg-type]  # fmt: skip

    def shot(self, page: Page, name: str) -> None:
        """A picture, to be looked at."""
        page.screenshot(path=Path(self.stack.data).parent / "shots" / f"{name}.png", full_page=True)

    def log_in(self, page: Page, name: str, code: str = "") -> None:
        page.goto("/")
        page.get_by_label("Mã truy cập").fill(self.tokens[name])
        page.get_by_label("Mã xác thực hai bước").fill(code)
        page.get_by_role("button", name="Đăng nhập").click()
        expect(page).not_to_have_url(re.compile("/login"))
        page.wait_for_load_state()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Site]:
    with stack_at(tmp_path_factory.mktemp("entry"), port_base=BASE, catalogues=[MORE]) as stack:
        settings = stack.settings()
        operator = operator_key(settings.data)
        acts = ActReader(settings, Registers(operator.public, 0))
        with closing(acts), closing(Accounts(settings.data / "principals.sqlite")) as held:
            catalogue = acts.refresh().newest_catalogue()
            assert catalogue is not None
            wanted, problems = read_principals(ACCOUNTS, catalogue)
            assert problems == []
            changing = Principals(settings, operator, acts, held, AuditLog(settings.data / "audit.log"))
            tokens = changing.apply(changing.plan(wanted))
        yield Site(stack, {str(name): token for name, token in tokens.items()}, browser)


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    """A page that fails its test on a script error or a request that leaves this host."""
    with closing(site.visit()) as context:
        one = context.new_page()
        outside: list[str] = []
        errors: list[str] = []

        def look(request: Request) -> None:
            if not request.url.startswith(site.stack.gateway):
                outside.append(request.url)

        one.on("request", look)
        one.on("pageerror", lambda error: errors.append(str(error)))
        yield one
        assert (outside, errors) == ([], [])


def fill(page: Page, row: str, **numbers: str) -> None:
    """Numbers into the cells of a row, by their columns."""
    for name, text in numbers.items():
        page.get_by_role("group", name=row).locator(f"input[name$='.{name}']").fill(text)


def test_clerk_logs_in_reports_the_days_set_and_corrects_a_number(site: Site, page: Page) -> None:
    site.log_in(page, "binh-lu")
    expect(page.locator("h1")).to_contain_text("Bộ biểu ngày")
    expect(page.locator("h2").first).to_contain_text("0/2 đã xong")
    site.shot(page, "day")
    page.get_by_role("link", name="Nhập Báo cáo kết quả xét nghiệm").first.click()
    fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="16", tubes="16", positive_tubes="0")
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.get_by_role("alert")).to_contain_text("còn 1 chỗ cần sửa")
    site.shot(page, "faults")
    page.get_by_role("alert").get_by_role("link").click()
    fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", positive_persons="0")
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
    site.shot(page, "receipt")
    page.get_by_role("link", name="Về bộ biểu ngày").click()
    page.get_by_role("button", name="Không phát sinh cho các biểu còn lại (1)").click()
    page.get_by_role("button", name="Gửi", exact=True).click()
    expect(page.locator("h2").first).to_contain_text("2/2 đã xong")
    page.get_by_role("listitem").filter(has_text="xét nghiệm").get_by_role("link", name="Đính chính").click()
    fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="17", tubes="17")
    page.get_by_role("button", name="Xem lại thay đổi rồi gửi").click()
    expect(page.locator(".changes")).to_contain_text("16 → 17")
    site.shot(page, "review")
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
    page.get_by_role("link", name="Các lần gửi").click()
    expect(page.locator(".versions > li")).to_have_count(2)


_LAST_NUMBER_IS_KEPT = """async () => {
  const draft = await one("drafts", [account, here]);
  return Object.entries(draft?.fields ?? {}).some(([name, text]) => name.endsWith(".positive_tubes") && text === "0");
}"""


def test_what_is_sent_without_a_line_waits_and_goes_out_by_itself(site: Site) -> None:
    with closing(site.visit()) as context:
        page = context.new_page()
        site.log_in(page, "sin-suoi-ho")
        page.reload()  # the worker serves from the second page on
        expect(page.locator("html[data-offline=ready]")).to_be_attached()
        page.reload()
        expect(page.locator("html[data-offline=ready]")).to_be_attached()
        context.set_offline(True)
        page.get_by_role("link", name="Nhập Báo cáo kết quả xét nghiệm").first.click()
        fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="5", tubes="5", positive_tubes="0")
        page.wait_for_function(_LAST_NUMBER_IS_KEPT)  # a draft is written beside the typing
        page.reload()
        expect(page.get_by_text("Đã điền lại số nhập dở lúc")).to_be_visible()
        fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", positive_persons="0")
        page.get_by_role("button", name="Gửi báo cáo").click()
        expect(page.locator("#waiting")).to_contain_text("1 báo cáo chờ gửi")
        site.shot(page, "offline")
        context.set_offline(False)
        page.evaluate("window.dispatchEvent(new Event('online'))")
        page.get_by_role("link", name="Báo cáo chờ đã gửi xong").click()
        expect(page.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
        page.get_by_role("link", name="Các lần gửi").click()
        expect(page.locator(".versions > li")).to_have_count(1)


def test_superior_enters_by_telephone_returns_the_units_own_report_and_sees_it_corrected(
    site: Site, page: Page
) -> None:
    site.log_in(page, "lai-chau")
    page.get_by_role("link", name="Đơn vị cấp dưới").click()
    site.shot(page, "below")
    row = page.get_by_role("row", name="Phường Tân Phong")
    row.get_by_role("link", name="Chưa nộp").first.click()
    page.get_by_role("link", name="Nhập hộ").click()
    expect(page.locator(".notice")).to_contain_text("Nhập hộ")
    series = page.url
    fill(
        page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="3", tubes="3", positive_tubes="0", positive_persons="0"
    )
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
    with closing(site.visit()) as context:
        own = context.new_page()
        site.log_in(own, "tan-phong")
        expect(own.locator(".set").first).to_contain_text("Cấp trên đã nhập hộ")
        own.goto(series)
        expect(own.get_by_text("Cấp trên đã nhập hộ các số này.")).to_be_visible()
        fill(own, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="4", tubes="4")
        own.get_by_role("button", name="Gửi báo cáo").click()
        expect(own.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
        page.goto(series.replace("/forms/", "/history/"))
        page.get_by_text("Trả lại, yêu cầu chỉnh lý").click()
        page.get_by_label("Cần chỉnh lý gì").fill("thiếu tổ 3")
        site.shot(page, "desk")
        page.get_by_role("button", name="Trả lại", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("thiếu tổ 3")
        own.goto("/")
        expect(own.locator("main")).to_contain_text("Bị trả lại, chờ chỉnh lý (thiếu tổ 3)")
        own.goto(series)
        fill(own, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="6", tubes="6")
        own.get_by_role("button", name="Xem lại thay đổi rồi gửi").click()
        own.get_by_role("button", name="Gửi báo cáo").click()
        expect(own.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
        own.goto("/")
        expect(own.locator("main")).to_contain_text("Đã nộp đúng hạn")
    page.reload()
    page.get_by_role("button", name="Duyệt", exact=True).click()
    expect(page.locator(".versions .standing")).to_contain_text("đã duyệt")
    site.shot(page, "history")


def test_head_with_a_second_factor_gives_a_draft_back_and_approves_the_next(site: Site, page: Page) -> None:
    site.log_in(page, "ban-bo")
    page.get_by_role("link", name="Nhập Báo cáo chốt kiểm soát dịch").first.click()
    series = page.url
    page.get_by_role("button", name="Điền 0 vào ô trống").click()
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.get_by_text("Chờ lãnh đạo duyệt").first).to_be_visible()
    expect(page.get_by_text("Đã điền lại số nhập dở")).to_have_count(0)
    site.shot(page, "waits")
    with closing(site.visit()) as context:
        head = context.new_page()
        site.log_in(head, "ban-bo-lanh-dao")
        totp = _second_factor(site, head)
        head.get_by_role("button", name="Đăng xuất").click()
        site.log_in(
            head, "ban-bo-lanh-dao", totp.at(int(time.time()), counter_offset=1)
        )  # a code is good once: the next one
        expect(head.locator(".set").first).to_contain_text("Chờ lãnh đạo duyệt")
        head.goto(series)
        head.get_by_text("Chưa duyệt, trả lại người nhập").click()
        head.get_by_label("Lý do").fill("thiếu chốt số 2")
        site.shot(head, "approval")
        head.locator("button[value=refuse]").click()
        page.goto(series)
        expect(page.locator(".notice").first).to_contain_text("Lãnh đạo chưa duyệt: thiếu chốt số 2")
        page.locator("input[name='r0.open']").fill("2")
        page.get_by_role("button", name="Gửi báo cáo").click()
        head.goto(series)
        expect(head.locator("input[name='r0.open']")).to_have_value("2")
        head.get_by_role("button", name="Gửi báo cáo").click()
        expect(head.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam")
        site.shot(head, "approved")
    page.goto("/")
    expect(page.locator(".set").first).to_contain_text("Đã nộp")


def _second_factor(site: Site, page: Page) -> pyotp.TOTP:
    """Turned on as its owner does it; a login without a code is refused from then on."""
    page.goto("/account")
    expect(page.locator("main")).to_contain_text("lãnh đạo duyệt, đơn vị 03424, mọi biểu")
    page.get_by_role("button", name="Bật xác thực hai bước").click()
    secret = page.locator("#secret").text_content()
    assert secret is not None
    site.shot(page, "second-factor")
    totp = pyotp.TOTP(secret)
    page.get_by_label("Mã 6 số").fill(totp.now())
    page.get_by_role("button", name="Bật", exact=True).click()
    expect(page.locator("main")).to_contain_text("Đang bật")
    with closing(site.visit()) as context:
        other = context.new_page()
        other.goto("/")
        other.get_by_label("Mã truy cập").fill(site.tokens["ban-bo-lanh-dao"])
        other.get_by_role("button", name="Đăng nhập").click()
        expect(other.get_by_role("alert")).to_contain_text("Mã xác thực hai bước không đúng")
        site.shot(other, "login-refused")
    return totp


def test_page_on_a_telephone_never_scrolls_sideways_and_works_without_a_script(site: Site) -> None:
    for javascript in (True, False):
        with closing(site.visit(java_script_enabled=javascript, viewport={"width": 390, "height": 800})) as context:
            page = context.new_page()
            site.log_in(page, "binh-lu")
            for place in ("/", "/units/03390/forms/vaccination-daily/2026-01-10",
                          "/units/03390/forms/testing-daily/2026-01-10"):  # fmt: skip
                page.goto(place)
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
                site.shot(page, f"phone{place.replace('/', '-')}")
            fill(page, "RT-PCR, Mẫu gộp", persons="7")
            page.get_by_role("button", name="Điền 0 vào ô trống").click()
            expect(page.get_by_role("group", name="RT-PCR, Mẫu gộp").locator("input[name$='.tubes']")).to_have_value(
                "0"
            )
