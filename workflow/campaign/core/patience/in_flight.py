"""Waits of requests in flight."""

from campaign.core.patience.wait import Wait

SHEDDING = Wait(
    "a server that sheds load: HTTP 429, 503, 529; while it answers nobody 408, 502, 504, a redirect or a page too",
    600.0,
    ("inference.shedding",),
    "ServerError, and no request fails. Where others were answered meanwhile, the request that was refused for so long fails",
    "one line at the beginning, one at the end",
    "without a single answer; a queue of long prompts or a proxy's restart takes minutes. Attempts are not counted, fewer "
    "requests are kept in flight, and Retry-After (seconds or a date, at most 300 s) is honoured",
    pause_s=(1.0, 60.0),
)
# 429 and 503 are what HTTP has for it (RFC 9110, RFC 6585); 529 is Anthropic's and some proxies'.
SHEDDING_STATUSES = frozenset({429, 503, 529})
# Told by a proxy in front of a server that does not answer it in time, or not at all; or by a slow network.
GATEWAY_STATUSES = frozenset({408, 502, 504})
# A key that is not yet, or no longer, the server's; a model or route that is not registered yet.
NOT_READY_STATUSES = frozenset({401, 403, 404})
LONGEST_RETRY_AFTER_S = 300.0  # of what a server asks for; it may be back earlier, and half the patience is left to see it
NOT_READY = Wait(
    "a server that just starts or was started again: HTTP 401, 403, 404 while it answers nobody",
    180.0,
    ("inference.shedding", "allocation.ready"),
    "ServerError with the server's words; no row has failed",
    "one line at the beginning, one at the end",
    "a model is registered seconds after the port opens. The key is read again; a small question of our own "
    "tells whether it is the request that is refused, which then counts as an attempt",
    pause_s=(1.0, 15.0),
)
RETRY = Wait(
    "an answer after a timeout, HTTP 500, a broken connection, an unreadable answer, while the engine lives",
    30.0,
    ("inference.dispatch",),
    "a failed row with class and message",
    "`retries` in status.json, `attempts` in responses",
    pause_s=(0.5, 30.0),
    bound="inference.max_attempts (5) tries",
)
INVALID_ANSWERS = Wait(
    "a valid answer (by the dataset's `answer`), after one that is not",
    0.0,
    ("inference.answer_validation", "inference.dispatch"),
    "a failed row of class invalid_answer, with the last text",
    "`retries` in status.json, `invalid_attempts` in responses",
    "at once, with another seed, above temperature 0, the last for two answers; what max_tokens cut off fails at once",
    bound="answer.retries (2) more tries",
)
ENGINE_DEATH = Wait(
    "whether the engine died under a broken request",
    15.0,
    ("inference.engine_health",),
    "nothing is sent to it; what was in flight is sent again to the next one, and is not quarantined",
    "nothing",
    "the supervisor sees a dead engine within a second; a slow file system shows it later",
)
MISTRUST = Wait(
    "an engine that was taken for dead, to be replaced",
    60.0,
    ("inference.engine_health",),
    "it is sent requests again, if endpoint.json still names it and says that it is up",
    "nothing",
    "it lives after all: a supervisor tells of a dead engine within a second, a file system within a minute",
)
MOST_REVIVALS = 2  # beyond the restarts the supervisor makes itself
REVIVALS = Wait(
    "a server whose supervisor is gone, or gave up",
    3600.0,
    ("inference.server_link",),
    "ServerError",
    "a warning with the cause at each",
    "each start is bounded as any start of a server is",
    bound=f"{MOST_REVIVALS} starts, beyond the restarts the supervisor makes itself",
)
OWNERSHIP = Wait(
    "a beat of this allocation's leases that could be written; nothing is sent meanwhile",
    45.0,
    ("inference.ownership", "inference.feed"),
    "sending stops, and goes on once the leases are seen to be still its own",
    "a warning, when shards were taken over",
    "half of what a lease that does not beat lives (90 s), so that a process or file system that stood still sends nothing of "
    "a shard that another allocation has taken over",
)
OWNERSHIP_SETTLE_S = 2.0  # between a late beat and the look whether it came too late: a taker reads a lease, then takes it
