"""`datasets:` what is asked."""

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from campaign.config.answer import AnswerConfig
from campaign.config.base import Section
from campaign.config.csv_files import CsvConfig
from campaign.config.stages import MOST_ROWS, FromConfig

# Sent as written: after a bare completion's last space or line break the model goes on differently.
Template = Annotated[str, StringConstraints(strip_whitespace=False)]

# Fields of a request the workflow fills itself.
OWN_FIELDS = {
    "model": "is set from `models`",
    "messages": "is made from `prompt` and `system`, or taken from the column `messages` names",
    "prompt": "is made from the dataset's `prompt`",
    "stream": "is not used: answers are stored whole",
    "stream_options": "is not used: answers are stored whole",
}

# Fields of a request that say what its answer must be: those of today, and those of vLLM before 0.12.
ANSWER_FIELDS = ("structured_outputs", "response_format", "guided_json", "guided_choice", "guided_regex", "guided_grammar")

# Endpoints of the server that a dataset can ask, by what they answer; how: requests.endpoints.
WritingEndpoint = Literal["chat", "completions"]  # texts
PoolingEndpoint = Literal["embeddings", "score", "rerank", "classify"]  # vectors, scores, classes: no text
EndpointName = Literal[WritingEndpoint, PoolingEndpoint]
WRITES_TEXT: tuple[str, ...] = get_args(WritingEndpoint)
# Keys that say what `prompt` is held against, and their endpoints.
_SECOND_TEXTS = {"document": "score", "documents": "rerank"}
_WITH_MESSAGES = ("chat", "embeddings", "classify")


# Keys that say how files are read, and mean nothing to a stage.
_OF_FILES = ("csv", "sheet", "split", "id", "images", "audio")


# A model, or `model:adapter`.
Asked = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=201)]


