"""What mends a request that vLLM refuses or reads otherwise than meant. Pure."""

import re
from collections.abc import Mapping

from campaign.core.text import did_you_mean
from campaign.server.check.vllm_arguments import Names

QUOTES = "YAML reads yes, no, on, off and bare numbers as such: put texts into quotes, like 'yes'"
PER_ROW = (
    "write the column from which a field takes the row's value, as in `max_tokens: {column: limit}`, or ask with an OpenAI "
    "Batch file, whose lines have fields of their own: "
    '{"custom_id": "1", "url": "/v1/chat/completions", "body": {"messages": [...], "max_tokens": 2}}'
)

# The words of a refusal, and what mends it; {model} is the model's name in the config.
_BY_WORDS = (
    (
        r"ChatCompletionContentPart|content part type",
        'a part of a message is {{"type": "text", "text": ...}} or {{"type": "image_url", "image_url": {{"url": ...}}}}',
    ),
    (r"\{\{|\{%|valid (integer|number).*got '[^']*[{$]", PER_ROW.replace("{", "{{").replace("}", "}}")),
    (
        r"--tool-call-parser|--enable-auto-tool-choice",
        "models.{model}.vllm: {{enable-auto-tool-choice: true, tool-call-parser: hermes}}, with the parser of the model's "
        "family (hermes, llama3_json, mistral ...)",
    ),
    (r"--reasoning-parser|reasoning_config", "models.{model}.vllm: {{reasoning-parser: ...}}, the one of the model's family"),
    (r"--trust-request-chat-template", "give it to the server: models.{model}.vllm: {{chat-template: file.jinja}}"),
    (r"chat template|chat_template", "models.{model}.vllm: {{chat-template: file.jinja}}, or `endpoint: completions`"),
    (r"(valid string|hold texts), got (.*, )?(True|False|-?\d)", QUOTES),
    (
        r"`?json_schema`?.*(must be provided|needs)",
        "response_format: {{type: json_schema, json_schema: {{name: answer, schema: ...}}}}",
    ),
    (r"`logprobs` must be set", "add `logprobs: true`"),
    (r"max allowed: \d+", "use fewer, or models.{model}.vllm: {{max-logprobs: ...}}"),
    (r"one kind of structured outputs|takes one of json", "as in structured_outputs: {{choice: [a, b]}}"),
    (r"greedy sampling", "raise temperature above 0, or leave n out"),
    (r"num_labels == 1", "name a reranker, or a model for embeddings; this one has classes: endpoint: classify"),
    (r"Matryoshka", "remove `dimensions`, or name a model that was trained for it"),
    (r"truncate_prompt_tokens.*greater than max_model_len", "truncate_prompt_tokens: -1 keeps what fits the model's context"),
    (
        r"--allowed-local-media-path",
        "let the server read them: models.{model}.vllm: {{allowed-local-media-path: /folder}}; or name them in a column, and "
        "write `images: column`",
    ),
    (r"At most [1-9]\d* ", "models.{model}.vllm: {{limit-mm-per-prompt: {{image: ...}}}}"),
    (r"not a multimodal model|At most 0 ", "ask a model that reads them"),
)


def remedy_for(sentence: str, model: str) -> str:
    """Say how to mend a refusal; empty where its words say enough."""
    return next(
        (
            remedy.format(model=model) if remedy != PER_ROW else remedy
            for words, remedy in _BY_WORDS
            if re.search(words, sentence)
        ),
        "",
    )


# Fields of earlier versions, other servers and clients, and what takes their place.
_INSTEAD: Mapping[str, str] = {
    "guided_json": "write `structured_outputs: {json: ...}`",
    "guided_regex": "write `structured_outputs: {regex: ...}`",
    "guided_choice": "write `structured_outputs: {choice: [...]}`",
    "guided_grammar": "write `structured_outputs: {grammar: ...}`",
    "extra_body": "it is of OpenAI's client alone: write the fields in it one level higher, in its place",
    "functions": "write `tools`",
    "function_call": "write `tool_choice`",
    "max_new_tokens": "write `max_tokens`",
    "max_output_tokens": "write `max_tokens`",
    "stop_sequences": "write `stop`",
    "stop_strings": "write `stop`",
    "system": "put it into the messages as their first one, or write the dataset's `system`",
    "enable_thinking": "write `chat_template_kwargs: {enable_thinking: ...}`",
    "thinking": "write `chat_template_kwargs: {thinking: ...}`, or as the model's chat template calls it",
    "best_of": "write the dataset's `samples`, and choose among them",
    "num_return_sequences": "write the dataset's `samples`",
    "do_sample": "write `temperature`, 0 for the likeliest tokens",
    "json_schema": "write the dataset's `answer: {schema: ...}`",
    "format": "write the dataset's `answer: {schema: ...}`",
    "repeat_penalty": "write `repetition_penalty`",
    "num_predict": "write `max_tokens`",
    "max_completion_tokens": "write `max_tokens`",  # of completions, which do not have the chat's name for it
}


def remedy_for_column(field: str, column: str) -> str:
    """Say how to mend a field that is taken from a column and that vLLM refuses."""
    example = _WHOLE.get(field)
    return f"the column {column!r} holds the whole field" + (f", as in {example}" if example else "")


# Fields of which people put a part into a column.
_WHOLE: Mapping[str, str] = {
    "structured_outputs": '{"json": {"type": "object", ...}} or {"choice": ["yes", "no"]}',
    "response_format": '{"type": "json_schema", "json_schema": {"name": "answer", "schema": {...}}}',
}


def remedy_for_ignored(field: str, names: Names) -> str:
    """Say what to write in place of a field that vLLM passes over."""
    if field in _INSTEAD:
        return _INSTEAD[field]
    return did_you_mean(names.unknown_fields([field]).get(field), "remove it", mark="`")
