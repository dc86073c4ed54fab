"""Prompts that hold the marks of a chat template already: the server would write them a second time. Pure.

A prompt that was rendered by a tokenizer's `apply_chat_template` begins with the marks of a turn; chat requests get these from
the server. vLLM begins a completion with the tokenizer's first token too, unless `add_special_tokens` is false.
"""

from collections.abc import Iterator
from typing import Any

from campaign.config import DatasetConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.endpoints import CHAT, COMPLETIONS
from campaign.requests.rows.sampled_rows import Sample

_OF_TURNS = (
    *("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|start_of_role|>", "[INST]", "<|user|>", "<|User|>"),
    *("<|START_OF_TURN_TOKEN|>", "<|turn>", "<｜User｜>", "<|header_start|>"),
)
_FIRST = ("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|begin▁of▁sentence|>", "<｜begin▁of▁sentence｜>")
_OF_MEDIA = {"<image>": "image_url", "<audio>": "audio_url", "<video>": "video_url"}


def template_marks(name: str, dataset: DatasetConfig, sample: Sample) -> Iterator[Diagnostic]:
    """What to tell of a dataset all of whose first rows have such a mark."""
    key = f"datasets.{name}.{'prompt' if dataset.prompt is not None else 'messages' if dataset.messages else 'files'}"
    chats = [row.body["messages"] for row in sample.requests if row.api == CHAT.name]
    if mark := _in_all([" ".join(_texts(messages)) for messages in chats], _OF_TURNS):
        reason = f"{mark} is a mark of chat templates, which the server writes around each message: it would stand twice"
        remedy = "send a prompt that has its marks as it stands: endpoint: completions; or leave the marks out"
        yield Diagnostic(key, "template_marks", reason, remedy, warning=True)
    if mark := _in_all([" ".join(_texts(messages)) for messages in chats if not _has_parts(messages)], tuple(_OF_MEDIA)):
        part = f"{{type: {_OF_MEDIA[mark]}, {_OF_MEDIA[mark]}: {{url: ...}}}}"
        yield Diagnostic(
            key, "media_marks", f"{mark} is sent as text, and nothing is shown with it", _how_shown(dataset, part), warning=True
        )
    rows = [
        row.body for row in sample.requests if row.api == COMPLETIONS.name and row.body.get("add_special_tokens") is not False
    ]
    starts = [body["prompt"].lstrip()[:40] for body in rows if isinstance(body["prompt"], str)]
    if mark := next((mark for mark in _FIRST if starts and all(start.startswith(mark) for start in starts)), None):
        reason = (
            f"all prompts begin with {mark}, which vLLM puts in front of a completion too, where the model's tokenizer has one"
        )
        yield Diagnostic(key, "first_token", reason, "sampling: {add_special_tokens: false}", warning=True)


def _in_all(texts: list[str], marks: tuple[str, ...]) -> str | None:
    return next((mark for mark in marks if texts and all(mark in text for text in texts)), None)


def _texts(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text


def _has_parts(messages: list[Any]) -> bool:
    """Whether something else than text is shown."""
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    return any(isinstance(part, dict) and "text" not in part for part in parts)


def _how_shown(dataset: DatasetConfig, part: str) -> str:
    column = "" if dataset.prompt is None else "; or name its column: images: image"
    return f"give the message a part {part}{column}"
