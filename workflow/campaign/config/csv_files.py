"""`csv:` of a dataset: how its CSV files are written."""

import codecs
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from campaign.config.base import Section

_Mark = Annotated[str, StringConstraints(strip_whitespace=False)]
_MARK_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


class CsvConfig(Section):
    """How CSV files are written, where it cannot be found by itself. The rows to skip hold for sheets of .xlsx files too."""

    separator: _Mark | None = Field(None, description="one character, or `tab`; null finds it: comma, semicolon, tab or |")
    encoding: str | None = Field(
        None, description="for example cp1252, latin-1; null: UTF-8, or UTF-16 where the file shows it"
    )
    quote: _Mark = Field('"', description='what fields with separators stand in; "" where quotes are plain text')
    escape: _Mark | None = Field(None, description="what stands before a quote inside quotes, where it is not doubled")
    skip_rows: int = Field(0, ge=0, description="lines above the header")
    skip_after_header: int = Field(0, ge=0, description="rows below the header that belong to it; 2 for Qualtrics' exports")

    @field_validator("separator")
    @classmethod
    def _one_separator(cls, mark: str | None) -> str | None:
        return mark if mark is None else _one_character(_MARK_NAMES.get(mark, mark))

    @field_validator("quote", "escape")
    @classmethod
    def _one_mark(cls, mark: str | None) -> str | None:
        return _one_character(mark) if mark else mark

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            _check_encoding(encoding)
        return encoding

    @model_validator(mode="after")
    def _different_marks(self) -> "CsvConfig":
        marks = [mark for mark in (self.separator, self.quote, self.escape) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError("has one character for two of `separator`, `quote` and `escape`")
        return self


def _one_character(mark: str) -> str:
    if len(mark) != 1 or mark in "\r\n":
        raise ValueError("must be one character")
    return mark


def _check_encoding(name: str) -> None:
    try:
        is_text = codecs.lookup(name)._is_text_encoding
    except LookupError:
        is_text = False
    if not is_text:
        known = "write for example cp1252, latin-1, utf-16, gb18030"
        if "utf" in name.lower() and "8" in name:
            known = "UTF-8 is read without it, with a byte order mark or not: leave `encoding` out"
        elif "ansi" in name.lower():
            known = "Windows' own is cp1252 in western Europe and America"
        raise ValueError(f"is no text encoding that Python knows; {known}")
