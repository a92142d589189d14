"""Words and code say the same, in both directions: what is there is documented, what is documented is there.

Each scanner is tried on planted examples too, so that it can't pass by seeing nothing.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import click
import pytest

from deploy import checks_page
from deploy.cli.main import cli
from deploy.forms_page import PAGE, page
from deploy.regimes_page import PAGE as PAGE_OF_REGIMES
from deploy.regimes_page import page as page_of_regimes
from schemas.catalogue import Catalogue
from schemas.exit import Exit
from schemas.failpoint import VARIABLE
from schemas.rejection import Reason
from schemas.sentences import SENTENCES
from schemas.settings import PREFIX, Settings
from tests.support.released import released_catalogue

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ROOMS = ("schemas", "producers", "streams", "consumers", "deploy")
PAGES = (
    ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "THIRD-PARTY.md", *sorted(DOCS.glob("*.md")),
)  # fmt: skip
LONGEST_LINE = 160
KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Enum", "Info", "CounterMetricFamily", "GaugeMetricFamily"}
SUFFIXES = ("_bucket", "_sum", "_count")


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def sources() -> Mapping[Path, ast.Module]:
    """Every module of the product, parsed."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return {path: ast.parse(read(path)) for path in paths}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every line of a table."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def code_spans(text: str) -> list[str]:
    """What stands between single backticks, outside code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def code_lines(text: str) -> Iterator[str]:
    """The lines of code blocks, without their comments."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield line.partition("#")[0].strip()


# Settings


def settings_named(text: str) -> set[str]:
    return {name.rstrip("_") for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]+", text)}


def known_settings() -> set[str]:
    return {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | {VARIABLE}


def test_every_setting_is_in_the_table_and_no_other() -> None:
    listed = [cells[0] for cells in rows(read(DOCS / "operations.md")) if cells[0].startswith(f"`{PREFIX}")]
    assert sorted(listed) == sorted(f"`{name}`" for name in known_settings())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    assert settings_named(read(path)) <= known_settings()


def test_the_table_has_the_defaults() -> None:
    found = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(read(DOCS / "operations.md")) if len(cells) > 1}
    for name, field in Settings.model_fields.items():
        default = found[f"{PREFIX}{name}".upper()]
        shown = "" if default == "empty" else default
        assert shown in (str(field.default), f"{field.default:g}" if isinstance(field.default, float) else shown), name
        assert (shown == "") == (field.default == ""), name


def test_planted_setting_is_seen() -> None:
    assert settings_named(f"set `{PREFIX}NO_SUCH_THING=1`") == {f"{PREFIX}NO_SUCH_THING"}


# Metrics


