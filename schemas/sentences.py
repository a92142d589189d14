"""What a rejection says to people, in Vietnamese and English: field, value, expectation (contract 3)."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.rejection import Reason, Rejection

SENTENCES: Mapping[Reason, tuple[str, str]] = {
    Reason.TOO_LARGE: ("Báo cáo quá lớn", "The report is too large"),
    Reason.NOT_DECODABLE: ("Không đọc được nội dung báo cáo", "The report's bytes can't be read"),
    Reason.UNKNOWN_FORM: ("Biểu mẫu không có trong danh mục đang áp dụng", "The form is not in the catalogue in force"),
    Reason.HEADER_INVALID: ("Phần đầu báo cáo không hợp lệ", "The report's header is not valid"),
    Reason.UNKNOWN_UNIT: ("Không có đơn vị mang mã này trong kỳ báo cáo", "No unit bears this code in the period"),
    Reason.STALE_NAME: ("Tên đơn vị không đúng với tên đang áp dụng", "The unit's name is not the one in force"),
    Reason.WRONG_KEY: (
        "Khóa bản ghi không phải mã đơn vị báo cáo",
        "The record's key is not the reporting unit's code",
    ),
    Reason.WRONG_PARTITION: ("Báo cáo nằm sai phân vùng", "The report lies in the wrong partition"),
    Reason.UNKNOWN_KEY: ("Khóa ký số chưa được đăng ký", "The signing key is not registered"),
    Reason.KEY_NOT_VALID: ("Khóa ký số không còn hoặc chưa có hiệu lực", "The signing key was not in force"),
    Reason.BAD_SIGNATURE: ("Chữ ký số không đúng", "The signature does not fit the report"),
    Reason.NOT_AUTHORISED: (
        "Người gửi không có quyền báo cáo cho đơn vị này",
        "The sender may not report for this unit",
    ),
    Reason.FORM_NOT_IN_FORCE: ("Biểu mẫu chưa hoặc không còn áp dụng cho kỳ này", "The form is not in force then"),
    Reason.PERIOD_INVALID: ("Kỳ báo cáo không hợp lệ", "The period is not valid"),
    Reason.PERIOD_FUTURE: ("Kỳ báo cáo chưa đến", "The period has not begun"),
    Reason.KIND_ROWS: ("Số dòng không hợp với loại báo cáo", "The rows do not fit the kind of report"),
    Reason.TOO_MANY_ROWS: ("Báo cáo có quá nhiều dòng", "The report has too many rows"),
    Reason.DUPLICATE_ROW: ("Có hai dòng trùng nhau", "Two rows are about the same"),
    Reason.UNKNOWN_CODE: ("Mã không có trong danh mục", "The code is not in its list"),
    Reason.VALUE_MISSING: ("Thiếu số liệu", "A number is missing"),
    Reason.VALUE_RANGE: ("Số liệu ngoài khoảng cho phép", "A number is out of range"),
    Reason.CHECK_FAILED: ("Số liệu không thỏa mãn phép kiểm tra", "A check of the form does not hold"),
    Reason.INTERNAL_ERROR: (
        "Hệ thống gặp lỗi khi xử lý báo cáo này; đơn vị vận hành đã được báo",
        "The system failed on this report; its operator has been told",
    ),
}


def sentence_vi(rejection: Rejection) -> str:
    """The Vietnamese sentence, a form's own message first where a check failed."""
    said = rejection.message_vi or SENTENCES[rejection.reason][0]
    return f"{said} – {rejection.field}: {rejection.value}; yêu cầu: {rejection.expected_vi or rejection.expected}."


def sentence_en(rejection: Rejection) -> str:
    """The English sentence."""
    said = rejection.message_en or SENTENCES[rejection.reason][1]
    return f"{said}: {rejection.field} is {rejection.value}; expected: {rejection.expected}."
