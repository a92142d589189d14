"""`make demo`: one synthetic week of Tam Đường from first report to province total, on a real broker.

Every number is invented; the units are real. What is printed is compared with `demo/tam-duong/expected.csv`, figures as
they were known at that moment of the week, and `obligations.csv`, who was in time and who not, so the demo fails when
one of them is not exactly right.
"""

from __future__ import annotations

import argparse
import csv
import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from consumers.dashboard.source import NOTICE_FILE
from consumers.export import for_terminal
from consumers.obligations import obligation_lines, obligations, summary_lines
from deploy.cli.main import told
from deploy.cli.output import print_lines, print_table
from deploy.decisions import decide
from deploy.drain import drain
from deploy.reading import millis, open_read_model, stored_offsets
from deploy.reporters import HEADS, apply, current_catalogue, intake
from deploy.sending import Sender
from deploy.stack import Stack
from deploy.throwaway import end_on_sigterm, stack_at
from producers.simulator import reporting_units
from schemas.act import Decided, ObligationDecided
from schemas.catalogue import ZONE
from schemas.exit import Exit
from schemas.form import FormId
from schemas.head import Heads
from schemas.obligations import Moment, Status
from schemas.period import PeriodText
from schemas.read_model import Axis, FigureQuery, Figures, ReadModel
from schemas.unit import UnitCode

STORY = Path(__file__).parent / "demo" / "tam-duong"
DATA = Path(".chungsuc-demo")
FORMS = ("vaccination-daily", "testing-daily", "support-payout")
"""Simulated for the province's other districts too."""
TOLD = (*FORMS, "vaccine-stock", "green-zone", "monthly-report", "review-report")
"""Told by the story, a file each."""
MORE_FORMS = {
    "cases-daily": ("cases",),
    "vaccine-stock": ("received", "used", "closing"),
    "hotline": ("calls", "resolved"),
    "forces-mobilised": ("person_days", "frontline_person_days"),
    "donation-money": ("amount_received", "balance"),
}
"""Five more forms of the week, and what is shown of them: told by the story, or simulated in Tam Đường."""
SIMULATED = tuple(form for form in MORE_FORMS if form not in TOLD)
PROVINCE, DISTRICT = UnitCode("12"), UnitCode("106")
MONDAY, SUNDAY = date(2021, 12, 13), date(2021, 12, 19)
DAYS = tuple(MONDAY + timedelta(days=n) for n in range(7))
SEED = 2021
DRAIN_WITHIN_S = 60.0
SERIES = "series"
MONDAY_AFTER = datetime(2021, 12, 20, 8, tzinfo=ZONE)
MORE_TIME = ObligationDecided(
    regime="green-zone", unit=UnitCode("03390"), period=PeriodText("T:2021-12-14:vung-xanh"), decided=Decided.EXTENDED,
    until=millis(datetime(2021, 12, 24, 17, tzinfo=ZONE)), by=DISTRICT, reason="chờ kết quả xét nghiệm",
)  # fmt: skip
"""On Wednesday the district gives the town more time for its green zone."""
DECIDED_AT = datetime(2021, 12, 15, 17, tzinfo=ZONE)
NOTICE = "Số liệu mô phỏng (synthetic): đơn vị có thật, con số được dựng cho bản trình diễn."


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of expected.csv: a figure of a unit as known at a moment of issue."""

    known_at: datetime
    unit: UnitCode
    form: FormId
    first: date
    last: date
    measure: str
    value: int

    def found(self, model: ReadModel) -> int:
        """The figure that the read model has for it: `series` counts reports, `a+b` adds measures."""
        query = FigureQuery(
            self.unit,
            self.form,
            self.first,
            self.last,
            sum=self.first != self.last,
            as_of=millis(self.known_at),
            axis=Axis.ISSUED,
        )
        figures = model.figures(query)
        return reported(figures) if self.measure == SERIES else total(figures, *self.measure.split("+"))


def total(figures: Figures, *measures: str) -> int:
    """The sum over all rows of these measures."""
    positions = [index for index, measure in enumerate(figures.form.measures) if measure.name in measures]
    if len(positions) != len(measures):
        raise ValueError(f"{figures.form.id} has not all of {measures}")
    return sum(row.measures[position] or 0 for row in figures.rows for position in positions)


def reported(figures: Figures) -> int:
    """How many series have reported: each period's once, however many rows it has."""
    return sum({row.period: row.units_reported for row in figures.rows}.values())


