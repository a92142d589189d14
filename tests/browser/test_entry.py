"""The entry pages in a real browser on a real stack: what a clerk and a superior do in a day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

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
lai-chau,12,superior,*
"""
WITHIN_MS = 30_000


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

    def log_in(self, page: Page, name: str) -> None:
        page.goto("/")
        page.get_by_label("Mã truy cập").fill(self.tokens[name])
        page.get_by_role("button", name="Đăng nhập").click()


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
    page.get_by_role("link", name="Nhập Báo cáo kết quả xét nghiệm").first.click()
    fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="16", tubes="16", positive_tubes="0")
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.get_by_role("alert")).to_contain_text("còn 1 chỗ cần sửa")
    page.get_by_role("alert").get_by_role("link").click()
    fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", positive_persons="0")
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam", timeout=WITHIN_MS)
    page.get_by_role("link", name="Về bộ biểu ngày").click()
    page.get_by_role("button", name="Không phát sinh cho các biểu còn lại (1)").click()
    page.get_by_role("button", name="Gửi", exact=True).click()
    expect(page.locator("h2").first).to_contain_text("2/2 đã xong")
    page.get_by_role("link", name="Đính chính").first.click()
    fill(page, "Xét nghiệm nhanh kháng nguyên, Mẫu đơn", persons="17", tubes="17")
    page.get_by_role("button", name="Xem lại thay đổi rồi gửi").click()
    expect(page.locator(".changes")).to_contain_text("16 → 17")
    page.get_by_role("button", name="Gửi báo cáo").click()
    expect(page.locator(".covered")).to_contain_text("Đã tính vào số liệu Việt Nam", timeout=WITHIN_MS)
    page.get_by_role("link", name="Các lần gửi").click()
    expect(page.locator(".versions > li")).to_have_count(2)
