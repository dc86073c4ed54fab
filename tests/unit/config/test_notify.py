"""`notify`: who is told, and that no secret stands in the config."""

from typing import Any

import pytest

from campaign.config import validate
from campaign.core.errors import ConfigError


@pytest.fixture
def with_notify(stub_campaign: Any) -> Any:
    return lambda **notify: validate({**stub_campaign(), "notify": notify}).notify


SECRETS = [
    {"webhook": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"},
    {"webhook": "https://discord.com/api/webhooks/123456789/abcdefghijklmnopqrstuvwxyz", "format": "slack"},
    {"webhook": "https://ann:hunter22@ntfy.example.org/runs"},
    {"webhook": "https://ntfy.example.org/runs?auth=QmVhcmVyIHRrXzEyMw"},
    {"webhook": "https://example.org/hook?token=abc123"},
    {"webhook": "https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage"},
    {"webhook": "$NTFY_URL", "token": "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"},
    {"command": "curl -H 'Authorization: Bearer tk_agqdq7mvbofd37zqvn29rhumznizz' https://ntfy.sh/runs"},
    {"command": "curl -u ann:hunter22 -d@- https://ntfy.example.org/runs"},
    {"command": "PASSWORD=hunter22 ./tell.sh"},
    {"command": "./tell.sh --token=abcdef"},
    {"command": "curl -d@- https://hooks.slack.com/services/T0/B0/XXXX"},
]


@pytest.mark.parametrize("notify", SECRETS, ids=lambda notify: str(sorted(notify)))
def test_a_secret_is_refused_and_not_repeated(notify: dict[str, str], with_notify: Any) -> None:
    with pytest.raises(ConfigError, match=r"notify\.(webhook|command|token): .*environment variable") as refused:
        with_notify(**notify)
    for word in ("XXXX", "hunter22", "abcdef", "tk_", "QmVh", "abc123", "AAHd"):
        assert word not in str(refused.value)


@pytest.mark.parametrize(
    "notify",
    [
        {"webhook": "$SLACK_WEBHOOK", "format": "slack"},
        {"webhook": "https://hooks.slack.com/services/$SLACK_PATH"},
        {"webhook": "https://ntfy.sh/my-campaigns"},
        {"webhook": "https://$NTFY_USER:$NTFY_PASSWORD@ntfy.example.org/runs", "token": "${NTFY_TOKEN}"},
        {"webhook": "https://example.org/hook?token=$HOOK_TOKEN&channel=runs"},
        {"command": "mail -s \"$CAMPAIGN_NAME: $CAMPAIGN_EVENT\" ann@example.org"},
        {"command": "curl -u $WHO:$PASSWORD -d@- https://ntfy.example.org/runs"},
        {"command": "curl -H \"Authorization: Bearer $NTFY_TOKEN\" -d@- https://ntfy.sh/runs", "events": ["failure"]},
    ],
    ids=lambda notify: str(notify),
)  # fmt: skip
def test_what_holds_no_secret_is_taken(notify: dict[str, Any], with_notify: Any) -> None:
    made = with_notify(**notify)
    assert made.model_dump(exclude_unset=True) == notify


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ({}, "names nobody"),
        ({"webhook": "ntfy.sh/runs"}, "is no URL"),
        ({"webhook": "$URL", "events": ["finish"]}, "notify.events"),
        ({"command": "true", "token": "$T"}, "no webhook"),
        ({"webhooks": "$URL"}, "webhook"),
    ],
)
def test_what_makes_no_sense_is_refused(notify: dict[str, Any], words: str, with_notify: Any) -> None:
    with pytest.raises(ConfigError, match=words):
        with_notify(**notify)


def test_the_variables_that_are_needed_are_named(with_notify: Any) -> None:
    made = with_notify(webhook="https://$HOST/${TOPIC}", token="$TOKEN")
    assert made.variables == ["HOST", "TOPIC", "TOKEN"]
