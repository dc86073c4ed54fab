"""What stands within state files, as far as their readers rely on it (see core.state_files): a record without it is damaged."""

from typing import Any, NotRequired

from typing_extensions import TypedDict


class Column(TypedDict):
    """A column of the user's files. `source` is how it is called there."""

    source: str
    type: str
    name: NotRequired[str]


class DatasetCounts(TypedDict):
    """What collect counted of a dataset's rows, as far as everybody relies on it: each has more keys."""

    rows: int
    ok: int
    failed: int
    missing: NotRequired[int]
    classes: NotRequired[dict[str, int]]


class ModelCounts(TypedDict):
    """What collect counted of a model. Sizes of the files it saw, by dataset and name: not there in the first versions."""

    datasets: dict[str, DatasetCounts]
    pending: NotRequired[str | None]
    part_bytes: NotRequired[dict[str, dict[str, int]]]
    copy_bytes: NotRequired[dict[str, dict[str, int]]]


class PlannedModel(TypedDict):
    """What a plan says of a model, as far as others read it."""

    forecast: NotRequired[dict[str, Any] | None]
