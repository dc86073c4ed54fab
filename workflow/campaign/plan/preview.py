"""A plan from a config file alone: `campaign plan`, before anything of the campaign exists, on the cluster or away from it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from campaign.config import validate
from campaign.core.errors import ConfigError
from campaign.plan.assessment import assess
from campaign.plan.auto_placement import settle
from campaign.plan.campaign_forecast import outlook
from campaign.plan.diagnostics import check_engine, problems
from campaign.plan.plan import plan_of
from campaign.server.engine import engine_versions
from campaign.site.table import load_table


def plan_ahead(path: Path, site: str) -> dict[str, Any]:
    """The plan (`plan.plan.plan_of`), and what was found wrong with it. Raises ConfigError, PlanRefused.

    `refused`: every problem that would stop it, a sentence each. `diagnostics`: what the checks of placements, memory and
    flags found, each with its config key, its rule in one word, reason, remedy, and whether it is only a warning.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError([f"{path}: cannot be read ({error})"]) from error
    if not isinstance(raw, dict):
        raise ConfigError([f"{path}: holds no keys"])
    config = settle(validate({**raw, "site": site}), main=True)
    assessment = assess(config)
    seen = outlook(config, assessment)
    versions = {} if check_engine(config.engine) else engine_versions(config.engine)
    here = assessment.site is None or assessment.site.source != load_table(site).source
    return {
        **plan_of(config, assessment, seen, versions),
        "refused": problems(config, assessment, seen, here=here),
        "diagnostics": [asdict(finding) for finding in assessment.findings],
    }