def metrics_in(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """(exported name, labels) of each metric that a module defines; labels None where they are no literal."""
    names = {
        target.id: node.value
        for node in tree.body if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        if kind in KINDS and isinstance(first, ast.Constant) and isinstance(first.value, str):
            total = kind.startswith("Counter") and not first.value.endswith("_total")
            yield first.value + "_total" * total, _labels(node, names)


def _labels(call: ast.Call, names: Mapping[str, ast.expr]) -> tuple[str, ...] | None:
    family = isinstance(call.func, ast.Name) and call.func.id.endswith("Family")
    by_name = [keyword.value for keyword in call.keywords if keyword.arg in ("labels", "labelnames")]
    given = by_name or ([] if family else call.args[2:3])
    if not given:
        return ()
    node = names.get(given[0].id, given[0]) if isinstance(given[0], ast.Name) else given[0]
    if not isinstance(node, ast.List | ast.Tuple):
        return None
    return tuple(str(one.value) for one in node.elts if isinstance(one, ast.Constant))


@cache
def metrics_defined() -> dict[str, tuple[str, ...] | None]:
    return {name: labels for tree in sources().values() for name, labels in metrics_in(tree)}


def metrics_listed(text: str) -> dict[str, tuple[str, ...]]:
    """Name and labels of each metric in the tables of a page."""
    return {
        cells[0].strip("`"): tuple(code_spans(cells[1]))
        for cells in rows(text) if re.fullmatch(r"`chungsuc_\w+`", cells[0])
    }  # fmt: skip


def metrics_named(text: str) -> set[str]:
    return set(re.findall(r"\bchungsuc_\w+", text))


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    defined, listed = metrics_defined(), metrics_listed(read(DOCS / "operations.md"))
    assert set(listed) == set(defined)
    assert {name: listed[name] for name in defined if defined[name] is not None} == {
        name: labels for name, labels in defined.items() if labels is not None
    }


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    known = {name + suffix for name in metrics_defined() for suffix in ("", *SUFFIXES)}
    assert metrics_named(read(path)) <= known


def test_planted_metrics_are_seen() -> None:
    tree = ast.parse(
        'L = ("a", "b")\nX = Counter("one", "Words.", ["stage"])\nY = prometheus_client.Gauge("two", "Words.")\n'
        'def f():\n    yield CounterMetricFamily("three_total", "Words.", labels=L)\nZ = Other("four", "Words.")\n'
    )
    assert dict(metrics_in(tree)) == {"one_total": ("stage",), "two": (), "three_total": ("a", "b")}
    assert metrics_listed("| `chungsuc_x` | `a` `b` | who | what |\n| no | `c` |") == {"chungsuc_x": ("a", "b")}


# Reasons, exit codes, failpoints


def test_every_reason_is_documented_with_both_sentences_in_the_order_tested() -> None:
    found = [cells for cells in rows(read(DOCS / "contract.md")) if len(cells) == 3 and cells[0].startswith("`")]
    assert found == [[f"`{reason.value}`", *SENTENCES[reason]] for reason in Reason]


def test_every_exit_code_is_documented() -> None:
    found = {cells[0]: cells[1] for cells in rows(read(DOCS / "operations.md")) if cells[0].isdigit()}
    assert found == {str(code.value): f"`{code.name}`" for code in Exit}


def failpoints_in(tree: ast.Module) -> set[str]:
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint"
        if node.args and isinstance(node.args[0], ast.Constant)
    }


def test_every_failpoint_is_documented_and_no_other() -> None:
    passed = set[str]().union(*map(failpoints_in, sources().values()))
    listed = {cells[0].strip("`") for cells in rows(read(DOCS / "reliability.md")) if re.match(r"`\w+\.\w+`", cells[0])}
    assert listed == passed


def test_planted_failpoint_is_seen() -> None:
    assert failpoints_in(ast.parse('failpoint("a.b", source)')) == {"a.b"}


# Command line


def commands(group: click.Group = cli, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by the words that call it, those of groups too."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def called(words: Sequence[str]) -> tuple[str, int] | None:
    """The command that a line calls, and how many of its words name it."""
    known = dict(commands())
    return next(((" ".join(words[:n]), n) for n in (1, 2) if " ".join(words[:n]) in known), None)


def options_of(command: click.Command) -> set[str]:
    """The long options that `--help` shows."""
    return {
        name
        for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden
        for name in parameter.opts if name.startswith("--")
    }  # fmt: skip


def test_every_command_and_option_is_documented_and_no_other() -> None:
    found = {
        (called(words) or (cells[0], 0))[0]: {option for span in code_spans(cells[1]) for option in span.split()}
        for cells in rows(read(DOCS / "operations.md")) if cells[0].startswith("`chungsuc ")
        for words in [cells[0].strip("`").split()[1:]]
    }  # fmt: skip
    assert found == {name: options_of(command) for name, command in commands()}
    assert {"--help", "--version"} <= {
        word for span in code_spans(read(DOCS / "operations.md")) for word in span.split()
    }


def misspelt(lines: Iterable[str]) -> list[str]:
    """Lines that call `chungsuc` in a way it does not understand."""
    wrong = []
    for line in lines:
        if not line.startswith("chungsuc "):
            continue
        _, *words = shlex.split(line)
        if words[0] in ("--help", "--version", "COMMAND"):
            continue
        found = called(words)
        options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
        if found is None:
            # A group by its name alone is how people speak of it.
            if options or not isinstance(cli.commands.get(" ".join(words)), click.Group):
                wrong.append(line)
        elif options - options_of(dict(commands())[found[0]]):
            wrong.append(line)
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_shown_is_understood(path: Path) -> None:
    assert misspelt([*code_lines(read(path)), *code_spans(read(path))]) == []


def test_planted_misspelt_commands_are_seen() -> None:
    assert misspelt(["chungsuc principals", "chungsuc principals list", "chungsuc principals lst"]) == [
        "chungsuc principals lst"
    ]
    assert misspelt(["chungsuc upp", "chungsuc up --dta x", "chungsuc up --data x", "make demo"]) == [
        "chungsuc upp", "chungsuc up --dta x",
    ]  # fmt: skip
    assert [*code_lines("a\n```sh\nchungsuc up  # start\n```\n`chungsuc down`")] == ["chungsuc up"]


# Links, files, headings


def anchors(text: str) -> set[str]:
    """The fragments that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(path: Path, text: str) -> list[str]:
    """Relative links whose file or heading is not there."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        shown = text if target == path else read(target) if target.is_file() else ""
        if not target.exists() or (fragment and fragment not in anchors(shown)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    assert broken_links(path, read(path)) == []


def test_planted_broken_links_are_seen() -> None:
    text = "# A heading, plain\n[a](no-such.md) [b](#a-heading-plain) [c](#no-heading) [d](docs/forms.md#no-form)"
    assert broken_links(ROOT / "README.md", text) == ["no-such.md", "#no-heading", "docs/forms.md#no-form"]


def missing_files(text: str) -> list[str]:
    """Files and folders of this repository that are named in backticks and are not there."""
    named = [
        span for span in code_spans(text) if re.fullmatch(rf"({'|'.join(ROOMS)}|tests|docs|benchmarks)/[\w./-]+", span)
    ]
    return [span for span in named if not (ROOT / span).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    assert missing_files(read(path)) == []


def test_planted_missing_file_is_seen() -> None:
    assert missing_files("`schemas/unit.py` and `schemas/no_such.py`") == ["schemas/no_such.py"]


def pages_named_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(page, heading or nothing) of each page that the words of a module send people to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"docs/([\w-]+\.md)(?:, '([^']+)')?", node.value)


def test_every_page_and_heading_that_a_message_names_exists() -> None:
    named = [found for tree in sources().values() for found in pages_named_in(tree)]
    assert ("operations.md", "rollup stopped for good") in named
    for name, heading in named:
        assert (DOCS / name).exists(), name
        assert not heading or heading.replace(" ", "-") in anchors(read(DOCS / name)), heading


# What must not stand anywhere


def tracked_files() -> list[Path]:
    """Every file of the repository; without git, every one that does not lie in a hidden folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]
    hidden = (".", "__pycache__", "build")
    found = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith(hidden) for part in path.relative_to(ROOT).parts[:-1])]


def forbidden_in(text: str) -> list[str]:
    """Paths of one machine, and hosts of registries: both are settings of whoever installs, not of this project."""
    folders = "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "tm" + "p"))
    hosts = [
        ".".join(parts)
        for parts in (
            ("pypi", "org"), ("pythonhosted", "org"), ("repo1", "maven", "org"), ("repo", "maven", "apache", "org"),
            ("registry", "npmjs", "org"), ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("proxy", "golang", "org"),
        )
    ]  # fmt: skip
    found = re.finditer(rf"/(?:{folders})/[\w.-]*", text)
    paths = [match[0] for match in found if not re.match(r"[\w.~$}-]", text[match.start() - 1 : match.start()])]
    return paths + [host for host in hosts if host in text and re.search(rf"(?<![\w-]){re.escape(host)}\b", text)]


def test_no_path_of_a_machine_and_no_registry_host_in_any_file() -> None:
    found = {}
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if wrong := forbidden_in(text):
            found[str(path.relative_to(ROOT))] = wrong[:3]
    assert found == {}


def test_planted_paths_and_hosts_are_seen() -> None:
    folder, host = "/" + "tm" + "p/x", "https://" + "py" + "pi.org/simple"
    assert forbidden_in(f"see {folder}") == [folder]
    assert forbidden_in(host) == [host.split("/")[2]]
    assert forbidden_in("put it into ./data or tests/work/x, `chungsuc up --data /srv/lai-chau`") == []


def too_long(text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if len(line) > LONGEST_LINE]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_line_is_too_long(path: Path) -> None:
    assert too_long(read(path)) == []


def test_planted_long_line_is_seen() -> None:
    assert too_long("short\n" + "x" * (LONGEST_LINE + 1)) == [2]


# Forms


@cache
def released() -> Catalogue:
    return released_catalogue()


def test_the_page_of_regimes_is_what_the_catalogue_says() -> None:
    assert read(PAGE_OF_REGIMES) == page_of_regimes(read(PAGE_OF_REGIMES), released()), (
        "run `python -m deploy.regimes_page`"
    )


def test_the_page_of_forms_is_what_the_catalogue_says() -> None:
    assert read(PAGE) == page(released()), "run `python -m deploy.forms_page`"


def test_the_pages_of_checks_and_indicators_are_what_the_catalogue_says() -> None:
    for path, text in checks_page.pages(released()).items():
        assert read(path) == text, "run `python -m deploy.checks_page`"


def test_the_page_of_forms_shows_every_form_measure_and_check() -> None:
    spans = set(code_spans(read(PAGE)))
    for form in released().forms:
        assert form.label_vi in read(PAGE)
        assert {measure.name for measure in form.measures} | {check.id for check in form.checks} <= spans
