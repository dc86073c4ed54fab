"""The images and sounds of a row, and the parts of a chat message that they become."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.config import DatasetConfig
from campaign.requests.files.row import Row
from campaign.requests.media.finding import Finder, Media, NoMedia, shown_value
from campaign.requests.media.reference import parsed
from campaign.requests.problems import RowProblem
from campaign.requests.templates.template import missing_column

_MODALITIES = {"images": "image", "audio": "audio"}  # by key of the dataset

Found = list[tuple[str, Media]]  # each with its modality


class MediaColumns:
    """Takes what the columns `images` and `audio` of a dataset name out of its rows."""

    def __init__(self, dataset: DatasetConfig) -> None:
        self.named = media_columns(dataset)
        self._finders = {key: Finder(modality) for key, modality in _MODALITIES.items()}

    def take(self, row: Row) -> Found:
        """What a row holds, in the order of the columns. Its values keep no content of it. Raises RowProblem."""
        values, found = row.values, []
        row.values = {**values, **{name: shown_value(values[name]) for name in self.named.values() if name in values}}
        folder = Path(row.file).parent
        for key, column in self.named.items():
            key = key.partition(".")[0]
            if column not in values:
                raise RowProblem(key, missing_column(column, values))
            try:
                found += [(_MODALITIES[key], media) for media in self._finders[key].find(values[column], folder)]
            except NoMedia as error:
                raise RowProblem(key, f"the column {column!r} {error}") from None
        return found


def media_columns(dataset: DatasetConfig) -> Mapping[str, str]:
    """Columns of images and sounds by their place in the config: `images`, `images.1` ..."""
    named = {"images": dataset.images, "audio": dataset.audio}
    return {
        f"{key}.{number}" if number else key: column for key, columns in named.items() for number, column in enumerate(columns)
    }


def kept_type(kind: pa.DataType) -> pa.DataType:
    """The Arrow type of what is kept of a column's values (shown_value)."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return pa.list_(pa.string()) if is_list else pa.string()


def with_media(messages: list[dict[str, Any]], found: Found, *, in_key: bool) -> list[dict[str, Any]]:
    """Messages whose last one shows what was found, before its text. `in_key`: as its request's key has it."""
    *before, last = messages
    parts = [_part(modality, media.in_key if in_key else media.url) for modality, media in found]
    return [*before, {**last, "content": [*parts, {"type": "text", "text": last["content"]}]}]


def _part(modality: str, url: str) -> dict[str, Any]:
    """A part in OpenAI's form; for sounds of the web in vLLM's, as OpenAI has none."""
    if modality == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    reference = parsed(url)
    if reference is None and url[:4].lower() == "http":
        return {"type": "audio_url", "audio_url": {"url": url}}
    given = {} if reference is None else {"format": reference.mime.partition("/")[2].removeprefix("x-")}
    return {"type": "input_audio", "input_audio": {"data": url, **given}}
