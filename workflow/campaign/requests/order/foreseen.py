"""What the plan says of the order of a dataset's requests: as prepare_requests found it, else by the first rows."""

from dataclasses import dataclass

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.state_files import PromptOrder
from campaign.requests.order.decide import order_of
from campaign.requests.order.grouping import told
from campaign.requests.rows.sampled_rows import sample_requests

_ROWS = 1000
_LEAST_SHARED = 0.01  # below, there is nothing to say


@dataclass(frozen=True)
class ForeseenOrder:
    """The order of a dataset's requests. `rows`: the first ones, by which it is judged; None: all."""

    order: PromptOrder
    rows: int | None

    def __str__(self) -> str:
        basis = "" if self.rows is None else f" (by its first {self.rows:,} rows)"
        return f"{told(self.order)}{basis}."


def foreseen_order(config: CampaignConfig, name: str) -> ForeseenOrder | None:
    """Foresee the order; None where there is nothing to say: the order of the files is wanted, or no prompts begin alike."""
    dataset = config.datasets[name]
    if dataset.order == "input" or dataset.is_stage:
        return None
    manifest = records.peek(state_files.MANIFEST, config.paths.manifest(name))
    if manifest is not None:
        found = ForeseenOrder(manifest["order"], None) if "order" in manifest else None
    else:
        sample = sample_requests(dataset, _ROWS)
        order = order_of((request.api, request.body) for request in sample.requests)
        found = ForeseenOrder(order, None if sample.whole else len(sample.requests))
    return found if found is not None and found.order["shared"] >= _LEAST_SHARED else None
