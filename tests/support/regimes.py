"""A small catalogue for regimes: one to change line by line, a ladder, a tree, and forms of several periods."""

from __future__ import annotations

import json
from collections.abc import Mapping

from schemas.catalogue import Catalogue
from schemas.regime import Regime
from tests.support.read_model import CATALOGUE as SMALL
from tests.support.signed import form_file

TREE = """code,name,level,parent,valid_from,valid_to
R,Nước,nation,,2021-01-01,
A,Tỉnh A,province,R,2021-01-01,
B,Tỉnh B,province,R,2021-01-01,
a1,Xã a1,commune,A,2021-01-01,
a2,Xã a2,commune,A,2021-01-01,2021-12-13
a2,Xã a2 mới,commune,B,2021-12-14,
b1,Xã b1,commune,B,2021-01-01,
old,Xã cũ,commune,B,2021-01-01,2021-10-31
"""
REGIME = """id = "day-regime"
kind = "periodic"
valid_from = 2021-11-01

name_vi = "Báo cáo ngày"
name_en = "Daily report"
content_vi = "số liệu trong ngày"
outline_vi = ["Kết quả"]
recipients_vi = ["cấp trên"]
way_vi = "thư"
form = "covid-doses"
line = "ubnd"
frequency = "day"
cut_off = "17:30"

[basis]
document = "Công văn 1"
issuer = "Bộ"
issuer_level = "ministry"
issued_on = 2021-10-01
confirmed = true

# who is late after this
[[deadline]]
time = "17:30"

[reporters]
lowest = true
"""
LADDERS = """# presets
[city]
label_vi = "thành phố"
cut_off = "15:00"
[[city.deadline]]
level = "commune"
time = "15:30"

[[city.deadline]]
level = "district"
time = "16:00"
"""


def _form(form_id: str, periods: list[str]) -> bytes:
    def change(raw: dict[str, object]) -> None:
        about = raw["form"]
        assert isinstance(about, dict)
        about["periods"] = periods

    return form_file(SMALL.files["forms/covid-doses.avsc"].decode(), form_id, change)


FORMS = {
    f"forms/{name}.avsc": _form(name, periods)
    for name, periods in {"on-orders": ["topical"], "monthly": ["month"], "weekly": ["week"]}.items()
}
_FILES = {name: content for name, content in SMALL.files.items() if name.startswith(("forms/", "codes/"))} | FORMS


def catalogue_with(
    regimes: Mapping[str, str], *, ladders: str = LADDERS, days_off: str = "day,works,decision\n"
) -> Catalogue:
    """The small catalogue with these regimes, by file name."""
    tree = Catalogue(_FILES).with_tree(TREE, "small")
    files = {f"regimes/{name}": text.encode() for name, text in regimes.items()}
    return Catalogue({**tree.files, **files, "ladders.toml": ladders.encode(), "days-off.csv": days_off.encode()})


def regime_of(text: str) -> Regime:
    """The regime that a file makes."""
    (regime,) = catalogue_with({"day.toml": text}).regimes
    return regime


assert json.loads(FORMS["forms/weekly.avsc"])["form"]["periods"] == ["week"]
