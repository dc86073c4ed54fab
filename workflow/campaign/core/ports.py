"""The ports of Ray on a node: where a block of them may begin."""

BLOCK = 100  # ports that Ray gets on each node, in a row
LAST = 65_535
# Linux's default of net.ipv4.ip_local_port_range: any outgoing connection may hold one.
EPHEMERAL = range(32_768, 61_000)

_TRIES = 50  # blocks that a node tries
_FIRST_PORT, _LAST_PORT = 10_000, EPHEMERAL.start - _TRIES * BLOCK


def first_port(job_id: str) -> int:
    """Where a job starts to look for ports: jobs that share a node start at different places."""
    blocks = (_LAST_PORT - _FIRST_PORT) // BLOCK
    return _FIRST_PORT + BLOCK * (int(job_id) % blocks)


def port_blocks(first: int) -> range:
    """Where the blocks of ports begin that a node tries: none reaches into the ephemeral ports, unless the first one does."""
    end = EPHEMERAL.start if first + BLOCK <= EPHEMERAL.start else LAST + 1
    return range(first, min(first + _TRIES * BLOCK, end - BLOCK + 1), BLOCK)


def meets_ephemeral_ports(first: int) -> bool:
    """Whether a block of ports from `first` on holds ephemeral ones."""
    return first < EPHEMERAL.stop and first + BLOCK > EPHEMERAL.start
