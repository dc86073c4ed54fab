"""In which order models get their work, where datasets are made of other models' answers. Pure.

A node is a dataset and a model that answers it. Nodes form no cycle, but models can: A drafts, B judges, A rewrites. The level
of a node counts how often the model changes on the way to it: 0, 1 and 2 here. A model has one round per level of its nodes: A
has round 0 (level 0) and round 1 (level 2), B has round 0 (level 1). Each round has allocations of its own, so that those of A
that draft need not wait until B has judged. Round k of a model with `placement.allocations: n` has the allocations k n to
(k + 1) n - 1.
"""

from collections.abc import Mapping, Sequence

from campaign.config.campaign import CampaignConfig

Node = tuple[str, str]  # dataset, model
Sources = Mapping[Node, Sequence[Node]]  # those whose answers a node's prompts are made of; none of a dataset of files


def sources(config: CampaignConfig) -> dict[Node, list[Node]]:
    """The nodes whose answers each node's prompts are made of."""
    made_of = {name: [(source.dataset, source.model) for source in config.sources_of(name)] for name in config.datasets}
    return {(name, model): made_of[name] for name, dataset in config.datasets.items() for model in dataset.models}


def levels(made_of: Sources) -> dict[Node, int]:
    """Count how often the model changes on the longest way to each node."""
    found: dict[Node, int] = {}

    def level(node: Node) -> int:
        if node not in found:
            found[node] = max((level(source) + (source[1] != node[1]) for source in made_of[node]), default=0)
        return found[node]

    return {node: level(node) for node in made_of}


def rounds(config: CampaignConfig, model: str) -> list[int]:
    """The levels of what a model answers, lowest first: its round k is for what has the level `rounds[k]`."""
    return sorted({level for (_, name), level in levels(sources(config)).items() if name == model})


def level_of(config: CampaignConfig, model: str, allocation: int) -> int:
    """Highest level whose prompts this allocation waits for. Ready shards of any level are answered.

    A drafts (level 0), B judges (1), A rewrites (2): A's allocation 0 waits for prompts of level 0, its allocation 1 for those
    of level 2, and each answers whatever is ready.
    """
    return rounds(config, model)[round_of(config, model, allocation)]


def waited_for(config: CampaignConfig, model: str, level: int) -> list[Node]:
    """All nodes of lower levels on which a model's nodes of a level hang, directly or through others."""
    made_of = sources(config)
    of_node = levels(made_of)
    found: dict[Node, None] = {}
    left = [node for node in made_of if node[1] == model and of_node[node] == level]
    while left:
        new = [node for node in made_of[left.pop()] if node not in found]
        found.update(dict.fromkeys(new))
        left += new
    return [node for node in found if of_node[node] < level]


def rounds_before(config: CampaignConfig, model: str, number: int) -> list[tuple[str, int]]:
    """Models, each with the number of a round: those whose answers round `number` of a model waits for, and its own earlier
    ones, which answer what is at hand as long as they last."""
    of_node = levels(sources(config))
    needed = waited_for(config, model, rounds(config, model)[number])
    others = {(name, rounds(config, name).index(of_node[dataset, name])) for dataset, name in needed}
    return sorted(others | {(model, earlier) for earlier in range(number)})


def rounds_that_wait(config: CampaignConfig) -> list[tuple[str, int]]:
    """Models, each with the number of a round that needs answers of other models."""
    return [(name, number) for name in config.used_models for number, level in enumerate(rounds(config, name)) if level]


def round_of(config: CampaignConfig, model: str, allocation: int) -> int:
    """The number of the round that an allocation belongs to."""
    return min(allocation // config.models[model].placement.allocations, len(rounds(config, model)) - 1)
