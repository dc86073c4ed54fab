"""What stages make of answers that an earlier run left: rows that make no request, a `where` that lets none pass."""

from collections.abc import Iterator, Mapping

from campaign.config import CampaignConfig
from campaign.config.stages import upstream
from campaign.core import records, state_files
from campaign.plan.diagnostic import Diagnostic
from campaign.queue.stages.sample import StageSample


def stage_rows(config: CampaignConfig, samples: Mapping[str, StageSample]) -> Iterator[Diagnostic]:
    """Report on each stage whose sources have answers."""
    for name, sample in samples.items():
        # Where what the answers came of was edited since, they may be asked again, and come back as others.
        kept = _is_as_then(config, name)
        for key, problem in sample.problems.items():
            remedy = "mend it, or set such rows aside: on_bad_row: set_aside"
            yield Diagnostic(f"datasets.{name}.{key}", "stage_row", problem, remedy, warning=not kept)
        if sample.rows and sample.left_out == sample.rows:
            reason = f"lets none of the first {sample.rows} answers pass"
            yield Diagnostic(f"datasets.{name}.where", "none_passes", reason, "if some should, correct it", warning=True)


def _is_as_then(config: CampaignConfig, name: str) -> bool:
    """Whether the datasets that a stage comes from are those of the campaign's last run."""
    saved = records.peek(state_files.CONFIG, config.paths.config) or {}
    before = {source.dataset for source in upstream(config.datasets, name)}
    then = saved.get("datasets", {})
    return all(then.get(one) == config.datasets[one].model_dump(mode="json") for one in before)
