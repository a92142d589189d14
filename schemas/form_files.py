"""All forms of a catalogue, from its files: every version of each, and what must hold between them.

Each file is read once in a process, however many catalogues hold it: forms never change. Invariant: versions of a form
go together, so that rows of any version meet in the columns of any other (FULL_TRANSITIVE, design 5).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache

from schemas.codec import header_schema
from schemas.form import Fingerprint, Form, FormError
from schemas.form_reader import read_form

FOLDER = "forms/"


def read_forms(files: Mapping[str, bytes]) -> dict[Fingerprint, Form]:
    """Every version of every form by its fingerprint. Raises FormError with file and line."""
    forms: dict[Fingerprint, Form] = {}
    for name, form in _named(files):
        if form.fingerprint in forms:
            raise FormError(f"{name}: same fingerprint as {forms[form.fingerprint].id}")
        _require_one_meaning(name, form, forms.values())
        forms[form.fingerprint] = form
    return forms


def require_codes(files: Mapping[str, bytes], lists: Container[str]) -> None:
    """Refuse a dimension whose code list is not there. Raises FormError with file and line."""
    for name, form in _named(files):
        for dimension in form.dimensions:
            if dimension.code_list not in lists:
                line = 1 + form.text.count("\n", 0, form.text.find(f'"dimension": "{dimension.code_list}"'))
                raise FormError(
                    f"{name} line {line}: {form.id}: dimension {dimension.name}: no code list {dimension.code_list}"
                )


@lru_cache(maxsize=1024)
def _form(text: str) -> Form:
    return read_form(text, header_schema())


def _named(files: Mapping[str, bytes]) -> Iterator[tuple[str, Form]]:
    for name, content in files.items():
        if name.startswith(FOLDER):
            try:
                yield name, _form(content.decode())
            except FormError as error:
                raise FormError(f"{name} {error}") from error
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise FormError(f"{name}: not a form: {error!r}") from error


def _require_one_meaning(name: str, form: Form, others: Iterable[Form]) -> None:
    """Versions of a form have the same dimensions, and a measure of one name adds up the same way in each."""
    for other in others:
        if form.id != other.id:
            continue
        if form.version == other.version:
            raise FormError(f"{name}: {form.id}: version {form.version} is there twice")
        pairs = [[(d.name, d.code_list) for d in version.dimensions] for version in (form, other)]
        if pairs[0] != pairs[1]:
            raise FormError(f"{name}: {form.id}: other dimensions than version {other.version}")
        known = {measure.name: measure for measure in other.measures}
        for measure in form.measures:
            same = known.get(measure.name, measure)
            rules = [(m.unit, m.across_units, m.over_time) for m in (measure, same)]
            if rules[0] != rules[1]:
                raise FormError(
                    f"{name}: {form.id}: measure {measure.name} adds up otherwise than in version {other.version}"
                )
