"""Bodies of requests of which it is known whether vLLM 0.32 takes them: for its stand-in rules, and for vLLM itself."""

from typing import Any

SERVED = 1024  # tokens of the context
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

# Endpoint, fields beside the prompt, and words that the rules say.
REFUSED_BODIES: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"max_tokens": 4096}, "max_tokens=4096 cannot be greater than max_model_len=1024"),
    ("chat", {"max_completion_tokens": 4096, "max_tokens": 5}, "max_completion_tokens=4096"),
    ("chat", {"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
    ("chat", {"max_tokens": -3}, "got -3"),
    ("completions", {"max_tokens": 0}, "max_tokens must be at least 1"),
    ("chat", {"max_tokens": "{{ max_tokens }}"}, "max_tokens must be a number"),
    ("chat", {"max_tokens": 1.5}, "whole number"),
    ("chat", {"min_tokens": 9, "max_tokens": 4}, "min_tokens must be less than or equal to max_tokens=4"),
    ("chat", {"temperature": 2.5}, "temperature must be in [0, 2]"),
    ("chat", {"temperature": -0.1}, "temperature"),
    ("chat", {"top_p": 0}, "top_p must be in (0, 1]"),
    ("completions", {"top_p": 1.2}, "top_p"),
    ("chat", {"top_k": -2}, "top_k"),
    ("chat", {"presence_penalty": 3}, "presence_penalty"),
    ("chat", {"repetition_penalty": 0}, "repetition_penalty"),
    ("chat", {"n": 3, "temperature": 0}, "greedy"),
    ("chat", {"top_logprobs": 3}, "`logprobs` must be set"),
    ("chat", {"logprobs": True, "top_logprobs": 21}, "greater than max allowed: 20"),
    ("completions", {"logprobs": 30}, "greater than max allowed: 20"),
    ("completions", {"prompt_logprobs": 21}, "greater than max allowed: 20"),
    ("chat", {"structured_outputs": {"choice": [True, False]}}, "hold texts, got True, False"),
    ("chat", {"structured_outputs": {"choice": [1, 2]}}, "hold texts, got 1, 2"),
    ("chat", {"structured_outputs": {"choice": []}}, "empty"),
    ("chat", {"structured_outputs": {"guided_choice": ["a"]}}, "none"),
    ("chat", {"structured_outputs": {"choice": ["a"], "regex": "a"}}, "regex and choice"),
    ("chat", {"response_format": {"type": "json"}}, "got 'json'"),
    ("chat", {"response_format": {"type": "json_schema"}}, "json_schema"),
    ("chat", {"stop": [False]}, "hold texts, got False"),
    ("chat", {"tools": TOOLS}, "--tool-call-parser"),
    ("chat", {"tools": TOOLS, "tool_choice": "required"}, "--tool-call-parser"),
    ("chat", {"tools": []}, "empty"),
    ("chat", {"tool_choice": "auto"}, "`tools` must be set"),
]

# Of a server that pools. The second list: what the rules cannot know, and vLLM says of SmolLM2, in its words.
REFUSED_POOLED: list[tuple[str, dict[str, Any], str]] = [
    ("embeddings", {"normalize": True}, "`normalize` was removed"),
    ("embeddings", {"truncate_prompt_tokens": 4096}, "greater than max_model_len"),
    ("score", {"truncate_prompt_tokens": -5}, "greater than or equal to -1"),
]
REFUSED_BY_VLLM: list[tuple[str, dict[str, Any], str]] = [
    ("embeddings", {"dimensions": 32}, "does not support Matryoshka embeddings"),
    ("embeddings", {"dimensions": "few"}, "dimensions: Input should be a valid integer, unable to parse string"),
    ("embeddings", {"input": {"a": 1}}, "input: Input should be a valid"),
    ("embeddings", {"input": "word " * 2000}, "maximum context length is 1024 tokens"),
    ("embeddings", {"input": [[1, 2], [99_999_999]]}, "out of vocabulary"),
    ("score", {"text_1": None, "text_2": None, "queries": ["a", "b"], "documents": ["a", "b", "c"]}, "1:1, 1:N or N:N"),
    ("rerank", {"top_n": -1}, "top_n: Input should be greater than or equal to 0, got -1"),
]
TAKEN_POOLED: list[tuple[str, dict[str, Any]]] = [
    ("embeddings", {}),
    ("embeddings", {"input": ["a", "b"], "user": "me"}),
    ("embeddings", {"input": "word " * 2000, "truncate_prompt_tokens": -1}),
    ("score", {}),
    ("score", {"text_2": ["a", "b", "c"], "truncate_prompt_tokens": 16}),
    ("rerank", {"top_n": 1}),
]
IGNORED_POOLED = ("score", {"dimensions": 3, "max_tokens": 5})

TAKEN_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("chat", {}),
    ("chat", {"max_tokens": 1024}),
    ("chat", {"max_tokens": "12"}),
    ("chat", {"max_tokens": None, "temperature": None}),
    ("chat", {"max_tokens": 0, "max_completion_tokens": 5}),
    ("completions", {"max_tokens": 0, "echo": True}),
    ("chat", {"min_tokens": 4, "max_tokens": 4}),
    ("chat", {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0}),
    ("chat", {"temperature": 2}),
    ("chat", {"n": 3, "temperature": 0.7}),
    ("chat", {"logprobs": True, "top_logprobs": 3}),
    ("completions", {"logprobs": 3}),
    ("chat", {"logprobs": True, "top_logprobs": 20}),
    ("chat", {"stop": ["a"], "seed": 7}),
    ("chat", {"stop": "a"}),
    ("chat", {"structured_outputs": {"choice": ["yes", "no"]}}),
    ("chat", {"structured_outputs": {"json": _SCHEMA}}),
    ("chat", {"structured_outputs": {"regex": "[ab]+", "disable_any_whitespace": True}}),
    ("chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}}}),
    ("chat", {"response_format": {"type": "json_object"}}),
    ("chat", {"tools": TOOLS, "tool_choice": "none"}),
    ("chat", {"tools": TOOLS, "tool_choice": None}),
    ("completions", {"tools": TOOLS}),
    ("chat", {"guided_json": _SCHEMA, "metadata": {"a": 1}}),
    ("chat", {"reasoning_effort": "high", "include_reasoning": True}),
]
