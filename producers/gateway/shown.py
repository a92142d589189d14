"""What is shown of receipts, series, forms, units and keys, as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from producers.gateway.refusal import Language
from producers.gateway.store import Held
from producers.sequences import Signed
from schemas.catalogue import Catalogue
from schemas.form import Form
from schemas.obligations import Obligation
from schemas.period import PeriodError, parse_period
from schemas.precedence import Outcome
from schemas.read_model import CountedLink, ReadModel
from schemas.receipt import Receipt
from schemas.register import NEVER, KeyEntry
from schemas.rejection import Reason
from schemas.report import Millis, Offset, Source
from schemas.sentences import SENTENCES
from schemas.unit import OPEN, Unit, UnitCode

_ID = re.compile(r"(\d{1,6})-(\d{1,18})", re.ASCII)
PENDING = "pending"
OUTCOMES: Mapping[str, tuple[str, str]] = {
    PENDING: ("Đã tiếp nhận, đang xử lý", "Received, being worked on"),
    Outcome.ACCEPTED: ("Đã nhận", "Accepted"),
    Outcome.DUPLICATE: ("Trùng với báo cáo đã nhận", "The same as one accepted before"),
    Outcome.SUPERSEDED: ("Đã có bản mới hơn", "A newer revision stands"),
    Outcome.CONFLICT: ("Trùng số lần gửi, khác nội dung: gửi lại", "Same revision, other content: send it again"),
    Outcome.REJECTED: ("Bị từ chối", "Rejected"),
}


def receipt_id(source: Source) -> str:
    """A report's place in `reports` as it stands in an address."""
    return f"{source.partition}-{source.offset}"


def read_receipt_id(text: str) -> Source | None:
    """The place that an address names."""
    match = _ID.fullmatch(text)
    return Source(int(match[1]), Offset(int(match[2]))) if match else None