def expectations(path: Path = STORY / "expected.csv") -> list[Expectation]:
    """All lines of the file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Expectation(
                datetime.fromisoformat(row["known_at"]),
                UnitCode(row["unit"]),
                FormId(row["form"]),
                date.fromisoformat(row["from"]),
                date.fromisoformat(row["to"]),
                row["measure"],
                int(row["value"]),
            )
            for row in csv.DictReader(file)
        ]


def send_week(stack: Stack) -> None:
    """Tam Đường as the story has it, the seven other districts of Lai Châu simulated in the same forms."""
    sender = Sender(stack)
    catalogue = current_catalogue(Path(stack.data))
    print(f"  {apply(Path(stack.data), catalogue, intake(catalogue, Heads(), [STORY / HEADS]))}")
    decide(stack, MORE_TIME, millis(DECIDED_AT))
    for form in TOLD:
        summary = sender.replay(STORY / f"{form}.csv", form)
        print(f"  Tam Đường, {form}: {summary.sends} sends, {summary.acked} acknowledged")
    summary = sender.simulate(PROVINCE, DAYS, SEED, exclude=[DISTRICT], forms=FORMS)
    print(f"  the province's other districts, simulated: {summary.sends} sends, {summary.acked} acknowledged")
    summary = sender.simulate(DISTRICT, DAYS, SEED, forms=SIMULATED)
    print(f"  Tam Đường, {len(SIMULATED)} more forms, simulated: {summary.sends} sends, {summary.acked} acknowledged")


def show_week(model: ReadModel) -> None:
    """Province, district and its communes in one table."""
    units = model.catalogue().units
    communes = [code for code in units.children(DISTRICT, SUNDAY) if units.expected(code, SUNDAY)]
    rows = []
    for code in (PROVINCE, DISTRICT, *communes):
        unit = units.unit(code, SUNDAY)
        week = {form: model.figures(FigureQuery(code, FormId(form), MONDAY, SUNDAY, sum=True)) for form in FORMS}
        leaves = len([*reporting_units(units, code, SUNDAY)])
        rows.append(
            (
                str(code),
                unit.name if unit else "",
                total(week["vaccination-daily"], "dose1", "dose2"),
                total(week["testing-daily"], "persons"),
                total(week["testing-daily"], "positive_persons"),
                total(week["support-payout"], "paid"),
                total(week["support-payout"], "amount_paid"),
                f"{reported(week['vaccination-daily'])}/{leaves * len(DAYS)}",
            )
        )
    columns = (
        "Mã",
        "Đơn vị",
        "Mũi tiêm",
        "Người xét nghiệm",
        "Dương tính",
        "Người nhận hỗ trợ",
        "Số tiền (đồng)",
        "Báo cáo tiêm chủng",
    )
    print_table(columns, rows, title="Tuần 13/12 – 19/12/2021 (số liệu giả định – synthetic)")


def show_more(model: ReadModel) -> None:
    """What five more forms say of the district's week."""
    rows = []
    for form_id, names in MORE_FORMS.items():
        week = model.figures(FigureQuery(DISTRICT, FormId(form_id), MONDAY, SUNDAY, sum=True))
        labels = {measure.name: measure.label_vi for measure in week.form.measures}
        rows += [(form_id, week.form.label_vi, labels[name], total(week, name)) for name in names]
    print_table(
        ("form", "Biểu", "Chỉ tiêu", "Cả tuần"),
        rows,
        title="Các biểu khác của Tam Đường (số liệu giả định – synthetic)",
    )


