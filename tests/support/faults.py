"""One fault for each reason of the closed list: it breaks its own rule of admission and no other, and they combine."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from schemas.rejection import Reason
from schemas.report import Kind
from schemas.topics import MIB
from tests.support.signed import PARTITIONS, REGISTERED, TESTING, Draft


def add_all_tuples(draft: Draft) -> None:
    others = [("rt-pcr", "single"), ("antigen", "pooled"), ("antigen", "single")]
    draft.rows += [{**TESTING, "method": method, "sample": sample} for method, sample in others]


def set_cells(draft: Draft, **cells: int) -> None:
    draft.rows[0].update(cells)


def change(**fields: object) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        for name, value in fields.items():
            assert hasattr(draft, name)
            setattr(draft, name, value)

    return apply


# Each breaks its own rule and no other. `value_missing` and `internal_error` can't be reached by a record's bytes.
FAULTS: dict[Reason, Callable[[Draft], None]] = {
    Reason.TOO_LARGE: change(narrative={"notes": "a" * MIB}),
    Reason.NOT_DECODABLE: change(marker=b"\xc3\x02"),
    Reason.UNKNOWN_FORM: change(fingerprint=b"8 bytes!"),
    Reason.HEADER_INVALID: change(event_type="vn.chungsuc.report.v2"),
    Reason.UNKNOWN_UNIT: change(unit="zz"),
    Reason.STALE_NAME: change(unit_name="Xã Không Tên"),
    Reason.WRONG_KEY: change(key=b"c2"),
    Reason.WRONG_PARTITION: lambda draft: setattr(draft, "partition", (draft.right_partition + 1) % PARTITIONS),
    Reason.UNKNOWN_KEY: change(kid="kid-c1-2"),
    Reason.KEY_NOT_VALID: change(accepted_at=REGISTERED),
    Reason.BAD_SIGNATURE: change(flip_signature=True),
    Reason.NOT_AUTHORISED: change(signer="c2"),
    Reason.FORM_NOT_IN_FORCE: change(form="testing-ended"),
    Reason.PERIOD_INVALID: change(period="2021-12-32"),
    Reason.PERIOD_FUTURE: change(period="2099-01-01"),
    Reason.KIND_ROWS: change(kind=Kind.NIL),
    Reason.TOO_MANY_ROWS: add_all_tuples,
    Reason.DUPLICATE_ROW: lambda draft: draft.rows.append(deepcopy(draft.rows[0])),
    Reason.UNKNOWN_CODE: lambda draft: draft.rows.append({**TESTING, "method": "x-quang"}),
    Reason.VALUE_RANGE: lambda draft: set_cells(draft, tubes=-1),
    Reason.CHECK_FAILED: lambda draft: set_cells(draft, positive_persons=151),
}


def broken(*reasons: Reason) -> Draft:
    draft = Draft()
    for reason in reasons:
        FAULTS[reason](draft)
    return draft
