"""The page in a real browser: what an official sees of Tam Đường, drilling down, numbers that refresh themselves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from consumers.read_model.database import FILE_NAME
from schemas.figure import State
from tests.support.figures import Sent
from tests.support.tam_duong import TamDuong, week
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
PAGE_PORT, METRICS_PORT = 27560, 27561
HERE = f"http://127.0.0.1:{PAGE_PORT}"
SUNDAY = f"{HERE}/units/106?form=vaccination-daily&from=2021-12-19&to=2021-12-19"


@dataclass
class Site:
    """The process that serves the week of Tam Đường."""

    week: TamDuong
    process: subprocess.Popen[str]

    def stop(self) -> str:
        """SIGTERM; returns what it said."""
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=30)[1]
        assert self.process.returncode == 0, said
        return said


@pytest.fixture
def site(browser: Browser, tmp_path: Path) -> Iterator[Site]:
    made = week(tmp_path, ["vaccination-daily"])
    one = Site(made, serve(tmp_path))
    try:
        yield one
    finally:
        end(one.process)


def serve(data: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "CHUNGSUC_DATA": str(data), "CHUNGSUC_PAGE_PORT": str(PAGE_PORT),
                   "CHUNGSUC_METRICS_PORT": str(METRICS_PORT)}  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "consumers.dashboard"], cwd=ROOT, env=environment, text=True,
                               stderr=subprocess.PIPE)  # fmt: skip
    try:
        eventually(lambda: is_ready(process), 60)
    except BaseException:
        end(process)
        raise
    return process


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()


def is_ready(process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, process.communicate()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=5) as page:
            return b"\nchungsuc_ready 1" in page.read()
    except OSError:
        return False


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test on a script error or a request that leaves this host."""
    one = browser.new_page(locale="vi-VN")
    outside: list[str] = []
    errors: list[str] = []

    def look(request: Request) -> None:
        if not request.url.startswith(HERE):
            outside.append(request.url)

    one.on("request", look)
    one.on("pageerror", lambda error: errors.append(str(error)))
    yield one
    one.close()
    assert (outside, errors) == ([], [])


def nil(unit: str, day: date) -> Sent:
    return Sent(unit, "vaccination-daily", day, 1, (0, 0), State.NIL, (), "", 1_640_000_000_000, 1_640_000_000_000)


def test_an_official_sees_numbers_and_the_missing_drills_down_and_comes_back(site: Site, page: Page) -> None:
    page.goto(HERE)
    page.get_by_role("searchbox").fill("tam duong")
    page.get_by_role("button", name="Tìm").click()
    page.get_by_role("link", name="Huyện Tam Đường, Tỉnh Lai Châu (106)").click()
    expect(page.locator("h1")).to_contain_text("Huyện Tam Đường")
    expect(page.locator(".covered")).to_contain_text("12/13 đơn vị đã báo cáo, 12 không phát sinh")
    expect(page.locator("#missing")).to_have_text("Chưa có: Xã Bản Giang")
    page.get_by_role("link", name="Kỳ trước có số liệu: ngày 18/12/2021").click()
    expect(page.locator(".covered")).to_contain_text("13/13 đơn vị đã báo cáo")
    page.get_by_label("Từ ngày").fill("2021-12-13")
    page.get_by_role("button", name="Xem", exact=True).click()
    expect(page.locator("table.own tfoot")).to_contain_text("567")
    expect(page.locator("table.own tfoot")).to_contain_text("2.398")
    page.locator(".below").get_by_role("link", name="Xã Khun Há").click()
    expect(page.locator("h1")).to_contain_text("Xã Khun Há")
    page.get_by_label("Cấp trên").get_by_role("link", name="Huyện Tam Đường").click()
    expect(page.locator("h2").first).to_contain_text("từ 13/12/2021 đến 18/12/2021")


def test_a_number_refreshes_itself_when_the_read_model_changes(site: Site, page: Page) -> None:
    page.goto(SUNDAY)
    expect(page.locator("#live")).to_contain_text("Cập nhật lúc")
    expect(page.locator("#missing")).to_have_text("Chưa có: Xã Bản Giang")
    site.week.send([nil("03418", date(2021, 12, 19))])
    expect(page.locator(".covered")).to_contain_text("13/13 đơn vị đã báo cáo, 13 không phát sinh")
    expect(page.locator("#missing")).to_have_count(0)
    last = next(sent for sent in reversed(site.week.log.reports) if sent.unit == "03424" and sent.rows)
    row = dict(last.rows[0])
    table = replace(last, day=date(2021, 12, 19), revision=2, rows=(tuple({**row, "dose2": 4_321}.items()),))
    site.week.send([table])
    expect(page.locator("table.own")).to_contain_text("4.321")
    expect(page.locator(".below")).to_contain_text("4.321")


def test_a_lost_connection_is_said_and_found_again(site: Site, page: Page, tmp_path: Path) -> None:
    page.goto(SUNDAY)
    expect(page.locator("#live")).to_contain_text("Cập nhật lúc")
    said = site.stop()
    assert [line for line in said.splitlines() if " INFO chungsuc.page " not in line] == []
    expect(page.locator("#live")).to_have_text("Mất kết nối, số liệu có thể cũ. Đang thử lại…")
    expect(page.locator("#live")).to_have_class("lost")
    site.week.send([nil("03418", date(2021, 12, 19))])
    site.process = serve(tmp_path)
    expect(page.locator(".covered")).to_contain_text("13/13 đơn vị")
    expect(page.locator("#live")).to_contain_text("Cập nhật lúc")


def test_without_javascript_everything_is_there_and_reloads(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 640})
    try:
        page = context.new_page()
        page.goto(SUNDAY)
        expect(page.locator("#missing")).to_have_text("Chưa có: Xã Bản Giang")
        expect(page.get_by_role("link", name="CSV").first).to_be_visible()
        assert "http-equiv" in page.content()
    finally:
        context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_never_scrolls_sideways_as_a_whole(site: Site, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    pages = [f"{HERE}/units/106/{name}" for name in ("obligations", "findings", "indicators")]
    for address in (HERE, SUNDAY, f"{HERE}/units/03424?form=vaccination-daily", f"{HERE}/units/x", *pages):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_process_that_is_stopped_before_it_serves_ends_with_0(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "consumers.dashboard"], cwd=ROOT, text=True,
                               stderr=subprocess.PIPE, env={**os.environ, "CHUNGSUC_DATA": str(tmp_path),
                                                            "CHUNGSUC_PAGE_PORT": str(PAGE_PORT)})  # fmt: skip
    try:
        assert process.stderr is not None
        assert "page at http" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        end(process)


def test_a_database_of_another_layout_ends_the_process_for_good(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    environment = {**os.environ, "CHUNGSUC_DATA": str(tmp_path), "CHUNGSUC_PAGE_PORT": str(PAGE_PORT)}
    ended = subprocess.run([sys.executable, "-m", "consumers.dashboard"], cwd=ROOT, env=environment, text=True,
                           capture_output=True, timeout=60, check=False)  # fmt: skip
    assert (ended.returncode, "run `chungsuc rebuild`" in ended.stderr) == (5, True), ended.stderr
