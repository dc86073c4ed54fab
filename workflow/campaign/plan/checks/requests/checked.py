"""What is told of a dataset's requests, from what is said to those that were looked at. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from campaign.config import DatasetConfig
from campaign.config.row_fields import row_fields
from campaign.plan.checks.requests.remedies import remedy_for, remedy_for_column, remedy_for_ignored
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.endpoints import APIS, Api
from campaign.requests.rows.sampled_rows import SampledRequest
from campaign.server.check.vllm_answers import Request, RequestCheck
from campaign.server.check.vllm_arguments import Names, load_names

ENOUGH = 8  # rows of one template that are refused alike: so are the others
TOO_LONG = ("max_tokens", "prompt_length")  # rules of context_check
_LONGEST = 400  # characters of a refusal
_LENGTH = re.compile(r"max_model_len|context length|model length|longer than the maximum", re.IGNORECASE)


@dataclass(frozen=True)
class AskedRequest:
    """A request that vLLM is asked about. `row` None: a short prompt with the fields of `rows` sampled rows."""

    dataset: str
    request: Request
    row: SampledRequest | None
    rows: int = 1


@dataclass(frozen=True)
class CheckedRequest:
    """A request and what is said to it."""

    asked: AskedRequest
    check: RequestCheck

    @property
    def refused(self) -> str:
        return self.check.refused or ""

    @property
    def place(self) -> str:
        return self.asked.row.place if self.asked.row else ""


@dataclass(frozen=True)
class CheckedDataset:
    """What vLLM said to the requests of a dataset, for one model.

    `own`: by vLLM itself; `whole`: all rows of the dataset are among them.
    """

    model: str
    name: str
    dataset: DatasetConfig
    checked: Sequence[CheckedRequest]
    own: bool
    whole: bool

    @property
    def keys(self) -> tuple[str, str]:
        """Config keys under which context_check tells of this dataset."""
        return f"datasets.{self.name}.sampling", f"datasets.{self.name}"

    def diagnostics(self, long: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
        """Diagnose the dataset's requests. `long`: what context_check foretold of this dataset."""
        lost = self._must_fail()
        refused = [each for each in self._rows if each.refused]
        too_long = [each for each in refused if _LENGTH.search(each.refused)]
        if long and (too_long or not self.own):
            yield from (replace(diagnostic, warning=not (lost and too_long)) for diagnostic in long)
        elif too_long:
            yield from self._refusals(too_long, lost=lost)
        yield from self._refusals([each for each in refused if each not in too_long], lost=lost)
        yield from self._ignored()

    @property
    def _rows(self) -> list[CheckedRequest]:
        return [each for each in self.checked if each.asked.row is not None]

    @property
    def _writes_text(self) -> bool:
        return all(APIS[each.asked.request.api].writes_text for each in self.checked)

    def _must_fail(self) -> bool:
        """Whether every row is refused, those that nobody looked at too."""
        rows, forms = self._rows, [each for each in self.checked if each.asked.row is None]
        if not rows or not all(each.refused for each in rows):
            return False
        if self.whole:
            return True
        if len(forms) > 1 or not self._same_fields:
            return False
        alike = len({_form(each.refused) for each in rows}) == 1 and not _LENGTH.search(rows[0].refused)
        return bool(forms[0].refused) or (self.dataset.prompt is not None and alike and len(rows) >= ENOUGH)

    @property
    def _same_fields(self) -> bool:
        """Whether the config says the same fields for every row."""
        given = self.dataset.prompt is not None or self.dataset.messages is not None
        return given and not row_fields(self.dataset.sampling)

    def _refusals(self, refused: Sequence[CheckedRequest], *, lost: bool) -> Iterator[Diagnostic]:
        """One for each kind of refusal."""
        kinds: dict[str, list[CheckedRequest]] = {}
        for each in refused:
            kinds.setdefault(_form(each.refused), []).append(each)
        for alike in kinds.values():
            said = _shortened(alike[0].refused)
            words = '"{}"'.format(said.replace('"', "'")) if self.own else said
            reason = f"vLLM refuses {self._share(alike, lost=lost)} on {self.model}: {words}"
            key = self._key(alike[0])
            yield Diagnostic(key, "request", reason, self._remedy(key, alike[0].refused), warning=not lost)

    def _remedy(self, key: str, refused: str) -> str:
        field = key.removeprefix(f"datasets.{self.name}.sampling.")
        of_row = row_fields(self.dataset.sampling).get(field)
        return remedy_for(refused, self.model) if of_row is None else remedy_for_column(field, of_row.column)

    def _share(self, alike: Sequence[CheckedRequest], *, lost: bool) -> str:
        if lost and len(alike) == len(self._rows):
            return "every row"
        return f"{len(alike)} of the {len(self._rows)} rows that were looked at, such as {alike[0].place},"

    def _key(self, checked: CheckedRequest) -> str:
        found = ((re.search(rf"\b{re.escape(field)}\b", checked.refused), field) for field in self.dataset.sampling)
        _, field = min(((at.start(), field) for at, field in found if at), default=(0, checked.check.field))
        if field in self.dataset.sampling:
            return f"datasets.{self.name}.sampling.{field}"
        return f"datasets.{self.name}" if self.dataset.prompt is not None else f"datasets.{self.name}.files"

    def _ignored(self) -> Iterator[Diagnostic]:
        """Fields that the endpoint does not know. What `sampling` misspells is told by its names (plan.run_checks)."""
        names = load_names()
        also_known = frozenset[str]().union(*(APIS[each.asked.request.api].known_fields for each in self.checked))
        told = names.unknown_fields(self.dataset.sampling, writes_text=self._writes_text, also_known=also_known)
        places: dict[tuple[str, str], list[str]] = {}
        for each in self._rows:
            body, api = each.asked.request.body, each.asked.request.api
            for field in each.check.ignored or _unknown(names, body, APIS[api]):
                if field not in told:
                    places.setdefault((field, api), []).append(each.place)
        for (field, api), where in places.items():
            given = field in self.dataset.sampling
            key = f"datasets.{self.name}.sampling.{field}" if given else f"datasets.{self.name}.files"
            shown = "" if given else f" ({where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''})"
            reason = f"`{field}` is no field of {APIS[api].route}, and vLLM ignores it{shown}"
            yield Diagnostic(key, "field", reason, remedy_for_ignored(field, names), warning=True)


def _unknown(names: Names, body: Iterable[str], api: Api) -> Iterable[str]:
    return names.unknown_fields(body, writes_text=api.writes_text, also_known=api.known_fields)


def _form(said: str) -> str:
    """A refusal without the values in it: max_tokens 4096 and 5000 are refused for one reason."""
    return re.sub(r"-?\d+(\.\d+)?|'[^']*'", "_", said)[:80]


def _shortened(said: Any) -> str:
    line = " ".join(str(said).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
