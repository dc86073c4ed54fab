"""What to do about failed rows, by error class."""

REMEDIES = {
    "context_length": "raise the model's max_model_len if its context allows, lower max_tokens, or shorten these prompts",
    "bad_request": "read the message: a field in `sampling`, or a prompt, is not to the engine's liking",
    "engine_killed": "look at the prompt, then at the engine's log (campaign explain LOG); a newer engine may survive it",
    "timeout": "raise inference.request_timeout, or lower max_tokens or inference.concurrency",
    "server_error": "read the engine's log in logs/ (campaign explain LOG)",
    "rate_limited": "lower inference.concurrency",
    "connection": "read the engine's log in logs/ (campaign explain LOG)",
    "bad_response": "read the engine's log in logs/ (campaign explain LOG)",
}


def remedy(error_class: str) -> str:
    """What to do about rows of an error class; every one of them can be asked again."""
    return REMEDIES.get(error_class, "read the message")
