"""In which order an allocation takes shards."""

from dataclasses import dataclass

from campaign.queue.shard_order import ShardOrder


@dataclass(frozen=True)
class Named:
    """A shard as far as its turn depends on it; the groups of prompts of one that `is_continued` end in the next."""

    number: int
    is_continued: bool = False

    @property
    def name(self) -> str:
        return f"s{self.number}"

    @property
    def next_name(self) -> str:
        return f"s{self.number + 1}"


def numbers(order: ShardOrder, settled: frozenset[int] = frozenset()) -> list[int]:
    return [shard.number for shard in order.lap(lambda shard: shard.number in settled)]


def test_every_shard_has_its_turn_and_the_next_lap_goes_on_behind() -> None:
    order = ShardOrder(Named(number) for number in range(4))
    lap = order.lap(lambda shard: False)
    assert [next(lap).number, next(lap).number] == [0, 1]
    assert numbers(order) == [2, 3, 0, 1]


def test_a_settled_shard_is_passed_over() -> None:
    assert numbers(ShardOrder(Named(number) for number in range(4)), frozenset({1, 2})) == [0, 3]


def test_what_goes_on_with_anothers_group_comes_last_from_the_back() -> None:
    order = ShardOrder([Named(0, is_continued=True), Named(1, is_continued=True), Named(2), Named(3)])
    assert numbers(order) == [0, 3, 2, 1]


def test_what_goes_on_with_a_group_taken_here_keeps_its_turn() -> None:
    shards = [Named(0, is_continued=True), Named(1), Named(2)]
    order = ShardOrder(shards)
    order.took(shards[0])
    assert numbers(order) == [0, 1, 2]


def test_a_shard_made_later_has_its_turn_and_its_name() -> None:
    order = ShardOrder([Named(0)])
    assert order.named("s7") is None
    order.append(late := Named(7))
    assert order.named("s7") is late
    assert numbers(order) == [0, 7]
