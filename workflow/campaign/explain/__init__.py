"""Why something failed, from the logs it left: evidence first, then what is known of it."""

from campaign.explain.cause import Finding, findings, findings_in
from campaign.explain.signature import MEANINGS, VERDICTS, Signature, Verdict
from campaign.explain.signatures import SECTIONS, SIGNATURES

__all__ = [
    "MEANINGS",
    "SECTIONS",
    "SIGNATURES",
    "VERDICTS",
    "Finding",
    "Signature",
    "Verdict",
    "findings",
    "findings_in",
]
