"""How many reports a second ingest decides on one core, with and without checking signatures.

From a record as the broker hands it out to the encoded contribution: decode, authority, form, rows, digest, encode.
Both ways in one run, over the same records, so that their ratio holds on a noisy machine. Forms: `bench-20` (one row of
20 integers) and the released `testing-daily` (two rows of four).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks.rollup import tree
from schemas.admission import Admission, Admitted, Received, iso_time
from schemas.catalogue import RELEASED, Catalogue
from schemas.codec import encode_report
from schemas.form import Form, FormId
from schemas.period import PeriodText
from schemas.register import KeyEntry
from schemas.report import REPORT_TYPE, Header, KeyId, Kind, Millis, Offset, Report, Revision, Row, Source
from schemas.signature import Ed25519Key, sign
from schemas.topics import partition_of
from schemas.unit import UnitCode
from streams.columns import write_contribution
from streams.ingest import figure_of

RECORDS = 5_000
ROUNDS = 5
_DAY = date(2021, 12, 13)
_PARTITIONS = 4
_NOW = Millis(1_790_000_000_000)


class Keys:
    """One registered key per unit."""

    def __init__(self) -> None:
        self.entries: dict[str, KeyEntry] = {}

    def key(self, kid: str) -> KeyEntry | None:
        """The key registered under `kid`."""
        return self.entries.get(kid)

    def principal(self, name: str) -> None:
        """Nobody attests here."""


def signed(form: Form, rows: Sequence[Row], units: int) -> tuple[list[Received], Keys]:
    """Signed records of many units, as ingest receives them."""
    keys, signers = Keys(), {}
    for number in range(units):
        unit = UnitCode(f"C{number:05d}")
        signer = signers[unit] = Ed25519Key.generate(KeyId(f"kid-{unit}-1"))
        keys.entries[signer.kid] = KeyEntry(signer.kid, unit, signer.public, Millis(0))
    found = []
    for at in range(RECORDS):
        unit = UnitCode(f"C{at % units:05d}")
        header = Header(unit, PeriodText(_DAY.isoformat()), Kind.REPORT, Revision(1 + at // units), at + 1, _NOW)
        report = Report(form.id, header, rows)
        record = sign(
            signers[unit],
            key=unit.encode(),
            value=encode_report(form, report),
            event_type=REPORT_TYPE,
            event_id=report.event_id,
            time=iso_time(_NOW),
        )
        source = Source(partition_of(unit.encode(), _PARTITIONS), Offset(at))
        found.append(Received(record.key, record.value, record.headers, source, _NOW, _PARTITIONS))
    return found, keys


def rate(records: Sequence[Received], catalogue: Catalogue, keys: Keys, *, check_signatures: bool) -> float:
    """Reports per CPU-second, the best of several rounds; raises if one is not admitted."""
    best = 0.0
    for _ in range(ROUNDS):
        admission = Admission(catalogue, keys, check_signatures=check_signatures)
        began = time.process_time()
        for record in records:
            decision = admission.decide(record)
            if not isinstance(decision, Admitted):
                raise SystemExit(f"not admitted: {decision}")
            write_contribution(figure_of(decision, catalogue, 1, record))
        best = max(best, len(records) / (time.process_time() - began))
    return best


def measure() -> list[dict[str, object]]:
    """One line per form."""
    released = Catalogue.from_folder(RELEASED)
    files = {**released.files, "forms/bench-20.avsc": (Path(__file__).parent / "bench-20.avsc").read_bytes()}
    catalogue = Catalogue(files).with_tree(tree(100), "bench")
    tables: dict[str, list[Row]] = {
        "bench-20": [{f"m{number:02d}": number * 1000 for number in range(1, 21)}],
        "testing-daily": [
            {"method": "antigen", "sample": "single", "persons": 120, "tubes": 120, "positive_tubes": 0,
             "positive_persons": 0},
            {"method": "rt-pcr", "sample": "pooled", "persons": 150, "tubes": 30, "positive_tubes": 1,
             "positive_persons": 0},
        ],
    }  # fmt: skip
    found: list[dict[str, object]] = []
    for form_id, rows in tables.items():
        form = catalogue.form_in_force(FormId(form_id), _DAY)
        assert form is not None
        records, keys = signed(form, rows, 100)
        checked = rate(records, catalogue, keys, check_signatures=True)
        unchecked = rate(records, catalogue, keys, check_signatures=False)
        found.append(
            {
                "form": form_id,
                "reports_per_cpu_s_signatures_checked": round(checked),
                "reports_per_cpu_s_unchecked": round(unchecked),
                "share_of_signatures": round(1 - checked / unchecked, 2),
            }
        )
    return found


def main() -> None:
    """Print one JSON line per form."""
    for line in measure():
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
