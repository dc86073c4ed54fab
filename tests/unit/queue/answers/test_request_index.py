"""The index of wanted keys against a dictionary of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from campaign.queue.answers.request_index import Wanted

# Few different halves, so that keys share them; zero bytes at either end.
HALF = st.sampled_from(["0" * 16, "f" * 16, "00000000000000ff", "ff00000000000000"])
KEY = st.one_of(st.builds(str.__add__, HALF, HALF), st.text("0123456789abcdef", min_size=32, max_size=32))
NO_KEY = st.sampled_from([None, "", "g" * 32, "0" * 31, "é" * 32, "0" * 33])


@given(
    shards=st.lists(st.lists(KEY, max_size=6), max_size=5),
    sought=st.lists(st.one_of(KEY, NO_KEY), max_size=12),
)
def test_find(shards: list[list[str]], sought: list[str | None]) -> None:
    place_of: dict[str, int] = {}
    unique = []
    for keys in shards:
        unique.append([key for key in dict.fromkeys(keys) if key not in place_of and int(key, 16)])
        place_of |= dict.fromkeys(unique[-1], len(unique) - 1)
    wanted = Wanted((keys, np.arange(len(keys), dtype=np.uint8)) for keys in unique)
    rows = wanted.find(sought)
    found = [int(wanted.shard_numbers[row]) if row >= 0 else None for row in rows]
    assert found == [place_of.get(key) if key else None for key in sought]
    has = {key: number for keys in unique for number, key in enumerate(keys)}
    assert [int(wanted.has[row]) for row in rows if row >= 0] == [has[key] for key in sought if key in has]
