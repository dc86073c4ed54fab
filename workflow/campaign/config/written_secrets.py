"""Secrets that stand in a config as they are: it is copied into results/, shared and committed, so they belong elsewhere.

The shapes are those that the services themselves document; a long word of letters and digits only may be one.
"""

import re

# What it is, and how it looks. `$` in the place of the secret is a variable's name, and no match.
_SHAPES = (
    ("the URL of a Slack webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/[^\s$/]+/[^\s$/]+"),
    ("the URL of a Discord webhook", r"/api/webhooks/\d+/[\w-]{16,}"),
    ("a Telegram token", r"\bbot\d{6,}:[\w-]{20,}|\b\d{8,}:[\w-]{35}\b"),
    ("a Slack token", r"\bxox[a-z]-[\w-]{10,}"),
    ("an ntfy token", r"\btk_[a-z0-9]{29}\b"),
    ("a token of GitHub or Hugging Face", r"\b(?:gh[a-z]_|github_pat_|hf_)[A-Za-z0-9_]{20,}"),
    ("a user's password", r"://[^\s/@$:]*:[^\s/@$]+@|(?:^|\s)(?:-u|--user)[ =]?['\"]?[^\s:$'\"]+:[^\s$'\"]+"),
    ("a token", r"(?i)\b(?:bearer|basic) +(?!token\b)[A-Za-z0-9._~+/=-]{8,}"),
    (
        "a secret",
        r"(?i)(?:[?&\s_-]|^)(?:auth|token|key|api_?key|secret|password|passwd|sig|access_token)=['\"]?[^\s$&'\"]+",
    ),
)
_LONG_WORD = re.compile(r"(?<![\w$])[A-Za-z0-9_-]{20,}(?!\w)")


def written_secret(text: str) -> str | None:
    """What secret stands in a text, in words; None where there is none that can be told by its shape."""
    return next((what for what, shape in _SHAPES if re.search(shape, text)), None)


def may_be_secret(text: str) -> str | None:
    """A word that looks like a random one, its middle left out; None where there is none."""
    for word in _LONG_WORD.findall(text):
        changes = len(re.findall(r"(?<=[A-Za-z])\d|(?<=\d)[A-Za-z]|(?<=[a-z])[A-Z]", word))
        if changes >= 4:
            return f"{word[:3]}...{word[-2:]}"
    return None