def show_expected(model: ReadModel) -> int:
    """Each line of expected.csv beside what was found. Returns how many differ."""
    rows, differing = [], 0
    for one in expectations():
        found = one.found(model)
        differing += found != one.value
        span = one.first.isoformat() if one.first == one.last else f"{one.first}/{one.last}"
        rows.append(
            (
                one.known_at.strftime("%d/%m %H:%M"),
                one.form,
                span,
                one.measure,
                one.value,
                found,
                "equal" if found == one.value else "NOT EQUAL",
            )
        )
    print_table(
        ("known at", "form", "period", "measure", "expected", "found", ""),
        rows,
        title=f"Huyện Tam Đường ({DISTRICT}) as known at a moment of the week",
    )
    print(f"{len(rows) - differing} of {len(rows)} equal")
    return differing


def show_obligations(model: ReadModel) -> int:
    """Who owed what in the week, as known on the Monday after, beside obligations.csv. Returns how many differ."""
    known = Moment(millis(MONDAY_AFTER), Axis.ISSUED)
    found = obligations(model, DISTRICT, MONDAY, SUNDAY, known)
    lines = summary_lines(found)
    made = {str(row[0]): [str(cell) for cell in row] for row in lines.rows}
    with (STORY / "obligations.csv").open(encoding="utf-8", newline="") as file:
        columns, *expected = csv.reader(file)
    rows, differing = [], 0
    for row in expected:
        equal = made.get(row[0], [])[: len(row)] == row
        differing += not equal
        rows.append((*made.get(row[0], [row[0], "missing"]), "equal" if equal else f"NOT EQUAL: {row[1:]}"))
    print_table((*lines.columns, ""), rows, title=f"Obligations of the week, known on {MONDAY_AFTER:%d/%m %H:%M}")
    print_lines(for_terminal(obligation_lines(one for one in found if one.status is not Status.IN_TIME)))
    return differing + (len(made) != len(expected)) + (list(lines.columns[: len(columns)]) != columns)


def run(data: Path, *, port_base: int | None, wait: bool) -> int:
    """The whole demo. Returns the exit code."""
    started = time.monotonic()
    print("starting broker, ingest, rollup, read model, page and exporter …", flush=True)
    with stack_at(data, port_base=port_base) as stack:
        settings = stack.settings()
        print(f"ready after {time.monotonic() - started:.1f} s; sending the week", flush=True)
        (data / NOTICE_FILE).write_text(NOTICE, encoding="utf-8")
        send_week(stack)
        drain(settings, lambda: stored_offsets(settings), DRAIN_WITHIN_S)
        with open_read_model(settings) as model:
            show_week(model)
            show_more(model)
            differing = show_expected(model) + show_obligations(model)
        print(f"took {time.monotonic() - started:.1f} s")
        if wait:
            address = f"{stack.page}/units/{DISTRICT}?form={FORMS[0]}&from={MONDAY}&to={SUNDAY}"
            due = f"{stack.page}/units/{DISTRICT}/obligations?from={MONDAY}&to={SUNDAY}&axis=issued"
            print(f"The page of Tam Đường: {address}\nWhom to chase: {due}\nCtrl-C stops everything.", flush=True)
            _until_stopped()
    return Exit.FAILED if differing else Exit.FINE


def _until_stopped() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--no-wait", action="store_true", help="stop when all is shown, instead of leaving the page open"
    )
    parser.add_argument("--port-base", type=int, help="first port; by default 17000 or the next free hundred")
    parser.add_argument("--data", type=Path, default=DATA, help="the demo's own data folder")
    given = parser.parse_args()
    end_on_sigterm()
    try:
        return run(given.data, port_base=given.port_base, wait=sys.stdout.isatty() and not given.no_wait)
    except KeyboardInterrupt:
        return Exit.FAILED
    except Exception as error:
        message, code = told(error)
        print(f"demo: {message}", file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main())
