"""What the fields of a request hold: a text of a CSV file is a number for `max_tokens`, and stays a text for `user`.

Names of JSON types, by vLLM 0.32 (the request classes of its endpoints, nulls left out); a test of the real engine holds them
against its classes.
"""

_KINDS = {
    "array": "allowed_token_ids bad_words logprob_token_ids stop_token_ids tools",
    "array object string": "data_1 data_2 documents items queries text_1 text_2",
    "array string": "input prompt_embeds stop",
    "boolean": (
        "add_generation_prompt add_special_tokens continue_final_message echo ignore_eos include_reasoning "
        "include_stop_str_in_output parallel_tool_calls return_mm_kwargs return_prompt_text return_token_ids "
        "return_token_offsets return_tokens_as_token_ids skip_special_tokens spaces_between_special_tokens use_activation "
        "use_beam_search watermarking"
    ),
    "boolean integer": "logprobs",
    "integer": (
        "dimensions max_completion_tokens max_tokens max_tokens_per_doc max_tokens_per_query min_tokens n priority "
        "prompt_logprobs routed_experts_prompt_start seed stream_interval thinking_token_budget top_k top_logprobs top_n "
        "truncate_prompt_tokens"
    ),
    "number": "frequency_penalty length_penalty min_p presence_penalty repetition_penalty temperature top_p",
    "object": (
        "chat_template_kwargs ec_transfer_params kv_transfer_params logit_bias media_io_kwargs mm_processor_kwargs "
        "repetition_detection response_format structured_outputs vllm_xargs"
    ),
    "object string": "query tool_choice",
    "string": (
        "cache_salt chat_template embed_dtype encoding_format endianness instruction mm_payload padding reasoning_effort "
        "request_id session_id suffix truncation_side user"
    ),
}

KINDS = {field: frozenset(kinds.split()) for kinds, fields in _KINDS.items() for field in fields.split()}
