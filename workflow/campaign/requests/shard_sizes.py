"""How many rows the next shard of a dataset has: fewer and fewer at its end, where several allocations share it.

An allocation that takes the last shard of a thousand rows would work on when the others have ended, for as long as it takes
for a thousand rows. So a shard is no more than half of an allocation's share of what is left (guided self-scheduling:
Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987). All shards before the last 2 * allocations * shard_rows
rows are as they are without that.
"""

# Below that, a shard costs more than it spares: some milliseconds, on a cluster's file system tens, for its files.
SMALLEST = 8


def shard_size(left: int, shard_rows: int, allocations: int) -> int:
    """Rows of the next shard when so many are left, this one's included."""
    if allocations == 1:
        return shard_rows
    return min(shard_rows, max(SMALLEST, -(-left // (2 * allocations))))
