"""Figures and units for machines: the contract's lines as CSV or JSON, and who a unit is.

The parameters are those of `chungsuc figures`; what the page shows has a link here that gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from consumers.dashboard import findings, indicators
from consumers.dashboard.obligations import asked, known
from consumers.dashboard.question import (
    Question,
    Refusal,
    line_of,
    read_axis,
    read_day,
    read_moment,
    unknown_form,
    unknown_unit,
)
from consumers.export import Layout, Lines, as_text, figure_lines, moment
from consumers.findings import finding_lines
from consumers.indicators import indicator_lines
from consumers.obligations import obligation_lines, obligations, summary_lines
from schemas.form import FormId
from schemas.period import PeriodError, PeriodText, PeriodType, parse_period
from schemas.read_model import Coverage, FigureQuery, ReadModel, RowKind
from schemas.report import Millis
from schemas.unit import Unit, UnitCode

_YES = ("1", "true", "yes")
_MEDIA = {Layout.CSV: "text/csv; charset=utf-8", Layout.JSON: "application/json"}


def figures_answer(model: ReadModel, given: Mapping[str, str]) -> Response:
    """Contract 8. Raises Refusal."""
    unit, form = given.get("unit", ""), given.get("form", "")
    if not unit or not form:
        raise Refusal(400, "Thiếu unit hoặc form", "Ví dụ: /api/figures?unit=106&form=vaccination-daily&format=csv")
    catalogue = model.catalogue()
    if unit not in catalogue.units:
        raise unknown_unit(unit)
    if all(known.id != form for known in catalogue.forms):
        raise unknown_form(catalogue, form)
    line = line_of(catalogue, Question.read(unit, given))  # and the bounds of days
    layout = _layout(given)
    try:
        kind = RowKind(given.get("kind") or "total")
    except ValueError as error:
        raise Refusal(400, "kind không hợp lệ", "kind: total, own.") from error
    query = FigureQuery(
        UnitCode(unit), FormId(form), read_day(given, "from"), read_day(given, "to"), kind,
        given.get("sum") in _YES, given.get("children") in _YES, read_moment(given), read_axis(given),
        line, of=_period_type(given), period=_period(given),
    )  # fmt: skip
    days = (given[name] for name in ("from", "to") if given.get(name))
    return _as(figure_lines(model.figures(query)), layout, "_".join(filter(None, (form, unit, *days))))


LINES = ("obligations", "findings", "indicators")


def lines_answer(model: ReadModel, name: str, given: Mapping[str, str], now: datetime) -> Response:
    """What the page of this name shows, line by line as the command of this name prints it. Raises Refusal."""
    if not given.get("unit"):
        raise Refusal(400, "Thiếu unit", f"Ví dụ: /api/{name}?unit=106&from=2021-12-13&to=2021-12-19&format=csv")
    question, layout = Question.read(given["unit"], given), _layout(given)
    if name == "obligations":
        about = asked(model, question, now.date())
        found = [one for one in obligations(model, about.unit.code, about.first, about.last, known(question, now))
                 if one.duty.regime.line == about.line]  # fmt: skip
        lines = summary_lines(found) if given.get("summary") in _YES else obligation_lines(found)
    elif name == "findings":
        about = findings.asked(model, question, now.date())
        lines = finding_lines(*findings.found_for(model, about), about.last)
    else:
        about = indicators.asked(model, question, now.date())
        children = given.get("children") in _YES
        numbers, measured, _ = indicators.measured_for(model, about, now, children=children)
        lines = indicator_lines(numbers, measured, about.last)
    return _as(lines, layout, f"{name}_{about.unit.code}_{about.first}_{about.last}")


def _layout(given: Mapping[str, str]) -> Layout:
    try:
        layout = Layout(given.get("format") or "json")
        _MEDIA[layout]
    except (ValueError, KeyError) as error:
        raise Refusal(400, "format không hợp lệ", "format: csv, json.") from error
    return layout


def _as(lines: Lines, layout: Layout, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{_plain(name)}.csv"'} if layout is Layout.CSV else {}
    return Response(as_text(lines, layout), media_type=_MEDIA[layout], headers=headers)


def unit_answer(model: ReadModel, code: str, given: Mapping[str, str]) -> Response:
    """Who a unit is on a day, by default the newest it is in force on. Raises Refusal."""
    catalogue = model.catalogue()
    versions = catalogue.units.versions(UnitCode(code))
    if not versions:
        raise unknown_unit(code)
    day = read_day(given, "day")
    unit = versions[-1] if day is None else catalogue.units.unit(UnitCode(code), day)
    if unit is None:
        raise unknown_unit(code)
    day = min(day or unit.valid_to, unit.valid_to)
    units, line = catalogue.units, line_of(catalogue, Question.read(code, given))
    superiors: list[UnitCode] = []
    above = units.superior(unit.code, day, line)
    while above is not None:
        superiors.append(above)
        above = units.superior(above, day, line)
    found: dict[str, Any] = {
        **_unit(unit),
        "line": line,
        "superiors": [_named(units.unit(one, day), one) for one in superiors],
        "children": [_named(units.unit(one, day), one) for one in units.children(unit.code, day, line)],
    }
    if given.get("form") and (period := _period(given)) is not None:
        if all(known.id != given["form"] for known in catalogue.forms):
            raise unknown_form(catalogue, given["form"])
        found["coverage"] = _coverage(
            model.coverage(
                unit.code, FormId(given["form"]), period, as_of=read_moment(given), axis=read_axis(given), line=line
            )
        )
    return JSONResponse(found)


def _period(given: Mapping[str, str]) -> PeriodText | None:
    if not (text := given.get("period", "")):
        return None
    try:
        return parse_period(text).text
    except PeriodError as error:
        raise Refusal(400, f"“{text}” không phải là một kỳ", "Hãy viết kỳ như 2021-12-13.") from error


def _period_type(given: Mapping[str, str]) -> PeriodType | None:
    if not (text := given.get("type", "")):
        return None
    try:
        return PeriodType(text)
    except ValueError as error:
        raise Refusal(400, f"Không có loại kỳ “{text}”", f"Hãy chọn: {', '.join(PeriodType)}.") from error


def _unit(unit: Unit) -> dict[str, Any]:
    return {"code": unit.code, "name": unit.name, "level": unit.level, "kind": unit.kind.value,
            "valid_from": unit.valid_from.isoformat(), "valid_to": unit.valid_to.isoformat()}  # fmt: skip


def _named(unit: Unit | None, code: str) -> dict[str, str]:
    return {"code": code, "name": unit.name if unit else code}


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {
        "form": coverage.form,
        "period": coverage.period,
        "reported": coverage.reported,
        "nil": coverage.nil,
        "entered": coverage.entered,
        "expected": len(coverage.expected),
        "missing": [_named(unit, unit.code) for unit in coverage.missing],
        "first_accepted": _time(coverage.first_accepted),
        "newest_accepted": _time(coverage.newest_accepted),
        "version": coverage.version,
    }


def _time(value: Millis | None) -> str | None:
    return None if value is None else moment(value)


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in name)
