"""The released catalogue, read once for all tests of a process: reading it takes half a second."""

from __future__ import annotations

from functools import cache

from schemas.catalogue import RELEASED, Catalogue


@cache
def released_catalogue() -> Catalogue:
    """The catalogue as released; nobody changes it."""
    return Catalogue.from_folder(RELEASED)
