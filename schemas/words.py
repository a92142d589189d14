"""Words and numbers as a Vietnamese official reads them: grouping, dates, levels, units of measure. For every page.

Only wording; a code that has no word here is shown as it is, so that a new form or level never breaks the page.
"""

from __future__ import annotations

import unicodedata
from datetime import date, datetime

from schemas.catalogue import ZONE
from schemas.period import Period, PeriodType
from schemas.principal import Role
from schemas.report import Kind, Millis

_LEVELS = {"nation": "Cả nước", "province": "Cấp tỉnh", "district": "Cấp huyện", "commune": "Cấp xã"}
_LINES = {
    "ubnd": "Ủy ban nhân dân",
    "health": "ngành y tế",
    "police": "công an",
    "front": "Mặt trận Tổ quốc",
    "insurance": "bảo hiểm xã hội",
    "party": "Đảng",
}
ROLES = {
    Role.CLERK: "người báo cáo",
    Role.APPROVER: "lãnh đạo duyệt",
    Role.SUPERIOR: "cấp trên",
    Role.SUPERVISOR: "giám sát (chỉ xem)",
    Role.OPERATOR: "vận hành",
}
"""What an account is there for."""
_UNITS_OF_MEASURE = {
    "person": "người",
    "dose": "liều",
    "case": "ca",
    "tube": "ống",
    "beneficiary": "đối tượng",
    "VND": "đồng",
    "fridge": "tủ lạnh",
    "area": "khu vực",
    "award": "khen thưởng",
    "bag": "túi",
    "bed": "giường",
    "call": "cuộc gọi",
    "check": "lượt kiểm tra",
    "checkpoint": "chốt",
    "collective": "tập thể",
    "contact": "trường hợp tiếp xúc",
    "copy": "bản",
    "criterion": "tiêu chí",
    "declaration": "lượt khai báo",
    "delivery": "chuyến",
    "device": "thiết bị",
    "document": "văn bản",
    "donor": "đơn vị, cá nhân ủng hộ",
    "employer": "người sử dụng lao động",
    "enterprise": "doanh nghiệp",
    "example": "điển hình",
    "file": "hồ sơ",
    "household": "hộ",
    "incident": "vụ việc",
    "inspection": "cuộc kiểm tra",
    "item": "mục",
    "letter": "thư",
    "lot": "lô",
    "meeting": "cuộc họp",
    "minute": "phút",
    "model": "mô hình",
    "opinion": "ý kiến",
    "order": "quyết định",
    "organisation": "tổ chức",
    "outage": "lần gián đoạn",
    "outbreak": "ổ dịch",
    "person-day": "ngày công",
    "place": "nơi",
    "plan": "kế hoạch",
    "pledge": "cam kết",
    "policy": "chính sách",
    "proposal": "đề xuất",
    "recipient": "lượt nhận",
    "rehearsal": "cuộc diễn tập",
    "sample": "mẫu",
    "shift": "ca trực",
    "site": "điểm",
    "supervision": "cuộc giám sát",
    "task": "nhiệm vụ",
    "team": "đội",
    "time": "lần",
    "transaction": "giao dịch",
    "unit": "đơn vị",
    "unit of the item": "đơn vị tính của mặt hàng",
    "vehicle": "xe",
}
_PERIODS = {
    PeriodType.WEEK: "tuần {week}/{year}",
    PeriodType.SATURDAY_WEEK: "tuần {week}/{year} (từ thứ Bảy)",
    PeriodType.MONTH: "tháng {month}/{year}",
    PeriodType.QUARTER: "quý {quarter}/{year}",
    PeriodType.HALF: "6 tháng {half} năm {year}",
    PeriodType.NINE_MONTHS: "9 tháng năm {year}",
    PeriodType.YEAR: "năm {year}",
    PeriodType.CALENDAR_MONTH: "tháng {month}/{year} (dương lịch)",
    PeriodType.CALENDAR_QUARTER: "quý {quarter}/{year} (dương lịch)",
    PeriodType.CALENDAR_HALF: "6 tháng {half} năm {year} (dương lịch)",
    PeriodType.CALENDAR_NINE_MONTHS: "9 tháng năm {year} (dương lịch)",
    PeriodType.CALENDAR_YEAR: "năm {year} (dương lịch)",
}
_ROMAN = ("I", "II", "III", "IV")
_HALVES = ("đầu", "cuối")
KINDS = {Kind.REPORT: "báo cáo", Kind.NIL: "không phát sinh", Kind.WITHDRAWAL: "rút báo cáo"}


def number(value: int) -> str:
    """1234567 as 1.234.567, a negative one with a minus sign."""
    return f"{value:,}".replace(",", ".").replace("-", "\N{MINUS SIGN}")


def day(value: date) -> str:
    """13/12/2021."""
    return value.strftime("%d/%m/%Y")


def days(first: date, last: date) -> str:
    """One day, or from one to another."""
    return f"ngày {day(first)}" if first == last else f"từ {day(first)} đến {day(last)}"


def period(value: Period) -> str:
    """A period in short, for lists: 13/12, tuần 50/2021, quý IV/2021; its days where it has no such name."""
    first, last = value.first_day, value.last_day
    name = _PERIODS.get(value.type)
    if name is None:
        return first.strftime("%d/%m") if first == last else f"{first:%d/%m} – {last:%d/%m}"
    year, week, _ = last.isocalendar()
    if "week" not in value.type:
        year = last.year
    return name.format(week=week, month=last.month, quarter=_ROMAN[(last.month - 1) // 3],
                       half=_HALVES[last.month > 6], year=year)  # fmt: skip


def moment(value: Millis) -> str:
    """A time in Vietnam, to the minute."""
    return datetime.fromtimestamp(value / 1000, ZONE).strftime("%H:%M ngày %d/%m/%Y")


def level(code: str) -> str:
    """The level of a unit."""
    return _LEVELS.get(code, code)


def line(name: str) -> str:
    """A hierarchy of reporters (tuyến báo cáo)."""
    return _LINES.get(name, name)


def unit_of_measure(code: str) -> str:
    """What a measure counts."""
    return _UNITS_OF_MEASURE.get(code, code)


def folded(text: str) -> str:
    """Lower case without marks, so that `tam duong` finds Tam Đường."""
    plain = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
