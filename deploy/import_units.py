"""Write the released Vietnamese unit trees from the wheel of `vietnamadminunits`.

Run by hand when the data set changes, never at runtime: the catalogue is the CSV files it writes. It keeps one
invariant: the same wheel gives the same bytes, and a wheel whose trees are not sound (a code used twice, a name
missing, a unit under two superiors, counts other than the ones this release was read for) writes nothing at all.

    python -m deploy.import_units vietnamadminunits-1.0.4-py3-none-any.whl

Both trees follow Quyết định 124/2004/QĐ-TTg: 2 digits for a province, 3 for a district, 5 for a commune. A code comes
back in the second tree for another unit, which is why a unit is (code, valid_from) and every unit is written per tree.
"""

from __future__ import annotations

import argparse
import csv
import re
import sqlite3
import sys
import unicodedata
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

DATABASE = "vietnamadminunits/data/dataset.db"
RELEASED = Path(__file__).resolve().parent.parent / "schemas" / "released"
ROOT_CODE, ROOT_NAME = "VN", "Việt Nam"

LEGACY_FROM, LEGACY_TO = "2021-01-01", "2025-06-30"
TWO_LEVEL_FROM, OPEN = "2025-07-01", ""

UNIT_COLUMNS = ("code", "name", "level", "kind", "place", "valid_from", "valid_to")
LINE_COLUMNS = ("code", "superior", "valid_from", "valid_to")

EXPECTED_COUNTS = {
    (LEGACY_FROM, "nation"): 1,
    (LEGACY_FROM, "province"): 63,
    (LEGACY_FROM, "district"): 696,
    (LEGACY_FROM, "commune"): 10_035,
    (TWO_LEVEL_FROM, "province"): 34,
    (TWO_LEVEL_FROM, "commune"): 3_321,
}
CODE_PATTERNS = {"province": r"\d{2}", "district": r"\d{3}", "commune": r"\d{5}"}
OFFICIAL_TYPES = {
    "province": ("Thành phố", "Tỉnh"),
    "district": ("Huyện", "Quận", "Thành phố", "Thị xã"),
    "commune": ("Phường", "Thị trấn", "Xã", "Đặc khu"),
}


class UnsoundWheelError(ValueError):
    """The wheel does not hold the trees this script was written for."""


# Stays small within a name: towns that grew from a state farm are called "Thị trấn Nông trường …".
COMMON_NOUNS = frozenset({"trường"})


@dataclass(frozen=True, slots=True)
class Unit:
    """One administrative unit in one tree, with its superior of the `ubnd` line (empty for the root)."""

    code: str
    name: str
    level: str
    superior: str
    valid_from: str
    valid_to: str


def official_name(raw: str, level: str) -> str:
    """Return the name with its official type, in NFC, single spaces, and capitals where Vietnamese puts them.

    The data set writes some types in title case ("Thị Trấn Prao") and leaves some accented initials small
    ("Xã Đại áng"); both would print wrongly in a statutory report, and `stale_name` would refuse the right spelling.
    Raises `UnsoundWheelError` for a name that does not begin with a type of its level.
    """
    name = " ".join(unicodedata.normalize("NFC", raw).split())
    for kind in OFFICIAL_TYPES[level]:
        if name.lower().startswith(f"{kind.lower()} "):
            words = name[len(kind) :].split()
            proper = [word if word in COMMON_NOUNS else word[0].upper() + word[1:] for word in words]
            return " ".join([kind, *proper])
    message = f"{level} name {raw!r} does not begin with an official type"
    raise UnsoundWheelError(message)


