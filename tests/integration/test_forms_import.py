"""A form that no code knows: dropped into a folder before the start, and another taken up by a running stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from deploy.cli.main import run
from deploy.stack import Stack, running_stack
from deploy.throwaway import stack_at
from producers.simulator import simulated_day, standing
from schemas.catalogue import RELEASED, Catalogue
from schemas.exit import Exit
from schemas.form import FormId
from schemas.report import Kind
from schemas.unit import UnitCode
from tests.support.released import released_catalogue

PORT = 27500
DISTRICT, DAY = UnitCode("106"), date(2021, 12, 13)
CODES = "code,label_vi,label_en,valid_from,valid_to\nngo,Ngô,Maize,2021-01-01,\nlua,Lúa,Rice,2021-01-01,\n"


def form_text(form_id: str) -> str:
    """A form about something that has nothing to do with disease."""

    def measure(name: str, vietnamese: str, english: str) -> dict[str, object]:
        rules = {"unit": "hectare", "across_units": "sum", "over_time": "sum"}
        return {"name": name, "type": "long", "measure": rules, "label_vi": vietnamese, "label_en": english}

    columns = [
        {"name": "crop", "type": "string", "dimension": "crop", "label_vi": "Cây trồng", "label_en": "Crop"},
        measure("sown", "Diện tích gieo trồng", "Sown"),
        measure("harvested", "Diện tích thu hoạch", "Harvested"),
    ]
    row = {"type": "record", "name": "Row", "fields": columns}
    about = {"id": form_id, "version": 1, "valid_from": "2021-01-01", "max_rows": 8, "max_total_rows": 8, "checks": [],
             "label_vi": "Báo cáo gieo trồng", "label_en": "Crops report", "source": "made for this test"}  # fmt: skip
    raw = {
        "type": "record",
        "name": "Report",
        "namespace": "vn.chungsuc.form." + form_id.replace("-", "_"),
        "form": about,
        "fields": [
            {"name": "header", "type": "vn.chungsuc.Header"},
            {"name": "narrative", "type": {"type": "map", "values": "string"}, "default": {}},
            {"name": "rows", "type": {"type": "array", "items": row}},
        ],
    }
    return json.dumps(raw, ensure_ascii=False, indent=1)


def folder_with(path: Path, form_id: str) -> Path:
    for name, text in ((f"forms/{form_id}.avsc", form_text(form_id)), ("codes/crop.csv", CODES)):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("stack")
    folder_with(data / "catalogue", "crops-spring")
    return data


@pytest.fixture(scope="module")
def stack(data: Path) -> Iterator[Stack]:
    with stack_at(data, port_base=PORT) as stack:
        yield stack


def chungsuc(data: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = Exit.FINE) -> str:
    found = run([*arguments, "--data", str(data)])
    said = capsys.readouterr()
    assert found == code, said.err
    return said.out if code == Exit.FINE else said.err


def expected(data: Path, form_id: str) -> list[int]:
    """Hectares sown and harvested in the district, from what the communes sent and nothing else."""
    catalogue = Catalogue.from_folder(RELEASED, data / "catalogue")
    sent = simulated_day(catalogue, DISTRICT, DAY, seed=3, forms=[FormId(form_id)])
    rows = [row for send in standing(sent).values() if send.kind is Kind.REPORT for row in send.rows]
    return [sum(int(row[name] or 0) for row in rows) for name in ("sown", "harvested")]


def counted(data: Path, capsys: pytest.CaptureFixture[str], form_id: str) -> list[int]:
    """The same, as the command line prints it."""
    day = ("--from", DAY.isoformat(), "--to", DAY.isoformat())
    found = chungsuc(data, capsys, "figures", "--unit", DISTRICT, "--form", form_id, *day, "--format", "json")
    rows = json.loads(found)
    return [sum(row[name] for row in rows) for name in ("sown", "harvested")]


def test_form_in_the_data_folder_is_listed_counted_and_printed(
    data: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Báo cáo gieo trồng" in chungsuc(data, capsys, "forms", "--on", "2021-12-13")
    play = ("simulate", "--under", DISTRICT, "--day", "2021-12-13", "--seed", "3", "--form", "crops-spring")
    chungsuc(data, capsys, *play)
    chungsuc(data, capsys, "drain")
    assert counted(data, capsys, "crops-spring") == expected(data, "crops-spring")
    assert sum(expected(data, "crops-spring")) > 0


def test_texts_are_printed_unit_by_unit_and_never_added(
    data: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    form = FormId("monthly-report")
    chungsuc(data, capsys, "simulate", "--under", DISTRICT, "--day", "2021-12-14", "--seed", "3", "--form", form)
    chungsuc(data, capsys, "drain")
    sent = standing(simulated_day(released_catalogue(), DISTRICT, date(2021, 12, 14), seed=3, forms=[form]))
    said = {
        (send.unit, text) for send in sent.values() if send.kind is Kind.REPORT
        for text in (send.narrative or {}).values()
    }  # fmt: skip
    printed = chungsuc(data, capsys, "texts", "--unit", DISTRICT, "--form", form, "--period", "2021-12",
                       "--format", "json")  # fmt: skip
    assert {(row["unit"], row["text"]) for row in json.loads(printed)} == said
    assert len({unit for unit, _ in said}) > 8


def test_form_is_taken_up_by_the_running_stack_without_a_stop(
    data: Path, stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {process.name: process.pid for process in running_stack(data).processes}
    given = folder_with(tmp_path / "given", "crops-summer")
    assert "forms/crops-summer.avsc" in chungsuc(data, capsys, "forms-import", str(given), "--dry-run")
    assert "crops-summer" not in chungsuc(data, capsys, "forms", "--on", "2021-12-13")
    chungsuc(data, capsys, "forms-import", str(given))
    play = ("simulate", "--under", DISTRICT, "--day", "2021-12-13", "--seed", "3", "--form", "crops-summer")
    chungsuc(data, capsys, *play)
    chungsuc(data, capsys, "drain")
    assert counted(data, capsys, "crops-summer") == expected(data, "crops-summer")
    assert "differing 0" in chungsuc(data, capsys, "verify")
    after = running_stack(data).processes
    assert {process.name: process.pid for process in after} == before
    assert [process.restarts for process in after] == [0] * len(after)


def test_bad_form_is_refused_by_file_and_line_and_leaves_no_trace(
    data: Path, stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = chungsuc(data, capsys, "forms", "--on", "2021-12-13")
    bad = tmp_path / "crops-autumn.avsc"
    bad.write_text(form_text("crops-autumn").replace('"over_time"', '"overtime"', 1), encoding="utf-8")
    said = chungsuc(data, capsys, "forms-import", str(bad), code=Exit.REFUSED)
    assert "forms/crops-autumn.avsc line " in said
    assert "overtime is not understood" in said
    changed = tmp_path / "crops-spring.avsc"
    changed.write_text(form_text("crops-spring").replace('"hectare"', '"acre"', 1), encoding="utf-8")
    said = chungsuc(data, capsys, "forms-import", str(changed), code=Exit.REFUSED)
    assert "form crops-spring would change for reports from 2021-01-01 on" in said
    assert chungsuc(data, capsys, "forms", "--on", "2021-12-13") == listed
    assert not (data / "catalogue" / "forms" / "crops-autumn.avsc").exists()
    assert '"hectare"' in (data / "catalogue" / "forms" / "crops-spring.avsc").read_text(encoding="utf-8")
