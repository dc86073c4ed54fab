"""The datasets' own columns in `responses`, where all parts have the same columns.

A column has the type that its own dataset gives it. Datasets that have a name in common share the column where its type is the
same; where one has texts and others whole numbers, the numbers are a column of their own, `score_int`. DuckDB and pandas cannot
read parts whose types differ, and some read them wrong without a word (1.5 as 2).
"""

from collections.abc import Collection, Mapping
from itertools import chain, repeat

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.tables import RESERVED_COLUMNS, passthrough_names
from campaign.requests.columns.column_types import go_together, unify, word_of


class OwnColumns:
    """Passthrough columns of all datasets prepared so far. `types`: by name in `responses`; `sources`: names in the files.

    `further`: columns that the campaign's responses have beside RESPONSES.
    """

    def __init__(self, config: CampaignConfig, further: Collection[str] = ()) -> None:
        found = {name: records.read(state_files.MANIFEST, config.paths.manifest(name)) for name in config.datasets}
        manifests = {name: manifest for name, manifest in found.items() if manifest is not None}
        self._names: dict[str, str] = {}  # as it is written, by name without case
        self._types: dict[str, str] = {}
        # Today's names and not the manifest's: RESPONSES may have more columns now. Sorted: the order in the config is none.
        self.sources = {name: self._add(name, manifests[name], further) for name in sorted(manifests)}
        self.types = {name: self._types[name] for dataset in manifests for name in self.sources[dataset]}

    def _add(self, dataset: str, manifest: state_files.Manifest, further: Collection[str]) -> Mapping[str, str]:
        names = passthrough_names([column["source"] for column in manifest["columns"]], further)
        sources: dict[str, str] = {}
        taken = {name.casefold() for name in (*names.values(), *RESERVED_COLUMNS, *further)}
        for column in manifest["columns"]:
            name = self._free(names[column["source"]], column["type"], dataset, taken)
            self._names[name.casefold()] = name
            self._types[name] = unify(self._types.get(name, "null"), column["type"])
            sources[name] = column["source"]
        return sources

    def _free(self, name: str, kind: str, dataset: str, taken: set[str]) -> str:
        """The name itself where it is free or a column of its type has it, else one with its type, else with the dataset."""
        known = self._names.get(name.casefold(), name)
        further = chain((word_of(kind),) if known == name else (), repeat(dataset))
        own = name
        while not self._fits(own, kind) or (own != name and own.casefold() in taken):
            own = f"{own}_{next(further)}"
        return own

    def _fits(self, name: str, kind: str) -> bool:
        known = self._names.get(name.casefold())
        if known is None:
            return True
        return known == name and go_together(self._types[known], kind)
