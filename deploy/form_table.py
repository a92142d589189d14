"""`python -m deploy.form_table`: most forms from one table, `deploy/forms/*.toml`, one entry a form.

What all forms have in common is written here once, so an entry holds what is its own. The `.avsc` files are checked in
and are what counts; a test fails while they are not what this writes. Forms that people fill in daily from an official
sheet (vaccination, testing, support) are written by hand and have no entry.

An entry:
- `dimensions.NAME = [code list, Vietnamese, English]`, `overlapping = [NAME]` where a thing may stand in several rows;
- `measures.NAME = [unit, kind, Vietnamese, English]`; kind: `flow` is added over units and time, `stock` over units and
  the last over time, `count` over units only, `distinct` never; with `?` it may be left blank;
- `checks = ["comparison | warn"]`, or `reject`; id and both sentences are made from the columns' labels;
- `periods`, `valid_from`, `valid_to`, `required` (sections of the text); `versions` adds measures from a day on.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from schemas.catalogue import RELEASED
from schemas.exit import Exit

TABLES = Path(__file__).parent / "forms"
FORMS = RELEASED / "forms"

Entry = Mapping[str, Any]
_KINDS = {"flow": ("sum", "sum"), "stock": ("sum", "last"), "count": ("sum", "none"), "distinct": ("none", "none")}
_SECTIONS = (
    ("results", "Kết quả đạt được", "Results"),
    ("difficulties", "Khó khăn, vướng mắc", "Difficulties"),
    ("causes", "Nguyên nhân", "Causes"),
    ("proposals", "Đề xuất, kiến nghị", "Proposals"),
    ("notes", "Ghi chú", "Notes"),
)
"""The parts that NĐ 09/2019/NĐ-CP asks for, and the column of notes that most official sheets end with."""
_LETTERS = 20_000
_SMALLEST_LIMIT = 8
_WORDS = {
    ast.LtE: ("không được lớn hơn", "must not exceed"),
    ast.Eq: ("phải bằng", "must equal"),
    ast.Add: (" cộng ", " plus "),
    ast.Sub: (" trừ ", " minus "),
    ast.Mult: (" nhân ", " times "),
}


def released_files() -> dict[str, str]:
    """Name and text of every `.avsc` file that the table makes."""
    files: dict[str, str] = {}
    for path in sorted(TABLES.glob("*.toml")):
        for form_id, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for version, one in enumerate(_versions(entry), 1):
                name = form_id if version == 1 else f"{form_id}-{version}"
                files[f"{name}.avsc"] = _text(form_id, version, one)
    return files


def _versions(entry: Entry) -> Iterator[Entry]:
    """Each version whole: the entry, then what each later one adds after a measure."""
    yield entry
    for change in entry.get("versions", ()):
        measures: dict[str, Any] = {}
        for name, about in entry["measures"].items():
            measures[name] = about
            if name == change["after"]:
                measures |= {added: [*new, "added"] for added, new in change["measures"].items()}
        entry = {**entry, **change, "measures": measures}
        yield entry


def _text(form_id: str, version: int, entry: Entry) -> str:
    about = {
        "id": form_id,
        "version": version,
        "valid_from": entry.get("valid_from", "2021-01-01"),
        **({"valid_to": entry["valid_to"]} if "valid_to" in entry else {}),
        "periods": entry.get("periods", ["day"]),
        **dict.fromkeys(("max_rows", "max_total_rows"), _limit(entry)),
        "label_vi": entry["label_vi"],
        "label_en": entry["label_en"],
        "source": entry["source"],
    }
    required = entry.get("required", ())
    sections = [
        {"name": name, "label_vi": vi, "label_en": en, "max_letters": _LETTERS}
        | ({"required": True} if name in required else {})
        for name, vi, en in _SECTIONS
    ]
    columns = [*_dimensions(entry), *_measures(entry)]
    namespace = f"vn.chungsuc.form.{form_id.replace('-', '_')}"
    return "\n".join(
        [
            f'{{"type": "record", "name": "Report", "namespace": {_json(namespace)},',
            f' "form": {_json(about)[:-1]},',
            *_block('  "checks": [', [_check(check, entry) for check in entry.get("checks", ())], "]},"),
            ' "fields": [',
            '  {"name": "header", "type": "vn.chungsuc.Header"},',
            '  {"name": "narrative", "type": {"type": "map", "values": "string"}, "default": {},',
            *_block('   "sections": [', sections, "]},"),
            '  {"name": "rows", "type": {"type": "array", "items": {"type": "record", "name": "Row", "fields": [',
            ",\n".join(f"    {_json(column)}" for column in columns),
            "  ]}}}]}",
            "",
        ]
    )


def _block(head: str, items: Sequence[Mapping[str, Any]], tail: str) -> Iterator[str]:
    """A JSON list, one item a line."""
    if not items:
        yield head + tail
        return
    yield head
    yield ",\n".join(f"    {_json(item)}" for item in items) + tail


def _limit(entry: Entry) -> int:
    """Rows that fit every tuple of codes with room for a quarter more: rollup stops when a total outgrows its form."""
    tuples = prod(len(_codes(about[0])) for about in entry.get("dimensions", {}).values())
    wanted = tuples + tuples // 4
    if not entry.get("dimensions"):
        return 1
    return max(_SMALLEST_LIMIT, 1 << (wanted - 1).bit_length())


def _codes(code_list: str) -> list[str]:
    return (RELEASED / "codes" / f"{code_list}.csv").read_text(encoding="utf-8").splitlines()[1:]


def _dimensions(entry: Entry) -> Iterator[dict[str, Any]]:
    for name, (code_list, vi, en) in entry.get("dimensions", {}).items():
        overlapping = {"overlapping": True} if name in entry.get("overlapping", ()) else {}
        yield {"name": name, "type": "string", "dimension": code_list, **overlapping, "label_vi": vi, "label_en": en}


def _measures(entry: Entry) -> Iterator[dict[str, Any]]:
    for name, (unit, kind, vi, en, *added) in entry["measures"].items():
        across, over = _KINDS[kind.rstrip("?")]
        optional = kind.endswith("?")
        # What an older version lacks is 0, or blank where a unit may leave it blank.
        default = {"default": None} if optional else {"default": 0} if added else {}
        yield {
            "name": name,
            "type": ["null", "long"] if optional else "long",
            **default,
            "measure": {"unit": unit, "across_units": across, "over_time": over},
            "label_vi": vi,
            "label_en": en,
        }


def _check(check: str, entry: Entry) -> dict[str, str]:
    rule, _, level = (part.strip() for part in check.partition("|"))
    compared = ast.parse(rule, mode="eval").body
    if not isinstance(compared, ast.Compare):
        raise ValueError(f"{rule} is no comparison")
    names = [node.id for node in ast.walk(compared) if isinstance(node, ast.Name)]
    sentences = [_sentence(compared, entry, language) for language in (0, 1)]
    return {
        "id": "-".join(dict.fromkeys(name.replace("_", "-") for name in names[:2])),
        "over": "row",
        "level": level,
        "rule": rule,
        "message_vi": sentences[0],
        "message_en": sentences[1],
    }


def _sentence(rule: ast.Compare, entry: Entry, language: int) -> str:
    left, right = (_spoken(side, entry, language) for side in (rule.left, rule.comparators[0]))
    text = f"{left} {_WORDS[type(rule.ops[0])][language]} {right}"
    return text[0].upper() + text[1:]


def _spoken(node: ast.expr, entry: Entry, language: int) -> str:
    """A side of a comparison in words: each measure by its label and, in brackets, its number."""
    match node:
        case ast.Name(id=name):
            return f"“{entry['measures'][name][2 + language]}” ({{{name}}})"
        case ast.Constant(value=value):
            return str(value)
        case ast.BinOp(left=left, op=op, right=right):
            return _WORDS[type(op)][language].join(_spoken(side, entry, language) for side in (left, right))
    raise ValueError(f"{ast.unparse(node)} can't be said in a check's sentence")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> int:
    """Write the forms, or with `--check` say which are not as the table has them. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.form_table", description="forms from deploy/forms/*.toml")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a form is out of date")
    given = parser.parse_args()
    for name, text in released_files().items():
        path = FORMS / name
        if not given.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{name} is out of date: run `python -m deploy.form_table`\n")
            return Exit.FAILED
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
