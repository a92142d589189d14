"""Vietnamese letters in old 8-bit fonts: TCVN3 (ABC, fonts .Vn…) and VNI (fonts VNI-…), recognised and converted.

Such text is Latin letters to every program: "Sè ngêi" or "Soá ngöôøi" for "Số người". What a text is in is told by
its font where there is one, else by which reading makes the most words possible in Vietnamese. No kept library has
these tables. Sources: TCVN 5712:1993 (VN3), and the VNI Windows table as published by VNI Software.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

_LOWER = (
    "àảãáạ" "ăằẳẵắặ" "âầẩẫấậ" "đ" "èẻẽéẹ" "êềểễếệ" "ìỉĩíị" "òỏõóọ" "ôồổỗốộ" "ơờởỡớợ" "ùủũúụ" "ưừửữứự" "ỳỷỹýỵ"
)  # fmt: skip
_TCVN3_LOWER = (
    "\xb5\xb6\xb7\xb8\xb9" "\xa8\xbb\xbc\xbd\xbe\xc6" "\xa9\xc7\xc8\xc9\xca\xcb" "\xae" "\xcc\xce\xcf\xd0\xd1"
    "\xaa\xd2\xd3\xd4\xd5\xd6" "\xd7\xd8\xdc\xdd\xde" "\xdf\xe1\xe2\xe3\xe4" "\xab\xe5\xe6\xe7\xe8\xe9"
    "\xac\xea\xeb\xec\xed\xee" "\xef\xf1\xf2\xf3\xf4" "\xad\xf5\xf6\xf7\xf8\xf9" "\xfa\xfb\xfc\xfd\xfe"
)  # fmt: skip
_TCVN3 = {ord(old): letter for old, letter in zip(_TCVN3_LOWER, _LOWER, strict=True)} | {
    ord(old): letter for old, letter in zip("\xa1\xa2\xa3\xa4\xa5\xa6\xa7", "ĂÂÊÔƠƯĐ", strict=True)
}
_TO_TCVN3 = {ord(letter): chr(old) for old, letter in _TCVN3.items()}
_MARKS = {"\u0301": "ù", "\u0300": "ø", "\u0309": "û", "\u0303": "õ", "\u0323": "ï"}
"""VNI's letter for a tone, after the vowel; with a circumflex or breve one letter stands for both."""
_CIRCUMFLEX = {"": "â", "\u0301": "á", "\u0300": "à", "\u0309": "å", "\u0303": "ã", "\u0323": "ä"}
_BREVE = {"": "ê", "\u0301": "é", "\u0300": "è", "\u0309": "ú", "\u0303": "ü", "\u0323": "ë"}
_VNI_ALONE = {"đ": "ñ", "ơ": "ô", "ư": "ö", "í": "í", "ì": "ì", "ỉ": "æ", "ĩ": "ó", "ị": "ò", "ỵ": "î"}
_TONES = "".join(_MARKS)
_KEPT_LETTERS = 200


class Letters(StrEnum):
    """What a text is written in."""

    UNICODE = "Unicode"
    TCVN3 = "TCVN3"
    VNI = "VNI"


def _vni_of(letter: str) -> str:
    """How VNI writes one small Vietnamese letter."""
    if letter in _VNI_ALONE:
        return _VNI_ALONE[letter]
    parts = unicodedata.normalize("NFD", letter)
    tone = next((part for part in parts if part in _TONES), "")
    base = unicodedata.normalize("NFC", "".join(part for part in parts if part not in _TONES))
    if base in "ơư":
        return _VNI_ALONE[base] + _MARKS[tone]
    if base in "âêô":
        return {"â": "a", "ê": "e", "ô": "o"}[base] + _CIRCUMFLEX[tone]
    return "a" + _BREVE[tone] if base == "ă" else base + _MARKS[tone]


def _vni_table() -> dict[str, str]:
    small = {_vni_of(letter): letter for letter in _LOWER}
    capital = {old.upper(): letter.upper() for old, letter in small.items()}
    mixed = {old[0].upper() + old[1:]: letter.upper() for old, letter in small.items() if len(old) == 2}
    return mixed | capital | small


_VNI = _vni_table()
_VNI_PARTS = re.compile("|".join(sorted(map(re.escape, _VNI), key=len, reverse=True)))
_TO_VNI = {letter: old for old, letter in _VNI.items() if len(old) == 1 or old[0].isupper() == old[1].isupper()}
VIETNAMESE = _LOWER + _LOWER.upper()
"""Every letter of Vietnamese that is not ASCII."""


