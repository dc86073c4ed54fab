"""The first pass over a dataset's files: every row is checked, nothing is written."""

from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from campaign.requests.columns.column_types import takes, type_of_value, unify
from campaign.requests.keys.equal_prompts import KnownOrdinals, Ordinals, assign_ordinals
from campaign.requests.keys.key import content_key, prompt_hash
from campaign.requests.keys.known_prompts import renumber
from campaign.requests.keys.repeats import Repeats
from campaign.requests.order.notes import PrefixNotes
from campaign.requests.problems import Problems
from campaign.requests.rows import bad_rows
from campaign.requests.rows.request_rows import RequestRows, RowProgress

_REPEATED_IDS = 1000  # looked for at most: more tell nothing new


class Survey:
    """The first pass over a dataset: rows by file, as far as `limit` goes, column types, equal prompts; and all problems.

    `prefixes`: where the beginnings of the prompts are noted, if they are.
    """

    def __init__(
        self,
        name: str,
        files: list[Path],
        rows: RequestRows,
        problems: Problems,
        limit: int | None = None,
        prefixes: PrefixNotes | None = None,
    ) -> None:
        self.rows_of: dict[str, int] = {}
        self.types: dict[str, str] = {}  # by name in the files
        self.endpoints: set[str] = set()
        self.prompts = array("Q")  # a hash of each row's prompt (keys.prompt_hash)
        self.bad = 0  # rows that nobody sends
        self._name, self._requests, self._render, self._ids = name, rows, rows.render, Repeats()
        self._prefixes = prefixes
        progress = RowProgress("checking {}".format(name.partition("\0")[0]))
        for path in files:
            self._read(path, problems, progress, None if limit is None else limit - self.rows)
            if problems.full:
                return
            if self.rows == limit:
                break
        if prefixes is not None:
            prefixes.close()
        self._ids.close()
        if len(self._ids):
            problems.extend(self._repeated_ids(files))

    @property
    def rows(self) -> int:
        """Rows of the dataset, those set aside included."""
        return sum(self.rows_of.values())

    def ordinals(self, file: Path, shards: Path, *, order_in_keys: bool) -> Ordinals:
        """What tells each row from those with an equal prompt. Then the rows' hashes are held no more. Raises StorageError.

        `file`, `shards`, `order_in_keys`: as of known_prompts.renumber.
        """
        prompts, ids = np.frombuffer(self.prompts, np.uint64), np.frombuffer(self._ids.hashes, np.uint64)
        self.prompts = array("Q")
        self._ids.forget()
        if self._render.id_name is None:
            return assign_ordinals(prompts, None, KnownOrdinals.nothing())[0]
        return renumber(file, shards, prompts, ids, order_in_keys=order_in_keys, dataset=self._name)

    def _read(self, path: Path, problems: Problems, progress: RowProgress, most: int | None) -> None:
        count = 0
        fixed = self._requests.fixed_types(path)
        for row, request in islice(self._requests.read(path, problems, progress), most):
            count += 1
            if request.endpoint == bad_rows.ENDPOINT:
                self.bad += 1
            else:
                self.endpoints.add(request.endpoint)
            self.prompts.append(prompt_hash(content_key(self._name, request.endpoint, request.key_json, 0)))
            if self._prefixes is not None:
                self._prefixes.note(request.endpoint, request.content)
            if self._render.id_name is not None:
                self._ids.note((request.row_id or row.place).encode())  # a bad row may have none
            if fixed is None:
                for name, value in self._render.passthrough(row.values).items():
                    kind = type_of_value(value) if type(value) not in (dict, list) else self._type_of_nested(name, value)
                    if kind != self.types.get(name):
                        self._note_type(name, kind)
        for name, kind in (fixed or {}).items():
            self._note_type(name, kind)
        self.rows_of[str(path)] = count

    def _type_of_nested(self, name: str, value: Any) -> str:
        known = self.types.get(name, "")
        return known if takes(known, value) else type_of_value(value)  # in a quarter of the time where it takes it

    def _note_type(self, name: str, kind: str) -> None:
        self.types[name] = unify(kind, self.types.get(name, "null"))

    def _repeated_ids(self, files: list[Path]) -> Iterator[str]:
        """One problem per repeated id, naming both places; one more pass, made only when there are some."""
        first: dict[str, str] = {}
        progress = RowProgress("looking for repeated ids")
        for path in files:
            for row, request in islice(self._requests.read(path, Problems(), progress), self.rows_of.get(str(path), 0)):
                row_id = request.row_id or ""
                place = self._ids.place(row_id.encode())
                if place is None or place >= _REPEATED_IDS:
                    continue
                if row_id in first:
                    yield (
                        f"{row.place}: the {self._render.id_name} {row_id!r} stands already at {first[row_id]}; "
                        "give every row its own"
                    )
                first.setdefault(row_id, row.place)
