"""Waits for other runs of Snakemake, and for the hub."""

from campaign.core.patience.wait import Wait

LOCK_WATCH = Wait(
    "a sign of life of a Snakemake on another host that holds the campaign",
    20.0,
    ("core.lock",),
    "it counts as dead, and the campaign is taken",
    "nothing",
    "four of its beats: file attributes are cached for a few seconds",
)
ORPHANS = Wait(
    "processes of a killed run of Snakemake",
    25.0,
    ("controller.run", "inference.drain"),
    "they are ended",
    "a line a second",
    "an infer that lost its Snakemake drains for 10 s, a supervisor ends its engine within as much again",
)
DRAIN = Wait(
    "requests in flight, when a run is stopped or its walltime ends",
    300.0,
    ("inference.drain",),
    "they are asked again in the next run",
    "a line; a second signal ends it at once",
    "somebody waits, or the walltime ends",
    bound="inference.drain (5m)",
)
HUB = Wait(
    "the hub, when a model is staged",
    300.0,
    ("models.download", "models.hub"),
    "HubError; what was downloaded stays",
    "a warning with the pause at each try",
    "silence of 60 s on a connection ends it",
    pause_s=(1.0, 300.0),
    bound="8 tries in a row without a byte",
)
HUB_ASK = Wait(
    "the hub, when a plan is made",
    10.0,
    ("models.model_check", "plan.memory.model_metadata"),
    "the plan says what it could not check",
    "nothing",
)
HUB_HEADERS = Wait(
    "the headers of a hub model's files, when a plan is made",
    8.0,
    ("plan.memory.model_metadata",),
    "the plan takes the sizes that the hub lists",
    "nothing",
)
NOTIFY = Wait(
    "the command or webhook of `notify`, for each event",
    30.0,
    ("controller.deliver",),
    "a warning; the campaign goes on, or has ended as it would have",
    "nothing",
    "a push service answers within seconds; tried again only where it surely took nothing (a refused connection, 429, 503)",
    pause_s=(1.0, 8.0),
)
NOTIFY_ANSWER = Wait("the answer of a webhook", 10.0, ("controller.deliver",), "a warning", "nothing")
SNAKEMAKE_RETRIES = Wait(
    "an allocation whose job failed or was lost",
    0.0,
    (),
    "the campaign ends with the cause",
    "Snakemake's lines",
    "the profiles' `retries`; a cause that cannot pass is tried once",
    bound="2 more tries under Slurm, 1 locally",
)
