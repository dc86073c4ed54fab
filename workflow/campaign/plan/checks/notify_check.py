"""Whether those who are to be told can be: no campaign is refused for it, but it is better known before than at its end."""

import os
from collections.abc import Iterator, Mapping

from campaign.config import CampaignConfig
from campaign.config.written_secrets import may_be_secret
from campaign.plan.diagnostic import Diagnostic


def notify_notes(config: CampaignConfig, environment: Mapping[str, str] = os.environ) -> Iterator[Diagnostic]:
    """Variables that are not set here, and what may be a secret that stands in the config."""
    to = config.notify
    if to is None:
        return
    for name in to.variables:
        if not environment.get(name):
            reason = f"the environment variable {name} is not set here: nobody will be told"
            yield Diagnostic("notify.webhook", "notify", reason, f"export {name} where Snakemake runs", warning=True)
    for key, text in (("webhook", to.webhook), ("command", to.command)):
        if text is not None and (word := may_be_secret(text)) is not None:
            reason = f"{word} may be a secret, and the config is copied into results/"
            remedy = "if it is one, put it into an environment variable and write $NAME here"
            yield Diagnostic(f"notify.{key}", "secret", reason, remedy, warning=True)
