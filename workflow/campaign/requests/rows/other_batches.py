"""Batch files of other providers, and what makes OpenAI's of them."""

from typing import Any

# Anthropic's system message stands beside the messages, where vLLM would pass over it.
_MESSAGES = '.messages = [{role: "system", content: .system} | select(.content)] + .messages | del(.system)'
_ROUTES = {"messages": "/v1/chat/completions", "prompt": "/v1/completions", "input": "/v1/embeddings"}


def instead_of_batch(values: dict[str, Any]) -> str:
    """What to do with a row that is no OpenAI Batch request."""
    for row_id, params in (("custom_id", "params"), ("recordId", "modelInput")):
        if isinstance(values.get(params), dict) and "messages" in values[params]:
            made = f'{{custom_id: .{row_id}, url: "/v1/chat/completions", body: (.{params} | {_MESSAGES})}}'
            return f"it is one of Anthropic's; jq -c '{made}' makes one of it"
    if "custom_id" in values and "response" in values:
        return "it is the output of a batch; name the file of its requests"
    if isinstance(request := values.get("request"), dict) and "contents" in request:
        return 'it is one of Gemini\'s; give the dataset prompt: "{{ request.contents[0].parts[0].text }}"'
    body = values.get("body")
    route = next((route for field, route in _ROUTES.items() if isinstance(body, dict) and field in body), None)
    if "custom_id" in values and route is not None:
        return f"where the provider is told the url once for all lines: jq -c '. + {{url: \"{route}\"}}' makes one of it"
    return "for other files give the dataset a `prompt` template or a `messages` column"
