"""Shards of stages: made from the parts of another dataset, one by one, as these are published.

Shard k of a stage is a pure function of part k of its source and of the stage's definition. Its file is a request shard like
any other; its footer says what it was made of. So whether it is still what it must be is known without reading a row, and who
makes it again, after a kill or beside somebody else, makes the same bytes.
"""