def time_text(millis: Millis) -> str:
    """A time in UTC, to the millisecond."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def receipt_shown(model: ReadModel, receipt: Receipt, language: Language) -> dict[str, Any]:
    """A receipt (thông báo tiếp nhận), with how far up the report has been counted."""
    accepted = receipt.outcome is Outcome.ACCEPTED
    links = model.counted_up_to(receipt.source) if accepted else ()
    return {
        "id": receipt_id(receipt.source),
        "outcome": receipt.outcome.value,
        "said": _words(OUTCOMES[receipt.outcome], language),
        "unit": receipt.unit,
        "unit_name": _name(model.catalogue(), receipt.unit, receipt.period),
        "line": receipt.line,
        "form": receipt.form,
        "period": receipt.period,
        "entered_by": receipt.entered_by or None,
        "revision": max(receipt.revision, 0),
        "highest_revision": max(receipt.highest_revision, 0),
        "reason": receipt.reason or None,
        "field": receipt.field or None,
        "detail": _detail(receipt, language),
        "kid": receipt.kid,
        "digest": receipt.digest.hex(),
        "accepted_at": time_text(receipt.accepted_at),
        "counted": [_link(link) for link in links],
    }


def pending_shown(source: Source, held: Held, catalogue: Catalogue, language: Language) -> dict[str, Any]:
    """What is known of a report that the broker has and the streams have not come to."""
    series = held.series
    return {
        "id": receipt_id(source),
        "outcome": PENDING,
        "said": _words(OUTCOMES[PENDING], language),
        "unit": series.unit,
        "unit_name": _name(catalogue, series.unit, series.period),
        "line": series.line,
        "form": series.form,
        "period": series.period,
        "entered_by": series.entered_by,
        "revision": held.revision,
        "kid": held.kid,
        "counted": [],
    }


def form_shown(form: Form, language: Language) -> dict[str, Any]:
    """One version of a form, in short."""
    return {
        "id": form.id,
        "version": form.version,
        "label": _words((form.label_vi, form.label_en), language),
        "valid_from": form.valid_from.isoformat(),
        "valid_to": None if form.valid_to == OPEN else form.valid_to.isoformat(),
        "fingerprint": form.fingerprint.hex(),
    }


def form_whole(form: Form, catalogue: Catalogue, day: date, language: Language) -> dict[str, Any]:
    """One version of a form with its columns, the codes in force that day, its checks, and its Avro schema."""
    return form_shown(form, language) | {
        "periods": [period.value for period in form.periods],
        "max_rows": form.max_rows,
        "source": form.source,
        "dimensions": [
            {
                "name": dimension.name,
                "label": _words((dimension.label_vi, dimension.label_en), language),
                "codes": [
                    {"code": entry.code, "label": _words((entry.label_vi, entry.label_en), language)}
                    for entry in catalogue.codes[dimension.code_list].values()
                    if catalogue.code_in_force(dimension.code_list, entry.code, day)
                ],
            }
            for dimension in form.dimensions
        ],
        "measures": [
            {
                "name": measure.name,
                "label": _words((measure.label_vi, measure.label_en), language),
                "unit": measure.unit,
                "optional": measure.optional,
                "minimum": measure.minimum,
            }
            for measure in form.measures
        ],
        "checks": [
            {"id": check.id, "level": check.level.value, "rule": check.rule.text, "over": "table" if check.over_table
             else "row", "message": _words((check.message_vi, check.message_en), language)}
            for check in form.checks
        ],
        "narrative": [
            {"name": section.name, "label": _words((section.label_vi, section.label_en), language),
             "required": section.required, "max_letters": section.max_letters}
            for section in form.sections
        ],
        "avro": json.loads(form.text),
    }  # fmt: skip


def unit_shown(unit: Unit, superior: UnitCode | None) -> dict[str, Any]:
    """A unit during its validity."""
    return {
        "code": unit.code,
        "name": unit.name,
        "level": unit.level,
        "kind": unit.kind.value,
        "superior": superior,
        "valid_from": unit.valid_from.isoformat(),
        "valid_to": None if unit.valid_to == OPEN else unit.valid_to.isoformat(),
    }


def obligation_shown(obligation: Obligation, language: Language) -> dict[str, Any]:
    """A report that is due, and what became of it."""
    duty, decision = obligation.duty, obligation.decision
    status = obligation.status
    return {
        "regime": duty.regime.id,
        "name": duty.regime.name_vi,
        "form": duty.regime.form,
        "unit": duty.unit.code,
        "unit_name": duty.unit.name,
        "period": duty.period.text,
        "due": obligation.due.isoformat(timespec="seconds"),
        "status": status.value,
        "said": _words((status.label_vi, status.value.replace("-", " ")), language),
        "reported_at": None if obligation.reported_at is None else time_text(obligation.reported_at),
        "entered_by": obligation.entered_by or None,
        "decided": None if decision is None else decision.about.decided.value,
        "reason": None if decision is None else decision.about.reason,
    }


def key_shown(entry: KeyEntry, signed: Signed | None) -> dict[str, Any]:
    """A registered key, with gaps and forks in what it has signed, as the operator last looked."""
    return {
        "kid": entry.kid,
        "unit": entry.unit,
        "public_key": entry.public_key.hex(),
        "valid_after": time_text(entry.after),
        "valid_until": None if entry.until == NEVER else time_text(entry.until),
        "reason": entry.reason or None,
        "sequence": None
        if signed is None
        else {
            "highest": signed.highest,
            "gaps": [{"first": first, "last": last} for first, last in signed.gaps],
            "forks": [{"number": number, "ids": places.replace(":", "-").split()} for number, places in signed.forks],
        },
    }


def units_named(catalogue: Catalogue, asked: str, day: date) -> Iterator[Unit]:
    """Units in force on a day whose name or code holds a text."""
    wanted = asked.casefold()
    return (
        unit for unit in catalogue.units
        if unit.valid_from <= day <= unit.valid_to and (wanted in unit.name.casefold() or unit.code == asked)
    )  # fmt: skip


def _name(catalogue: Catalogue, code: str, period: str) -> str | None:
    try:
        found = catalogue.units.unit(UnitCode(code), parse_period(period).last_day)
    except PeriodError:
        return None
    return found.name if found else None


def _detail(receipt: Receipt, language: Language) -> str | None:
    """The sentence; a receipt carries the Vietnamese one, the English one says reason and field."""
    if language is Language.ENGLISH and receipt.reason in list(Reason):
        said = SENTENCES[Reason(receipt.reason)][1]
        return f"{said}: {receipt.field}." if receipt.field else f"{said}."
    return receipt.detail or None


def _link(link: CountedLink) -> dict[str, Any]:
    return {"unit": link.unit, "name": link.name, "level": link.level, "counted": link.counted}


def _words(words: Sequence[str], language: Language) -> str:
    return words[0] if language is Language.VIETNAMESE else words[1]