class DatasetConfig(Section):
    """Prompt files, or another's answers, and how a row becomes a request. Files alone are OpenAI Batch requests."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a word of Python's

    files: list[str] = Field(
        [],
        description="paths or globs: .jsonl .json .csv .tsv .xlsx .parquet .arrow, texts also as .gz .zst .bz2 .xz; "
        "dataset folders of Hugging Face; OpenAI Batch request files",
    )
    sources: list[FromConfig] = Field(
        [],
        alias="from",
        description="a stage: rows are the answers to another dataset, `{dataset, model}` or a list of these, and not `files`",
    )
    where: str | None = Field(
        None, description="of a stage: which rows of its source are asked, a Jinja2 expression over their columns"
    )
    csv: CsvConfig = Field(CsvConfig(), description="how CSV files are written; see below")
    sheet: str | None = Field(None, description="sheet of .xlsx files; null takes the first")
    split: str | None = Field(
        None, description="split of Hugging Face dataset folders: train, test ...; needed where there are several"
    )
    on_bad_row: Literal["stop", "set_aside"] = Field(
        "stop",
        description="set_aside: a row that cannot be read or makes no request becomes a failed row, the others are asked",
    )
    id: str | None = Field(None, description="column with a unique id; becomes row_id")
    system: Template | None = Field(None, description="system message, a Jinja2 template over the row's columns")
    prompt: Template | None = Field(None, description="user message, a Jinja2 template over the row's columns")
    messages: str | None = Field(None, description="column that holds whole chat messages")
    images: list[str] = Field(
        [],
        description="column, or columns, of images that `prompt` is shown with: paths, bytes, data URLs or http addresses, "
        "also lists of them",
    )
    audio: list[str] = Field([], description="the same for sounds")
    document: Template | None = Field(None, description="endpoint score: the text `prompt` is held against, a Jinja2 template")
    documents: str | None = Field(
        None, description="endpoint rerank: column with the list of texts that are ranked for `prompt`"
    )
    endpoint: EndpointName = Field(
        "chat",
        description="what is asked of the server: chat takes messages, completions a bare text; docs/prompts.md has each",
    )
    models: list[Asked] = Field(
        min_length=1, description="models that answer this dataset; `model:adapter` for one of models.<m>.adapters"
    )
    adapters: dict[str, str] = Field({}, description="set from `models`: the adapter that each answers with")
    sampling: dict[str, Any] = Field(
        {},
        description="any field of the request: temperature, max_tokens, response_format ...; "
        "`{column: name}` takes the value of each row",
    )
    answer: AnswerConfig | None = Field(
        None, description="what an answer must be: parsed into the column `answer`, checked, and asked again where it is not"
    )
    samples: int = Field(
        1, ge=1, le=1000, description="answers to each prompt, a row each with its number in the column `sample`"
    )
    limit: int | None = Field(None, ge=1, description="rows to take at most, the first ones; null takes all")
    order: Literal["auto", "input"] = Field(
        "auto",
        description="in which order requests are sent; auto: prompts that begin alike one after the other, where that spares "
        "the engine work; input: as in the files. Rows of `responses` are in the order of the files either way",
    )
    shard_rows: int = Field(
        1000, ge=1, le=MOST_ROWS, description="requests per shard, fewer in the last ones; a stage has its source's shards"
    )

    @field_validator("files", mode="before")
    @classmethod
    def _one_file(cls, files: Any) -> Any:
        return [files] if isinstance(files, str) else files

    @field_validator("sources", mode="before")
    @classmethod
    def _one_source(cls, sources: Any) -> Any:
        return [sources] if isinstance(sources, (str, dict)) else sources

    @model_validator(mode="after")
    def _one_origin_of_rows(self) -> "DatasetConfig":
        if bool(self.files) == bool(self.sources):
            has = "both `files` and `from`: keep one" if self.files else "neither `files` nor `from`: give it one"
            raise ValueError(f"has {has} of them (prompt files, or another dataset's answers)")
        if not self.sources:
            if self.where is not None:
                raise ValueError("has `where`, which chooses among answers, and no `from`: remove `where`, or add `from`")
            return self
        if taken := [name for name in _OF_FILES if getattr(self, name) != type(self).model_fields[name].default]:
            raise ValueError(f"has `from` and `{taken[0]}`, which is of prompt files: remove `{taken[0]}`")
        if self.adapters:
            raise ValueError("has `from` and asks an adapter, which stages cannot: name a model that has it merged")
        if self.prompt is None and self.messages is None:
            raise ValueError('has `from` without `prompt`: say what is asked, as in prompt: "Is this good? {{ text }}"')
        return self

    @field_validator("images", "audio", mode="before")
    @classmethod
    def _columns(cls, named: Any) -> Any:
        """One column or a list, each by its name or as `{column: name}`, as fields of `sampling` have it."""
        if named is None:
            return []
        each = named if isinstance(named, list) else [named]
        return [one["column"] if isinstance(one, dict) and one.keys() == {"column"} else one for one in each]

    @model_validator(mode="before")
    @classmethod
    def _adapters_apart(cls, values: Any) -> Any:
        """`model:adapter` names a model, and the adapter that it answers with."""
        asked = values.get("models") if isinstance(values, dict) else None
        if not isinstance(asked, list) or not any(isinstance(name, str) and ":" in name for name in asked):
            return values
        adapters: dict[str, str] = {}
        for name in dict.fromkeys(asked):
            model, _, adapter = str(name).partition(":")
            if adapters.setdefault(model, adapter) != adapter:
                raise ValueError(
                    f"asks {model} with two adapters, or with and without one: make a dataset of each, of the same files"
                )
        given = {model: adapter for model, adapter in adapters.items() if adapter}
        return {**values, "models": list(adapters), "adapters": given}

    @field_validator("models", mode="after")
    @classmethod
    def _once(cls, models: list[str]) -> list[str]:
        return list(dict.fromkeys(models))

    @field_validator("sampling")
    @classmethod
    def _no_own_fields(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        taken = [f"`{name}` {why}" for name, why in OWN_FIELDS.items() if name in sampling]
        if taken:
            raise ValueError(f"{'; '.join(taken)}; remove it here")
        return sampling

    @model_validator(mode="after")
    def _one_source_of_messages(self) -> "DatasetConfig":
        if self.prompt is not None and self.messages is not None:
            raise ValueError("has both `prompt` and `messages`: keep one of them")
        if self.system is not None and self.endpoint != "chat":
            raise ValueError(f"endpoint `{self.endpoint}` takes a `prompt` only: remove `messages` and `system`")
        if self.messages is not None and self.endpoint not in _WITH_MESSAGES:
            raise ValueError(f"endpoint `{self.endpoint}` takes a `prompt` only: remove `messages` and `system`")
        if self.system is not None and self.prompt is None:
            raise ValueError("has `system` without `prompt`: with `messages` or batch files, put it into the messages")
        return self

    @model_validator(mode="after")
    def _what_is_shown(self) -> "DatasetConfig":
        for key in ("images", "audio"):
            if not getattr(self, key):
                continue
            if self.endpoint != "chat":
                raise ValueError(
                    f"`{key}` is shown in chat messages, and this is endpoint `{self.endpoint}`: remove one of them"
                )
            if self.prompt is None:
                raise ValueError(f"has `{key}` without `prompt`: with `messages` or batch files, put them into the messages")
        return self

    @property
    def has_media(self) -> bool:
        """Whether its requests refer to images or sounds."""
        return bool(self.images or self.audio)

    @model_validator(mode="after")
    def _one_word_on_answers(self) -> "DatasetConfig":
        if self.answer is None:
            return self
        if taken := [f"`{name}`" for name in ANSWER_FIELDS if name in self.sampling]:
            raise ValueError(f"has {' and '.join(taken)} in `sampling` beside `answer`, which makes them: keep one of them")
        if self.endpoint not in WRITES_TEXT:
            raise ValueError(f"has `answer`, and what endpoint `{self.endpoint}` answers is no text: remove it")
        if self.endpoint == "completions" and self.answer.tell_model:
            raise ValueError("has answer.tell_model, which needs chat messages, and endpoint `completions`: remove one of them")
        if (several := self.sampling.get("n")) not in (None, 1):
            raise ValueError(f"has `answer` and sampling.n {several}: only the first would be checked; remove `n`")
        return self

    @model_validator(mode="after")
    def _what_is_scored(self) -> "DatasetConfig":
        """Batch files (neither `prompt` nor `messages`) bring everything themselves."""
        for key, endpoint in _SECOND_TEXTS.items():
            if getattr(self, key) is None:
                continue
            if self.endpoint != endpoint:
                raise ValueError(f"`{key}` is of endpoint `{endpoint}`, and this is `{self.endpoint}`: remove one of them")
            if self.prompt is None:
                raise ValueError(f"has `{key}` without `prompt`, the text it is held against")
        wanted = next((key for key, endpoint in _SECOND_TEXTS.items() if endpoint == self.endpoint), None)
        if wanted and self.prompt is not None and getattr(self, wanted) is None:
            example = {"document": "{{ passage }}", "documents": "passages"}[wanted]
            raise ValueError(f'endpoint `{self.endpoint}` holds `prompt` against `{wanted}`: add {wanted}: "{example}"')
        return self

    @model_validator(mode="after")
    def _samples_of_text(self) -> "DatasetConfig":
        if self.samples == 1:
            return self
        if self.endpoint not in WRITES_TEXT:
            raise ValueError(f"has `samples`, and endpoint `{self.endpoint}` answers the same each time: remove it")
        if (several := self.sampling.get("n")) not in (None, 1):
            raise ValueError(f"has `samples` and sampling.n {several}: keep one of them (`samples` makes rows)")
        return self

    @property
    def is_batch(self) -> bool:
        """Whether its files are OpenAI Batch requests, whose lines name their endpoint themselves."""
        return not self.sources and self.prompt is None and self.messages is None

    @property
    def is_stage(self) -> bool:
        """Whether its rows are another dataset's answers."""
        return bool(self.sources)
