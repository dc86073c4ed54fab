"""Why something failed, from the logs it left: evidence first, then what is known of it."""

from campaign.explain.cause import Finding, findings, findings_in
from campaign.explain.failure import ServerFailure, failure_of, remedy_of, sentence_of, sentence_of_state
from campaign.explain.logs import logs_of_start
from campaign.explain.own_signatures import own_signatures, signature_problems, signatures_by_cluster, site_signatures
from campaign.explain.signature import MEANINGS, VERDICTS, Signature, Verdict
from campaign.explain.signatures import SECTIONS, SIGNATURES

__all__ = [
    "MEANINGS",
    "SECTIONS",
    "SIGNATURES",
    "VERDICTS",
    "Finding",
    "ServerFailure",
    "Signature",
    "Verdict",
    "failure_of",
    "findings",
    "findings_in",
    "logs_of_start",
    "own_signatures",
    "remedy_of",
    "sentence_of",
    "sentence_of_state",
    "signature_problems",
    "signatures_by_cluster",
    "site_signatures",
]
