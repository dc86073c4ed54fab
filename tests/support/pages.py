"""What a report says: its figures, and its tables as rows of columns, with the words people read."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True)
class Cell:
    """A number or name of the page: as it is (`value`, empty where there is none), and as it is written."""

    value: str
    shown: str


@dataclass
class _Open:
    place: tuple[str, str] | None  # (table or "", column or figure)
    value: str
    number: bool
    words: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """`figures`: by name. `tables`: rows by table id, each a dictionary of its cells by column. `unmarked`: words of the
    cells that are set as numbers and say nothing about what they stand for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.figures: dict[str, Cell] = {}
        self.tables: dict[str, list[dict[str, Cell]]] = {}
        self.unmarked: list[str] = []
        self._table = ""
        self._open: _Open | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "table":
            self._table = given.get("id", "")
            self.tables[self._table] = []
        elif tag == "tr" and self._table:
            self.tables[self._table].append({})
        elif tag == "td":
            place = (self._table, given["data-column"]) if "data-column" in given else None
            self._open = _Open(place, given.get("data-value", ""), "n" in given.get("class", "").split())
        elif "data-figure" in given:
            self._open = _Open(("", given["data-figure"]), given["data-value"], True)

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.tables[self._table] = [row for row in self.tables[self._table] if row]
            self._table = ""
        if tag not in ("td", "b", "span") or self._open is None:
            return
        if tag != "td" and (self._open.place is None or self._open.place[0]):
            return  # a span or b inside a cell
        opened, self._open = self._open, None
        cell = Cell(opened.value, "".join(opened.words).strip())
        if opened.place is None:
            self.unmarked += [cell.shown] if opened.number and cell.shown else []
        elif opened.place[0]:
            self.tables[opened.place[0]][-1][opened.place[1]] = cell
        else:
            self.figures[opened.place[1]] = cell
