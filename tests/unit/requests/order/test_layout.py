"""Which rows become neighbours, where shards end, and that no order of arrival and no size of memory changes it."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from campaign.requests.order import spill
from campaign.requests.order.decide import order_of, sort_if_worth
from campaign.requests.order.layout import Layout, layout
from campaign.requests.order.notes import PrefixNotes
from campaign.requests.order.prefixes import BLOCK
from campaign.requests.order.spill import Spill
from campaign.requests.shards import ShardWriter, read_shard, shard_path


def text(name: str, blocks: int) -> str:
    """A text of so many blocks that begins like no other."""
    return (f"{name}:" * BLOCK * blocks)[: BLOCK * blocks]


def chat(words: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}], **fields}


def noted(contents: list[dict[str, Any]], folder: Path) -> PrefixNotes:
    notes = PrefixNotes(folder)
    for content in contents:
        notes.note("chat", content)
    notes.close()
    return notes


def laid_out(contents: list[dict[str, Any]], folder: Path, shard_rows: int = 1000) -> tuple[list[int], Layout]:
    """The numbers of the rows in their order, and the layout."""
    notes = noted(contents, folder)
    _, found = sort_if_worth(notes)
    assert found is not None
    made = layout(notes, found, lambda _: shard_rows)
    order = sorted(range(len(contents)), key=lambda number: int(made.places[number]))
    return order, made


def shuffled(groups: int, size: int, blocks: int = 8) -> tuple[list[str], list[dict[str, Any]]]:
    names = [f"{number % groups:03d}" for number in range(groups * size)]
    random.Random(3).shuffle(names)
    return names, [chat(text(name, blocks) + f" question {number}") for number, name in enumerate(names)]


def runs(names: list[str]) -> int:
    return sum(one != before for one, before in zip(names, ["", *names], strict=False))


def test_rows_that_begin_alike_are_neighbours_in_the_order_of_the_files(tmp_path: Path) -> None:
    names, contents = shuffled(40, 6)
    order, _ = laid_out(contents, tmp_path)
    assert runs([names[number] for number in order]) == 40
    for name in set(names):
        mine = [number for number in order if names[number] == name]
        assert mine == sorted(mine)


def test_levels_of_prefixes_nest(tmp_path: Path) -> None:
    pairs = [(f"system{n % 5}", f"document{n % 20}") for n in range(200)]
    random.Random(4).shuffle(pairs)
    contents = [
        {"messages": [{"role": "system", "content": text(one, 6)}, {"role": "user", "content": text(two, 6) + f" {n}"}]}
        for n, (one, two) in enumerate(pairs)
    ]
    order, _ = laid_out(contents, tmp_path)
    assert runs([pairs[number][0] for number in order]) == 5
    assert runs([pairs[number][1] for number in order]) == 20


def test_tools_stand_in_front_of_the_messages(tmp_path: Path) -> None:
    tools = [[{"type": "function", "function": {"name": text(f"tool{n}", 8)}}] for n in range(20)]
    picked = [n % 20 for n in range(100)]
    random.Random(5).shuffle(picked)
    order, _ = laid_out([chat(f"question {n}", tools=tools[one]) for n, one in enumerate(picked)], tmp_path)
    assert runs([str(picked[number]) for number in order]) == 20


def test_the_longest_answers_of_a_group_come_first(tmp_path: Path) -> None:
    names, contents = shuffled(20, 6)
    limits = [10 * (number % 4) + 10 for number in range(len(contents))]
    contents = [{**content, "max_tokens": limit} for content, limit in zip(contents, limits, strict=True)]
    order, _ = laid_out(contents, tmp_path)
    assert runs([names[number] for number in order]) == 20
    for name in set(names):
        mine = [(-limits[number], number) for number in order if names[number] == name]
        assert mine == sorted(mine)


@pytest.mark.parametrize("size", [3, 8, 17, 19, 20])
def test_a_group_that_fits_stays_within_a_shard(size: int, tmp_path: Path) -> None:
    names, contents = shuffled(31, size)
    contents += [chat(text("pair", 20) + str(n)) for n in range(2)] * 40
    names += ["pair"] * 80
    order, made = laid_out(contents, tmp_path, shard_rows=20)
    begin, homes = 0, dict[str, set[int]]()
    for number, cut in enumerate(made.cuts):
        assert 0 < cut.place - begin <= 20
        for row in order[begin : cut.place]:
            homes.setdefault(names[row], set()).add(number)
        begin = cut.place
    assert begin == len(contents)
    assert {len(home) for name, home in homes.items() if name != "pair"} == {1}
    # The one that does not fit goes on from shard to shard, and is marked so.
    inside = [number for number, cut in enumerate(made.cuts) if cut.inside]
    assert inside == sorted(homes["pair"])[:-1]


def test_an_edit_changes_the_shards_around_it_alone(tmp_path: Path) -> None:
    _, contents = shuffled(300, 5)
    _, before = laid_out(contents, tmp_path / "a", shard_rows=50)
    edited = [*contents]
    edited[700] = chat(text("another", 8))
    _, after = laid_out(edited, tmp_path / "b", shard_rows=50)

    def shards(made: Layout) -> set[tuple[int, ...]]:
        by_place = sorted(range(len(contents)), key=lambda number: int(made.places[number]))
        ends = [cut.place for cut in made.cuts]
        return {tuple(by_place[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)}

    kept = shards(before) & shards(after)
    assert len(shards(after)) >= 30
    assert len(shards(after) - kept) <= 4


def test_nothing_depends_on_how_rows_are_batched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, contents = shuffled(25, 7)
    order, made = laid_out(contents, tmp_path / "a", shard_rows=30)
    whole = noted(contents, tmp_path / "c")
    monkeypatch.setattr("campaign.requests.order.notes._BATCH_ROWS", 3)
    monkeypatch.setattr("campaign.requests.order.sorting._ROWS_AT_ONCE", 5)
    again, made_again = laid_out(contents, tmp_path / "b", shard_rows=30)
    assert (again, made_again.cuts) == (order, made.cuts)
    assert noted(contents, tmp_path / "d").near_bytes == whole.near_bytes


def test_what_is_held_and_what_is_read_from_files_give_the_same_order(tmp_path: Path) -> None:
    _, contents = shuffled(30, 6)
    found, _ = sort_if_worth(noted(contents, tmp_path))
    assert found == order_of(("chat", content) for content in contents)
    assert found["kept"] == "grouped"
    assert 0.5 < found["gain"] < found["shared"] < 1


@pytest.mark.parametrize(
    "contents",
    [
        [],
        [chat("x")],
        [chat(f"{n} " * 200) for n in range(300)],  # nothing is shared
        [chat(text("system", 20) + f"{n} " * 100) for n in range(300)],  # all share the same, in any order
        [chat(text(f"{n // 20}", 8) + f"{n}") for n in range(300)],  # grouped already
        [chat(text(f"{n % 6}", 8) + f"{n}") for n in range(300)],  # six in turn: whatever is in flight shares them
        [{"prompt": [1, 2, 3] * 100} for _ in range(300)],
    ],
)
def test_where_nothing_is_gained_the_order_of_the_files_stays(contents: list[dict[str, Any]], tmp_path: Path) -> None:
    found, rows = sort_if_worth(noted(contents, tmp_path))
    assert rows is None and found["kept"] == "input"
    assert order_of(("chat", content) for content in contents)["kept"] == "input"


def test_vectors_and_rows_set_aside_have_no_order(tmp_path: Path) -> None:
    notes = PrefixNotes(tmp_path)
    for number in range(100):
        notes.note("embeddings", {"input": text(f"{number % 20}", 8)})
        notes.note("bad_row", {"reason": text(f"{number % 20}", 8)})
    notes.close()
    assert sort_if_worth(notes)[1] is None


@pytest.mark.parametrize("held", [1 << 20, 200])
def test_rows_go_through_files_into_the_shards_of_the_layout(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_HELD_BYTES", held)
    monkeypatch.setattr(spill, "_FILE_BYTES", 10 * held)
    _, contents = shuffled(25, 7)
    order, made = laid_out(contents, tmp_path / "notes", shard_rows=30)
    writer = ShardWriter(tmp_path / "shards", 60)
    rows = Spill(tmp_path, made, 50)
    for number in range(len(contents)):
        for sample in range(2):
            body = f"{number}-{sample}".encode()
            rows.add(number, sample, 0, (bytes(16), f"{number}", "f", number, "chat", body, b"{}"))
    rows.write(writer)
    shards = writer.finish()
    assert [shard["rows"] for shard in shards] == [2 * (b - a) for a, b in zip([0, *ends(made)], ends(made), strict=False)]
    tables = [read_shard(shard_path(tmp_path / "shards", shard["index"])) for shard in shards]
    bodies = [body.decode() for table in tables for body in table.column("body").to_pylist()]
    assert bodies == [f"{number}-{sample}" for number in order for sample in range(2)]
    assert not (tmp_path / "rows-by-shards").exists()


def ends(made: Layout) -> list[int]:
    return [cut.place for cut in made.cuts]


def test_a_shard_says_how_long_its_answers_may_be(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 2)
    for number, longest in enumerate([5, 9, 0, 0]):
        writer.add((bytes(16), f"{number}", "f", number, "chat", b"{}", b"{}"), longest)
    first, second = writer.finish()
    assert first["longest"] == 9 and "longest" not in second
    assert pq.read_metadata(shard_path(tmp_path, 0)).num_rows == 2
