"""Waits for disks and file systems, and for what other allocations write there."""

from campaign.core.patience.wait import Wait

DISK_FULL = Wait(
    "room on a full disk, or a file system that refuses writes",
    1800.0,
    ("inference.file_outage", "inference.persistence", "inference.feed", "server.supervisor"),
    "StorageError; answers in memory are lost and asked again by the same command",
    "one line with the remedy at the beginning, one at the end",
    "somebody has to read the line and free space; GPUs are billed meanwhile",
    pause_s=(5.0, 5.0),
)
UNREADABLE = Wait(
    "a file that cannot be read for a moment: EIO, ESTALE, EACCES and their like of a parallel file system",
    90.0,
    ("core.files",),
    "StorageError with the file and the reason; `status` and the report, which only look, take it as not there at once",
    "one line",
    "a failover of a metadata or storage server takes up to a minute",
    pause_s=(0.5, 10.0),
)
QUEUE_READ = Wait(
    "such a file, read by an allocation that answers: journals, parts, request shards, leases",
    15.0,
    ("queue.shard_queue", "queue.shard_states", "queue.stages.stage_shards", "queue.claimed_shard"),
    "its leases beat, and it is read again, as long as a full disk is waited for",
    "one line",
    "the thread that reads also writes the beats; sending stops 45 s after the last of them",
)
EXPIRED_LEASE = Wait(
    "a beat of a lease held by a process that cannot be seen (another host, or one that hangs)",
    90.0,
    ("queue.leases",),
    "the lease expires: its shard is taken over",
    "nothing",
    "of the reader's own clock; nine missed beats",
)
OWNER_LOOK = Wait(
    "a beat of other hosts' leases, before a server is started for shards they may be working on",
    30.0,
    ("allocation.needs_server",),
    "their owners count as dead, and a server is started",
    "nothing",
    "three beats",
)
