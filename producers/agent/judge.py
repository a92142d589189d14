"""What a file or a local request says, judged on the spot by the catalogue that the agent holds.

The same admission as at the gateway and in ingest, so an office without a line learns at once what would be refused.
Nothing is asked of this host's clock, which may be wrong: whether a period lies in the future is left to the gateway.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import PurePath
from typing import Any

from producers.errors import Problem
from producers.gateway.body import MAX_BODY_BYTES, MOST_REPORTS, read_json
from producers.gateway.draft import Draft, Item, Signed, from_json
from producers.gateway.refusal import Fault, Refusal, Slug, of_rejection, refused
from producers.history import parse_history, version_of
from producers.keys import NodeKey
from producers.send import Send
from schemas.admission import LATEST_ISSUE, Admission, Received, iso_time
from schemas.catalogue import Catalogue
from schemas.codec import encode_report
from schemas.period import PeriodText
from schemas.register import KeyEntry, PrincipalEntry
from schemas.rejection import Rejection
from schemas.report import REPORT_TYPE, Millis, Offset, Revision, Source
from schemas.signature import sign
from schemas.topics import DAY_MS, partition_of

ENDINGS = (".json", ".csv")
_FORM_IN_NAME = re.compile(r"([a-z0-9-]+)[._ ].*")
_PARTITIONS = 1
_LATE = Millis(LATEST_ISSUE - 2 * DAY_MS)
"""So late that no period lies in the future, and not so late that no calendar has it."""


class _OwnKey:
    """Authorities for what this node is about to sign: its own key, whose registration is the gateway's to judge."""

    def __init__(self, key: NodeKey) -> None:
        self._entry = KeyEntry(key.kid, key.unit, key.public, Millis(-1))

    def key(self, kid: object) -> KeyEntry | None:
        """This node's."""
        return self._entry if kid == self._entry.kid else None

    def principal(self, name: str) -> PrincipalEntry | None:
        """None: a node speaks under its key."""
        return None


class Judge:
    """Reads and judges under one catalogue, for one node."""

    def __init__(self, catalogue: Catalogue, key: NodeKey) -> None:
        self.catalogue = catalogue
        self._key = key
        self._admission = Admission(catalogue, _OwnKey(key), check_signatures=False)

    def file(self, name: str, content: bytes, today: date) -> list[Draft] | list[Problem]:
        """The reports of a whole file, or all that is wrong with it: of a file all is taken, or nothing."""
        if len(content) > MAX_BODY_BYTES:
            return [Problem(name, f"tệp quá lớn / the file is too large: at most {MAX_BODY_BYTES:,} bytes")]
        if PurePath(name).suffix.lower() == ".csv":
            return self._csv(name, content)
        try:
            found = self.reports(read_json(content), today)
        except Refusal as refusal:
            return [_problem(refusal)]
        wrong = [_problem(one) for one in found if isinstance(one, Refusal)]
        return wrong or [one for one in found if isinstance(one, Draft)]

    def reports(self, raw: Any, today: date) -> list[Draft | Refusal]:
        """Each report of a JSON value, or what is wrong with it. Raises Refusal where none can be told apart."""
        many = isinstance(raw, dict) and "reports" in raw
        listed = raw["reports"] if many else [raw]
        if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_REPORTS or (many and len(raw) > 1):
            raise refused(
                Slug.BAD_REQUEST,
                f'Một lô là {{"reports": […]}} với 1 đến {MOST_REPORTS} báo cáo.',
                f'A batch is {{"reports": […]}} with 1 to {MOST_REPORTS} reports.',
            )
        return [self._report(one, today, f"/reports/{at}" if many else "") for at, one in enumerate(listed)]

    def _report(self, raw: object, today: date, pointer: str) -> Draft | Refusal:
        try:
            item: Item = from_json(raw, self.catalogue, today)
            if isinstance(item, Signed):
                raise refused(Slug.BAD_REQUEST, "Máy này tự ký báo cáo; hãy gửi báo cáo chưa ký.",
                              "This node signs by itself: give it the report unsigned.")  # fmt: skip
            self._decide(item)
        except Refusal as refusal:
            return refusal.at(pointer)
        return item

    def _decide(self, draft: Draft) -> None:
        """Raises Refusal where admission would reject it, whatever the time."""
        send = as_send(draft, draft.issued_at or Millis(0))
        report = send.report(Revision(1), 1)
        record = sign(
            self._key, key=draft.unit.encode(), value=encode_report(draft.form, report), event_type=REPORT_TYPE,
            event_id=report.event_id, time=iso_time(report.header.issued_at),
        )  # fmt: skip
        source = Source(partition_of(draft.unit.encode(), _PARTITIONS), Offset(0))
        received = Received(record.key, record.value, record.headers, source, _LATE, _PARTITIONS)
        decided = self._admission.decide(received)
        if isinstance(decided, Rejection):
            raise of_rejection(decided)

    def _csv(self, name: str, content: bytes) -> list[Draft] | list[Problem]:
        form_id = _FORM_IN_NAME.fullmatch(name)
        versions = [form for form in self.catalogue.forms if form_id is not None and form.id == form_id[1]]
        if not versions:
            return [Problem(name, "tên tệp phải bắt đầu bằng mã biểu / a CSV file is named by its form first, "
                                  "such as testing-daily.2021-12-13.csv")]  # fmt: skip
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return [Problem(name, f"không phải UTF-8 / not UTF-8: {error}")]
        if not text.endswith("\n"):
            return [Problem(name, "tệp chưa trọn vẹn / the file does not end with a whole line")]
        history = parse_history(text, version_of(text, versions), self.catalogue.units)
        problems, drafts = list(history.problems), [_draft(send) for send in history.sends]
        for send, draft in zip(history.sends, drafts, strict=True):
            try:
                self._decide(draft)
            except Refusal as refusal:
                problems.append(Problem(send.where, str(_problem(refusal))))
        return problems or drafts


def as_send(draft: Draft, issued_at: Millis) -> Send:
    """A draft as it goes through the outbox."""
    return Send(
        draft.form, draft.unit, draft.period, draft.kind, issued_at, draft.rows, draft.entered_by, draft.line,
        draft.scope, draft.narrative,
    )  # fmt: skip


def said_of(refusal: Refusal) -> str:
    """Both languages, and every fault."""
    vietnamese, english = refusal.words
    lines = [f"{vietnamese} / {english}"]
    lines += [f"{_at(fault)}{fault.words[0]} / {fault.words[1]}" for fault in refusal.faults[1:]]
    return "\n".join(lines)


def _at(fault: Fault) -> str:
    return f"{fault.pointer}: " if fault.pointer else ""


def _problem(refusal: Refusal) -> Problem:
    return Problem(refusal.faults[0].pointer if refusal.faults else "", said_of(refusal))


def _draft(send: Send) -> Draft:
    return Draft(
        send.form, send.unit, PeriodText(send.period), send.kind, tuple(send.rows), send.narrative or {}, send.line,
        send.scope, send.entered_by, send.issued_at,
    )  # fmt: skip
