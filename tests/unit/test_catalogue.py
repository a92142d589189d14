"""The catalogue: one bundle for one set of files, what may follow it, and trees refused by the line at fault."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue import RELEASED, Catalogue, CatalogueError, refusal
from schemas.form import FormId
from schemas.unit import UnitCode
from tests.support.released import released_catalogue
from tests.support.signed import CATALOGUE, STOCK, TREE, form_file, second_version

TODAY = date(2026, 11, 22)
DAY = date(2021, 12, 13)
STOCK_FILE = "forms/stock-count.avsc"


def with_tree(*changes: tuple[str, str]) -> Catalogue:
    """The small catalogue with its tree changed: each first text becomes the second."""
    tree = TREE
    for old, new in changes:
        assert tree.count(old) == 1, old
        tree = tree.replace(old, new)
    return CATALOGUE.with_tree(tree, "small")


def with_file(name: str, content: bytes) -> Catalogue:
    return Catalogue({**CATALOGUE.files, name: content})


# Bundle and digest


def test_bundle_depends_on_the_files_alone() -> None:
    shuffled = Catalogue(dict(reversed(CATALOGUE.files.items())), epoch=3, serial=7)
    assert shuffled.bundle == CATALOGUE.bundle
    assert shuffled.digest == CATALOGUE.digest == hashlib.sha256(CATALOGUE.bundle).digest()
    assert (shuffled.announcement.epoch, shuffled.announcement.serial) == (3, 7)


def test_bundle_does_not_depend_on_where_and_when_the_files_lie(tmp_path: Path) -> None:
    for name, content in reversed(CATALOGUE.files.items()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert Catalogue.from_folder(tmp_path).bundle == CATALOGUE.bundle


def test_bundle_holds_sorted_names_and_no_times_or_owners() -> None:
    with tarfile.open(fileobj=io.BytesIO(CATALOGUE.bundle)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == sorted(CATALOGUE.files)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


def test_every_byte_of_every_file_is_in_the_digest() -> None:
    digests = {CATALOGUE.digest}
    for name in ("units/small.csv", "lines/ubnd-small.csv", "codes/vaccine.csv", STOCK_FILE):
        digests.add(with_file(name, CATALOGUE.files[name] + b"\n").digest)
    assert len(digests) == 5


def test_bundle_is_read_as_the_catalogue_it_was_made_of() -> None:
    found = Catalogue.from_bundle(CATALOGUE.bundle, 4, 5)
    assert (found.files, found.digest, found.epoch, found.serial) == (CATALOGUE.files, CATALOGUE.digest, 4, 5)
    assert set(found.forms) == set(CATALOGUE.forms)
    assert list(found.units.subtree(UnitCode("R"), DAY)) == ["R", "A", "D", "c1", "c2", "c3", "e1", "L"]


def test_version_in_force_is_the_newest_of_the_day() -> None:
    versions = [CATALOGUE.form_in_force(FormId("stock-two"), day) for day in (DAY, date(2021, 12, 14))]
    assert [form.version for form in versions if form] == [1, 2]
    assert CATALOGUE.form_in_force(FormId("testing-ended"), DAY) is None
    assert CATALOGUE.form_in_force(FormId("stock-two"), date(2020, 12, 31)) is None


# What may follow a catalogue under the same epoch


NEW_FORM = form_file(CATALOGUE.files[STOCK_FILE].decode(), "stock-three", lambda raw: None)


def version_from(day: str) -> bytes:
    def change(raw: dict[str, Any]) -> None:
        second_version(raw)
        raw["form"]["valid_from"] = day

    return form_file(CATALOGUE.files[STOCK_FILE].decode(), "stock-count", change)


def without(name: str) -> Catalogue:
    return Catalogue({other: content for other, content in CATALOGUE.files.items() if other != name})


@pytest.mark.parametrize(
    "new",
    [
        CATALOGUE,
        CATALOGUE.with_tree("code,name,level,parent,valid_from,valid_to\nX,Land X,nation,,2020-01-01,\n", "land-x"),
        with_tree(("c2,Xã", "c4,Xã Mới,commune,D,2021-01-01,\nc2,Xã")),
        with_tree(("c2,Xã Tả Lèng,commune,D,2021-01-01,\n", "c2,Xã Tả Lèng,commune,D,2021-01-01,2030-12-31\n")),
        with_tree(("c2,Xã", "l1,Xã,commune,L,2026-11-23,\nc2,Xã")),
        with_tree(("c1,Xã Thèn Sin,commune,D,2021-01-01,\n", "c1,Xã,commune,D,2021-01-01,2026-11-22\n"
                   "c1,Xã,commune,A,2026-11-23,\n")),
        with_file("forms/stock-three.avsc", NEW_FORM),
        with_file("forms/stock-count-2.avsc", version_from("2026-11-23")),
        with_file("codes/vaccine.csv", CATALOGUE.files["codes/vaccine.csv"] + b"zz,M\xe1\xbb\x9bi,New,2021-01-01,\n"),
    ],
    ids=["same", "tree", "sibling", "end to come", "first child to come", "move to come", "form", "version to come",
         "code"],
)  # fmt: skip
def test_additions_and_future_changes_may_follow(new: Catalogue) -> None:
    assert refusal(CATALOGUE, new, TODAY) is None


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (with_tree(("c2,Xã Tả Lèng,commune,D", "c2,Xã Tả Lèng,commune,A")), "unit c2 would get another superior"),
        (with_tree(("c2,Xã Tả Lèng,commune,D", "c2,Xã Tả Lèng,commune,")), "unit c2 would get another superior"),
        (with_tree(("c1,Xã Thèn Sin,commune,D,2021-01-01,\n", "c1,Xã,commune,D,2021-01-01,2026-11-21\n"
                    "c1,Xã,commune,A,2026-11-22,\n")), "unit c1 (Xã Thèn Sin) would lose days"),
        (with_tree(("c2,Xã", "l1,Xã,commune,L,2021-01-01,\nc2,Xã")), "unit L would get its first unit below"),
        (with_tree(("c2,Xã", "l1,Xã,commune,L,2026-11-22,\nc2,Xã")), "unit L would get its first unit below"),
        (with_tree(("c2,Xã Tả Lèng,commune,D,2021-01-01,\n", "c2,Xã Tả Lèng,commune,D,2021-01-01,2026-11-21\n")),
         "unit c2 (Xã Tả Lèng) would lose days"),
        (with_tree(("c2,Xã Tả Lèng,commune,D,2021-01-01,\n", "")), "unit c2 (Xã Tả Lèng) would lose days"),
        (with_tree(("e1,Xã Khun Há,commune,D,2021-01-01,2021-12-13", "e1,Xã Khun Há,commune,D,2021-01-01,")),
         "unit e1 (Xã Khun Há) would lose days"),
        (without(STOCK_FILE), "form stock-count would change for reports from 2021-01-01"),
        (with_file("forms/stock-count-2.avsc", version_from("2026-11-22")), "form stock-count would change"),
        (with_file("forms/stock-count-2.avsc", version_from("2021-06-01")),
         "form stock-count would change for reports from 2021-06-01"),
        (with_file(STOCK_FILE, CATALOGUE.files[STOCK_FILE].replace(b'"max_rows": 64', b'"max_rows": 65')),
         "form stock-count would change"),
    ],
)  # fmt: skip
def test_what_alters_days_that_may_have_been_reported_is_refused_in_one_sentence(new: Catalogue, why: str) -> None:
    found = refusal(CATALOGUE, new, TODAY)
    assert found is not None
    assert why in found
    assert "\n" not in found


def test_refusal_names_unit_or_form_and_day() -> None:
    assert refusal(CATALOGUE, without(STOCK_FILE), TODAY) == (
        "form stock-count would change for reports from 2021-01-01 on, which may have been counted"
    )
    moved = with_tree(("c2,Xã Tả Lèng,commune,D", "c2,Xã Tả Lèng,commune,A"))
    assert refusal(CATALOGUE, moved, TODAY) == (
        "unit c2 would get another superior on line ubnd on days up to 2026-11-22"
    )


# Trees given with --units


HEAD = "code,name,level,parent,valid_from,valid_to\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "X,Land X,nation,,01/01/2021,\n", r"new line 2: valid_from '01/01/2021' is not a day"),
        (HEAD + "X,Land X,nation,,2021-01-01,\nY,Y,province,X,2021-01-01,2021-02-30\n", r"new line 3: valid_to"),
        (HEAD + "X,Land X,nation,,,\n", r"new line 2: valid_from ''"),
        (HEAD + "X,Land X,nation,,2021-01-01,\n,No code,province,X,2021-01-01,\n", r"new line 3: .* a code and a name"),
        (HEAD + "X,,nation,,2021-01-01,\n", r"new line 2: .* a code and a name"),
        (HEAD + "X,Land X,nation,,2021-01-01\n", r"new line 2: 6 columns expected"),
        (HEAD + "X,Land X,nation,,2021-01-01,,,\n", r"new line 2: 6 columns expected"),
        ("code,name,level,valid_from\nX,Land X,nation,2021-01-01\n", r"new: no column parent, valid_to"),
        ("", r"new: no column code"),
        (HEAD, r"new: no unit in it"),
        (HEAD + "X,Land X,nation,NOBODY,2021-01-01,\n", r"superior NOBODY is not in force"),
        (HEAD + "X,Land X,nation,,2021-01-01,\nX,Land X,nation,,2022-01-01,\n", r"unit X: valid from 2022-01-01"),
        (HEAD + "X,Land X,nation,,2021-02-01,2021-01-01\n", r"unit X: valid to 2021-01-01"),
        (HEAD + "X,X,a,Y,2021-01-01,\nY,Y,a,X,2021-01-01,\n", r"its own superior"),
        (HEAD + "c1,Again,commune,D,2022-01-01,\n", r"unit c1: valid from 2022-01-01 while an earlier one still is"),
        (HEAD + "X,X,commune,D,2020-01-01,\n", r"superior D is not in force from 2020-01-01"),
    ],
)  # fmt: skip
def test_tree_that_can_not_be_used_is_refused_by_line_or_unit(text: str, why: str) -> None:
    with pytest.raises(CatalogueError, match=why) as refused:
        CATALOGUE.with_tree(text, "new")
    assert "\n" not in str(refused.value)


def test_tree_may_not_take_the_name_of_a_released_one() -> None:
    released = released_catalogue()
    with pytest.raises(CatalogueError, match="vn"):
        released.with_tree(HEAD + "X,Land X,nation,,2021-01-01,\n", "vn")


def test_tree_with_a_byte_order_mark_and_quoted_names_is_read() -> None:
    tree = "\ufeff" + HEAD + '"X","Land ""X"", the first",nation,,2021-01-01,\r\nY,Y,province,X,2021-01-01,\r\n'
    units = CATALOGUE.with_tree(tree, "new").units
    found = units.unit(UnitCode("X"), DAY)
    assert found is not None
    assert found.name == 'Land "X", the first'
    assert units.children(UnitCode("X"), DAY) == ("Y",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda files: files.update({"forms/copy.avsc": files[STOCK_FILE]}), "stock-count.avsc: same fingerprint"),
        (lambda files: files.update({STOCK_FILE: b"{"}), "forms/stock-count.avsc"),
        (lambda files: files.update({STOCK_FILE: b"\xff"}), "forms/stock-count.avsc"),
        (lambda files: files.update({STOCK_FILE: b"[]"}), "forms/stock-count.avsc"),
        (lambda files: files.pop("codes/vaccine.csv"), "no code list vaccine"),
        (lambda files: files.update({"codes/vaccine.csv": b"code\nx\n"}), "codes/vaccine.csv: no column label_vi"),
        (lambda files: files.update({"units/small.csv": files["units/small.csv"].replace(b"administrative", b"x")}),
         "units/small.csv line 2"),
    ],
)  # fmt: skip
def test_file_that_can_not_be_used_is_refused_by_its_name(change: Callable[[dict[str, bytes]], Any], why: str) -> None:
    files = dict(CATALOGUE.files)
    change(files)
    with pytest.raises(CatalogueError, match=why):
        Catalogue(files)


def test_folder_without_a_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no catalogue in"):
        Catalogue.from_folder(tmp_path)
    assert Catalogue.from_folder(STOCK, RELEASED).form_in_force(FormId("stock-count"), DAY)
