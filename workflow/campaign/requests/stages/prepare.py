"""prepare_requests of a stage: check its templates, and write a manifest that says which answers its shards will be made of.

No row is known yet. Each shard of a source becomes one of the stage (see queue.stages), so their number is.
"""

import logging

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.files import explained
from campaign.core.tables import ANSWER, passthrough_names
from campaign.requests.endpoints import pooled_columns
from campaign.requests.order.grouping import is_grouped
from campaign.requests.problems import Problems, RowProblem
from campaign.requests.rows.bodies import renderer
from campaign.requests.rows.samples import sample_types
from campaign.requests.shards import shard_path
from campaign.requests.stages.columns import stage_types
from campaign.requests.stages.render import condition_of, definition_of

log = logging.getLogger(__name__)


def prepare_stage(config: CampaignConfig, name: str) -> state_files.Manifest:
    """Write the stage's manifest, which is returned. Raises InputError, StorageError, Incomplete where a source has none."""
    dataset, problems = config.datasets[name], Problems()
    for check in (lambda: renderer(dataset), lambda: condition_of(dataset.where)):
        try:
            check()
        except RowProblem as error:
            problems.add(f"datasets.{name}.{error.config_key}: {error}")
    problems.raise_if_any()
    sources = config.sources_of(name)
    manifests = {source.dataset: manifest_of_source(config, source.dataset) for source in sources}
    types = stage_types(config, name, manifests)
    types = types if dataset.samples == 1 else sample_types(types)
    further = [*(column.name for column in pooled_columns([dataset.endpoint])), *([ANSWER] if config.has_answer else [])]
    names = passthrough_names(types, further)
    content: state_files.Manifest = {
        "dataset": name,
        "rows": 0,
        "limit": dataset.limit,
        "samples": dataset.samples,
        "shards": [],
        "columns": [{"name": names[source], "source": source, "type": kind} for source, kind in types.items()],
        "files": [],
        "endpoints": [dataset.endpoint],
    }
    content["stage"] = {
        "sources": [
            {"dataset": source.dataset, "model": source.model, "shards": shard_count(manifests[source.dataset])}
            for source in sources
        ],
        "definition": definition_of(config, name, content),
    }
    # Its shards have the rows of the sources' in their order; collect puts all in that of the files.
    grouped = [manifest["order"] for manifest in manifests.values() if is_grouped(manifest)]
    if grouped:
        content["order"] = grouped[0]
    _remove_others(config, name, shard_count(content))
    records.write(state_files.MANIFEST, config.paths.manifest(name), content)
    log.info("%s: %d shards, from %s", name, shard_count(content), ", ".join(map(str, sources)))
    return content


def manifest_of_source(config: CampaignConfig, dataset: str) -> state_files.Manifest:
    """Raises Incomplete when it is not there, or damaged."""
    again = f"the requests of {dataset} are rendered anew, and answers so far are kept"
    return records.require(state_files.MANIFEST, config.paths.manifest(dataset), again)


def shard_count(manifest: state_files.Manifest) -> int:
    """How many shards a dataset has, those of a stage that are not made yet too."""
    stage = manifest.get("stage")
    return len(manifest["shards"]) if stage is None else sum(source["shards"] for source in stage["sources"])


def _remove_others(config: CampaignConfig, name: str, shards: int) -> None:
    """Shards of a longer source, of the time when the dataset was one of files, and what a killed writer left."""
    folder = config.paths.request_shards(name)
    kept = {shard_path(folder, index) for index in range(shards)}
    with explained(folder):
        for path in [*folder.glob("shard-*.parquet"), *folder.glob(".shard-*.tmp")]:
            if path not in kept:
                path.unlink()
