"""How often the product looks, beats and tells: one record of it per process, in seconds.

`patience` has the other half: how long is waited. CAMPAIGN_TIMING changes the record for a process and its children: `short`
or a JSON object of fields. The tests run the real code with it; a campaign needs no other values than these.
"""

import json
import os
from dataclasses import dataclass, fields, replace

VARIABLE = "CAMPAIGN_TIMING"


@dataclass(frozen=True, slots=True)
class Timing:
    """Every field is the pause between two looks, beats or lines."""

    process_look: float = 0.1
    """Whether a process that was told to end has ended, or one that was started has written its first file."""
    server_look: float = 0.3
    """infer, and whoever waits for a server, at endpoint.json; infer also at the walltime and the campaign's lock."""
    preemption_look: float = 10.0
    """infer asks Slurm whether its job is preempted, under a QoS where that happens."""
    session_look: float = 1.0
    """An interactive server's owner, and `campaign chat` while it waits for one."""

    heartbeat: float = 2.0
    """The supervisor rewrites endpoint.json. It counts as dead for other hosts after 15 s (server.server_state)."""
    engine_look: float = 0.5
    """The supervisor at its engine, its stop request and the lock."""
    metrics_look: float = 5.0
    """The supervisor at /metrics, to see an engine that hangs."""
    ray_look: float = 0.3
    """The nodes of an allocation at each other, while they join Ray and at work."""
    gpu_sample: float = 30.0
    """nvidia-smi or rocm-smi on each node; a sample three times as old is not shown."""
    first_answer_retry: float = 1.0
    """The first question to a server that is not ready yet is asked again."""
    start_line: float = 15.0
    """The log tells what a server that loads is doing."""

    holder_look: float = 0.2
    """A lease that was created and is still empty is read again."""
    owner_look: float = 2.0
    """An allocation with nothing but other hosts' shards looks whether they beat."""

    lease_beat: float = 10.0
    """infer touches its leases; they expire after nine missed beats (patience.EXPIRED_LEASE)."""
    leases_rescan: float = 2.0
    """The leases of a model are listed again: other allocations release shards."""
    shard_look: float = 1.0
    """An infer without a shard to claim asks the queue again."""
    source_look: float = 30.0
    """A model whose prompts are made of another's answers looks whether there are enough to start on."""
    backlog_look: float = 0.01
    """infer's feeder waits for room in the backlog; at 1000 requests a second it drains by ten in that time."""
    journal_sync: float = 1.0
    """Journals are synced to disk: what a power cut may lose."""
    engine_sure: float = 1.0
    """After a broken request, an engine that answers is looked at again: the supervisor sees a dead one within 0.5 s."""
    concurrency_look: float = 1.0
    """`concurrency: auto` reads the engine's queue."""
    tuning_look: float = 0.2
    """A tuning waits for its requests to be in flight."""
    display: float = 1.0
    """infer samples its rate and redraws its progress."""
    status_file: float = 2.0
    """infer rewrites status.json."""
    busy_report: float = 30.0
    """infer appends its busy spans to events.jsonl."""
    progress_line: float = 10.0
    """infer's progress line in a log, in the first minute."""
    progress_line_later: float = 30.0
    """The same, later."""
    prepare_line: float = 5.0
    """prepare_requests tells how many rows it has read."""

    lock_beat: float = 5.0
    """Snakemake touches the campaign's lock, for those on other hosts."""
    lock_look: float = 0.5
    """Whoever finds the lock of another host looks whether it beats."""
    halts_look: float = 30.0
    """Snakemake looks for allocations that stalled or met the budget, to tell of them."""
    orphan_look: float = 1.0
    """A new run waits for what a killed one left running, with a line each."""
    sacct_look: float = 2.0
    """The account asks sacct again for jobs whose end it does not know."""
    squeue_look: float = 30.0
    """`campaign status --watch` asks Slurm: it is everybody's."""


# For tests on a busy machine of two cores: what is read often costs a millisecond each.
SHORT = Timing(
    process_look=0.05,
    server_look=0.05,
    preemption_look=1.0,
    session_look=0.2,
    heartbeat=0.5,
    engine_look=0.1,
    metrics_look=0.5,
    ray_look=0.1,
    first_answer_retry=0.1,
    holder_look=0.05,
    owner_look=0.5,
    leases_rescan=0.3,
    shard_look=0.2,
    source_look=1.0,
    engine_sure=0.3,
    lock_beat=1.0,
    lock_look=0.1,
    halts_look=0.5,
    orphan_look=0.2,
    sacct_look=0.5,
)


def parse(text: str | None) -> Timing:
    """The record that a value of CAMPAIGN_TIMING asks for. Raises ValueError with the reason when it asks for none."""
    if not text:
        return Timing()
    if text == "short":
        return SHORT
    try:
        beats = {name: float(value) for name, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{VARIABLE} is neither `short` nor a JSON object of seconds: {text} ({error})") from None
    known = {field.name for field in fields(Timing)}
    if wrong := [name for name, value in beats.items() if name not in known or value <= 0]:
        raise ValueError(f"{VARIABLE}: no such beat, or no seconds: {', '.join(wrong)}; beats: {', '.join(sorted(known))}")
    return replace(Timing(), **beats)


TIMING = parse(os.environ.get(VARIABLE))
