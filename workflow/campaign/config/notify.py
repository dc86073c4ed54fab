"""`notify:` who is told how a run goes, and in which events."""

import re
from string import Template
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from campaign.config.base import Section
from campaign.config.written_secrets import written_secret

Event = Literal["end", "stalled", "budget", "failure"]
EVENTS: tuple[Event, ...] = ("end", "stalled", "budget", "failure")

_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})")


class NotifyConfig(Section):
    """Who is told that a run ended, stalled, reached its budget or failed: each event once per run of Snakemake."""

    command: str | None = Field(
        None,
        min_length=1,
        description="run by the shell on the host of Snakemake; the message is its standard input, and CAMPAIGN_EVENT, "
        "CAMPAIGN_NAME and CAMPAIGN_MESSAGE are in its environment",
    )
    webhook: str | None = Field(
        None, min_length=1, description="URL that gets a POST; $NAME in it is the value of an environment variable"
    )
    format: Literal["ntfy", "slack"] | None = Field(
        None, description="how the webhook wants it; null takes slack for hooks.slack.com, else ntfy"
    )
    token: str | None = Field(None, description="$NAME of an environment variable: sent to the webhook as a bearer token")
    events: list[Event] = Field(list(EVENTS), min_length=1, description="what is told: end, stalled, budget, failure")

    @field_validator("command", "webhook")
    @classmethod
    def _no_secret(cls, text: str | None, info: object) -> str | None:
        if text is not None and (secret := written_secret(text)) is not None:
            _refuse(f"notify.{getattr(info, 'field_name', '')}", f"holds {secret}")
        return text

    @field_validator("token")
    @classmethod
    def _named_token(cls, token: str | None) -> str | None:
        if token is not None and _VARIABLE.fullmatch(token) is None:
            _refuse("notify.token", "is no name of an environment variable")
        return token

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, webhook: str | None) -> str | None:
        if webhook is None or webhook.startswith("$"):
            return webhook
        parts = urlsplit(webhook)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("is no URL; write https://..., or $NAME of the environment variable that holds it")
        return webhook

    @model_validator(mode="after")
    def _somebody(self) -> "NotifyConfig":
        if self.command is None and self.webhook is None:
            raise ValueError("names nobody; give a command, a webhook, or both")
        if self.token is not None and self.webhook is None:
            raise ValueError("has a token and no webhook to send it to")
        return self

    @property
    def variables(self) -> list[str]:
        """Names of the environment variables that webhook and token need."""
        texts = (self.webhook or "", self.token or "")
        return list(dict.fromkeys(name for text in texts for name in Template(text).get_identifiers()))


def _refuse(key: str, why: str) -> None:
    """Never with the value, as other problems have it: it may be the secret."""
    line = f"{key}: {why}; put it into an environment variable and write $NAME here: the config is copied into results/"
    raise PydanticCustomError("lines", "{lines}", {"lines": line})