def decoded(text: str, letters: Letters, *, capitals: bool = False) -> str:
    """Unicode of a text in old letters. `capitals`: in a TCVN3 font whose name ends with H, which shows only these."""
    if letters is Letters.TCVN3:
        text = text.translate(_TCVN3)
        return text.upper() if capitals else text
    if letters is Letters.VNI:
        return _VNI_PARTS.sub(lambda match: _VNI[match[0]], text)
    return unicodedata.normalize("NFC", text)


def encoded(text: str, letters: Letters) -> str:
    """The same backwards, for tests and samples. TCVN3 has few capitals; the others become small letters."""
    text = unicodedata.normalize("NFC", text)
    if letters is Letters.TCVN3:
        return "".join(_TO_TCVN3.get(ord(c)) or _TO_TCVN3.get(ord(c.lower())) or c for c in text)
    return "".join(_TO_VNI.get(letter, letter) for letter in text) if letters is Letters.VNI else text


def letters_of_font(font: str) -> tuple[Letters, bool]:
    """What a font shows, and whether only capitals."""
    if font.startswith(".Vn"):
        return Letters.TCVN3, font.endswith("H")
    return (Letters.VNI if font.upper().startswith("VNI-") else Letters.UNICODE), False


def letters_of(texts: Iterable[str]) -> Letters:
    """What texts of one origin are written in, by which reading gives the most possible words; Unicode in doubt."""
    words = [word for text in texts for word in re.findall(r"[^\W\d_]+|\S+", text) if not word.isascii()][:5000]
    if not words or any(ord(letter) > 0xFF and letter.lower() in _LOWER for word in words for letter in word):
        return Letters.UNICODE
    joined = " ".join(words)
    best, most = Letters.UNICODE, possible_share(joined)
    for letters in (Letters.TCVN3, Letters.VNI):
        share = possible_share(decoded(joined, letters))
        if share > most + 0.1:
            best, most = letters, share
    return best


def could_be_old(text: str) -> bool:
    """Whether a text has letters that old fonts use, and none that only Unicode has."""
    return any(0xA0 < ord(letter) <= 0xFF for letter in text) and not any(ord(letter) > 0xFF for letter in text)


_ONSET = (
    "ngh|ng|nh|ch|gh|gi|kh|ph|qu|th|tr|b|c|d|đ|g|h|k|l|m|n|p|r|s|t|v|x|"
)  # fmt: skip
_RHYME = (
    "(?:[aăâeêioôơuưy]|ai|ao|au|ay|âu|ây|eo|êu|ia|iê|iu|oa|oă|oe|oi|oo|ôi|ơi|ua|uâ|uê|ui|uô|uơ|uy|ưa|ươ|ưi|ưu|yê|"
    "iêu|oai|oay|oeo|uây|uôi|uya|uyê|uyu|ươi|ươu|yêu)(?:ng|nh|ch|c|m|n|p|t)?"
)
_SYLLABLE = re.compile(f"(?:{_ONSET}){_RHYME}")


def possible_share(text: str) -> float:
    """How much of a text's words are possible syllables of Vietnamese, by letters."""
    words = re.findall(r"[^\W\d_]+|[^\w\s]+", unicodedata.normalize("NFC", text).lower())
    words = [word for word in words if not word.isascii()]
    if not words:
        return 0.0
    possible = sum(len(word) for word in words if _SYLLABLE.fullmatch(_toneless(word)))
    return possible / sum(map(len, words))


def _toneless(word: str) -> str:
    parts = unicodedata.normalize("NFD", word)
    tones = sum(part in _TONES for part in parts)
    # Two tones in one syllable can't be; a mark that is not Vietnamese (å, ü) stays and fails the match.
    return unicodedata.normalize("NFC", "".join(p for p in parts if p not in _TONES)) if tones <= 1 else "?"


def folded(text: str) -> str:
    """A heading or label for comparison: small, without marks, digits and letters only, one space between."""
    return _kept_fold(text) if len(text) <= _KEPT_LETTERS else _fold(text)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFD", text.casefold()).replace("đ", "d")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[^\W_]+", plain))


_kept_fold = lru_cache(maxsize=8192)(_fold)
"""Headings repeat from page to page; long texts are not kept."""