def read_units(wheel: Path) -> list[Unit]:
    """Return all units of both trees, sorted by code, then valid_from; raises `UnsoundWheelError` on unsound data."""
    with zipfile.ZipFile(wheel) as archive:
        database = archive.read(DATABASE)
    found: dict[tuple[str, str], Unit] = {}

    def add(code: str, raw_name: str, level: str, superior: str, tree: tuple[str, str]) -> None:
        code = code.strip()
        if not re.fullmatch(CODE_PATTERNS[level], code):
            message = f"{level} code {code!r} of {raw_name!r} has the wrong shape"
            raise UnsoundWheelError(message)
        unit = Unit(code, official_name(raw_name, level), level, superior.strip(), *tree)
        if found.setdefault((code, tree[0]), unit) != unit:
            message = f"{unit} contradicts {found[code, tree[0]]}"
            raise UnsoundWheelError(message)

    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(database)
        legacy = connection.execute(
            "SELECT provinceCode, province, districtCode, district, wardCode, ward FROM admin_units_legacy"
        )
        commune_rows: Counter[tuple[str, str]] = Counter()
        for province, province_name, district, district_name, ward, ward_name in legacy:
            tree = (LEGACY_FROM, LEGACY_TO)
            add(province, province_name, "province", ROOT_CODE, tree)
            add(district, district_name, "district", province, tree)
            # A district without communes (five islands) has one row with no ward: it is a leaf.
            if ward is not None:
                commune_rows[ward, LEGACY_FROM] += 1
                add(ward, ward_name, "commune", district, tree)
        two_level = connection.execute("SELECT provinceCode, province, wardCode, ward FROM admin_units")
        for province, province_name, ward, ward_name in two_level:
            tree = (TWO_LEVEL_FROM, OPEN)
            add(province, province_name, "province", ROOT_CODE, tree)
            commune_rows[ward, TWO_LEVEL_FROM] += 1
            add(ward, ward_name, "commune", province, tree)
    finally:
        connection.close()
    twice = sorted(key for key, count in commune_rows.items() if count > 1)
    if twice:
        message = f"commune rows that occur twice: {twice[:5]}"
        raise UnsoundWheelError(message)

    found[ROOT_CODE, LEGACY_FROM] = Unit(ROOT_CODE, ROOT_NAME, "nation", "", LEGACY_FROM, OPEN)
    units = [found[key] for key in sorted(found)]
    counts = Counter((unit.valid_from, unit.level) for unit in units)
    if counts != EXPECTED_COUNTS:
        message = f"counts {dict(counts)} differ from the expected {EXPECTED_COUNTS}"
        raise UnsoundWheelError(message)
    return units


def read_licence(wheel: Path) -> bytes:
    """Return the licence text that the wheel carries, which a copy of its data must carry too."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        if len(names) != 1:
            message = f"expected one licence file in the wheel, found {names}"
            raise UnsoundWheelError(message)
        return archive.read(names[0]).replace(b"\r\n", b"\n")


def write_csv(path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Write `rows` as UTF-8 with LF line ends, header first, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_release(units: list[Unit], licence: bytes, target: Path) -> None:
    """Write `units/vn.csv`, `lines/ubnd.csv` and the licence of the source below `target`."""
    write_csv(
        target / "units" / "vn.csv",
        UNIT_COLUMNS,
        [(u.code, u.name, u.level, "administrative", "", u.valid_from, u.valid_to) for u in units],
    )
    write_csv(
        target / "lines" / "ubnd.csv",
        LINE_COLUMNS,
        [(u.code, u.superior, u.valid_from, u.valid_to) for u in units if u.superior],
    )
    (target / "units" / "LICENSE-vietnamadminunits").write_bytes(licence)


def main(arguments: list[str] | None = None) -> int:
    """Run the import; 0 when the files were written, 1 when the wheel is not what it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.import_units",
        description="Write units/vn.csv, lines/ubnd.csv and the source's licence from a vietnamadminunits wheel.",
    )
    parser.add_argument("wheel", type=Path, help="path of vietnamadminunits-1.0.4-py3-none-any.whl")
    parser.add_argument(
        "--target", type=Path, default=RELEASED, help="folder of the released catalogue (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        units, licence = read_units(options.wheel), read_licence(options.wheel)
    except (UnsoundWheelError, OSError, KeyError, zipfile.BadZipFile, sqlite3.Error) as error:
        print(f"{options.wheel}: {error}", file=sys.stderr)
        return 1
    write_release(units, licence, options.target)
    for (valid_from, level), count in sorted(Counter((u.valid_from, u.level) for u in units).items()):
        print(f"{valid_from} {level:9} {count:6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
