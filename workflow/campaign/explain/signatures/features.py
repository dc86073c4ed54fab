"""Features that do not fit: attention kernels, speculative decoding, LoRA, parsers, experts, data parallelism, grammars."""

from campaign.explain.signature import Signature

FEATURES = (
    Signature(
        "attention_sinks",
        r"Sinks are only supported in FlashAttention|does not support attention sinks",
        "The attention kernel that this vLLM takes on this GPU does not serve models with attention sinks (gpt-oss).",
        "a newer vLLM, or vllm: {attention-backend: TRITON_ATTN}; or a Hopper GPU (H100)",
        "permanent",
        depth="worker",
    ),
    Signature(
        "attention_backend",
        r"(?:No valid|Invalid|Unsupported|unknown).{0,20}attention backend|"
        r"Selected backend .* is not valid for this configuration|"
        r"Attention backend .* (?:is not supported|has been removed)|VLLM_ATTENTION_BACKEND.{0,60}(?:invalid|not|"
        r"unknown|must)|[Hh]ead size .* is not supported|"
        r"FlashAttention only supports Ampere GPUs|FlashAttention.*(?:not supported|requires)|"
        r"CUDAGraphMode\.\w+ is not supported with|FlashMLA.*(?:only|not) support|does not support block size|"
        r"No common block size|flash attention build does not support|TllmGenFmhaRunner|Expect \(\d+ <= headDim",
        "The chosen attention kernel cannot serve this model on this GPU.",
        "leave attention-backend and VLLM_ATTENTION_BACKEND to vLLM, or choose another one; leave kv-cache-dtype: auto",
        "permanent",
    ),
    Signature(
        "kv_cache_dtype",
        r"kv.cache.dtype.{0,80}(?:not supported|unsupported|unrecognized|invalid)|"
        r"fp8.{0,20}kv.cache.{0,60}(?:not supported|only|requires)",
        "The dtype that was asked for the KV cache is not taken by this GPU or by the model's attention kernel.",
        "vllm: {kv-cache-dtype: auto}, another attention backend, or a newer GPU (fp8 wants Ada, Hopper or MI300)",
        "permanent",
    ),
    Signature(
        "speculative",
        r"[Ss]peculative.{0,80}(?:not supported|not compatible|unsupported|must|required|mismatch|invalid)|"
        r"draft model.{0,60}(?:must|not|mismatch)|draft_tensor_parallel_size\b.{0,20}cannot be|"
        r"num_speculative_tokens.{0,60}(?:must|was|not)|Unknown speculative|'\w+Proposer' object has no attribute",
        "The settings for speculative decoding do not fit the model.",
        "leave speculative-config out, or correct it as the message says",
        "permanent",
    ),
    Signature(
        "draft_shape",
        r"^AssertionError\s*$",
        "The draft model of speculative decoding has another width than the model.",
        "another draft model, or leave speculative-config out",
        "permanent",
        inside=r"hidden_states\.shape\[-1\] == input_embeds\.shape",
    ),
    Signature(
        "lora",
        r"LoRA rank \d+ is greater than max_lora_rank|LoRA is not (?:enabled|supported)|does not support LoRA|"
        r"(?:is not in the model's supported LoRA|unsupported LoRA weight)|adapter_config\.json|"
        r"No suitable kernel\. h_in=|Loading lora .* failed|While loading .*, expected target modules in|"
        r"No adapter found for ",
        "A LoRA adapter is not found, or does not fit the model or the server's limits.",
        "vllm: {enable-lora: true, max-lora-rank: N}; the adapter must belong to this model",
        "permanent",
    ),
    Signature(
        "lora_kernel",
        r"^(?:AssertionError|RuntimeError|ValueError)\b.*",
        "A LoRA kernel of this vLLM does not fit this batch.",
        "a newer vLLM, or weights into which the adapter is merged",
        "permanent",
        inside=r"lora_shrink|lora_expand",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "not_multimodal",
        r"`?(?P<flag>[\w-]+)`? is only supported for multimodal models",
        "{flag} was set for a model that reads text alone, as far as this vLLM knows.",
        "leave {flag} out below vllm; if the model does read images or sounds, a newer vLLM, or its folder as its makers "
        "published it (preprocessor_config.json, architectures of config.json)",
        "permanent",
    ),
    Signature(
        "multimodal_start",
        r"^(?P<words>(?:Attribute|Key|Type|Value|Index|Assertion)Error\b.*)",
        "vLLM fails when it tries the largest image or sound that a request may hold, before any was asked: {words}",
        'for text alone vllm: {limit-mm-per-prompt: \'{"image": 0, "video": 0}\'} (what the model reads); else the vLLM and '
        "transformers versions that the model's page names",
        "permanent",
        inside=r"in profile_run\b[\s\S]*in (?:embed_multimodal|get_multimodal_embeddings|_get_mm_dummy_batch|"
        r"get_decoder_dummy_data|get_dummy_\w+)\b",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "parser_tokens",
        r"[Pp]arser.{0,40} could not locate .{0,60}in the tokenizer",
        "The tool-call or reasoning parser that was chosen looks for tokens that this model's tokenizer does not have: it is "
        "made for another model.",
        "the tool-call-parser and reasoning-parser that the model's page names, or leave them out below vllm",
        "permanent",
    ),
    Signature(
        "parser_unknown",
        r"invalid (?:tool call|reasoning) parser|(?:tool|reasoning) parser.{0,40}(?:not found|has not been registered|"
        r"is not registered)|"
        r"--tool-call-parser|requires --enable-auto-tool-choice",
        "vLLM knows no such tool-call or reasoning parser, or the flag that goes with it is missing.",
        "correct vllm: {tool-call-parser, reasoning-parser}; --help=all lists the known ones",
        "permanent",
    ),
    Signature(
        "expert_parallel",
        r"Number of experts in the model must be greater than 0|[Ee]xpert parallel.{0,60}(?:not (?:supported|"
        r"initialized)|requires|must)|"
        r"EPLB.{0,60}(?:requires|only|must)|all2all.{0,60}(?:not|requires|unavailable)|DeepEP.{0,40}(?:not|requires)",
        "Expert parallelism does not fit this model or this environment.",
        "leave enable-expert-parallel, enable-eplb and all2all-backend out",
        "permanent",
    ),
    Signature(
        "no_experts",
        r"^AssertionError\s*$",
        "The model has no experts that could be spread over GPUs, or vLLM's code for it does not know how.",
        "leave enable-expert-parallel and enable-eplb out; a newer vLLM",
        "permanent",
        inside=r"assert is_mixture_of_experts|in get_ep_group\b",
        depth="worker",
    ),
    Signature(
        "data_parallel",
        r"Invalid data.parallel (?:launch options|configuration)|Offline data parallel mode is not supported|"
        r"data_parallel_\w+ .* must|"
        r"Non-MoE models do not support external data parallel|Engine core .* data.parallel.{0,40}(?:mismatch|must)",
        "The settings for data parallelism do not fit each other.",
        "data_parallel: 1 and placement.allocations: N instead: each allocation is a server of its own",
        "permanent",
    ),
    Signature(
        "data_parallel_coordinator",
        r"DP Coordinator process failed to report",
        "The process that coordinates the replicas was not up in time: a slow file system, or too few free cores at the start.",
        "start again; the environment on a local disk; a newer vLLM waits longer",
        "again",
    ),
    Signature(
        "executor_backend",
        r"Unrecognized distributed executor backend|Unknown distributed executor backend|"
        r"Using Ray backend requires installation of ray|is not installed but required since VLLM|"
        r"Ray Compiled Graph is not installed|Failed to import Ray",
        "The way to start workers that was asked for is not there.",
        "install ray[cgraph] in the engine's environment (make engine), and leave distributed-executor-backend to the campaign",
        "permanent",
    ),
    Signature(
        "grammar_ends_engine",
        r"json_schema_converter\.cc|grammar_\w+\.cc|Grammar error|[Cc]heck failed|EBNF",
        "The engine died of one request: its JSON schema or grammar cannot be compiled, and this vLLM does not refuse the "
        "request alone.",
        "correct the dataset's response_format or structured_outputs; a newer vLLM; or another backend: "
        "vllm: {structured-outputs-config.backend: guidance}",
        "permanent",
        inside=r"in (?:_create|compile)_grammar\b",
    ),
    Signature(
        "grammar",
        r"^(?!.*(?:No module named|ImportError|cannot import|satisfies the requirement|matching distribution)).*xgrammar|"
        r"grammar_\w+\.cc|[Ff]ailed to (?:compile|"
        r"advance|convert).{0,40}(?:grammar|schema|regex)|[Ll]lguidance|"
        r"outlines_core|"
        r"Grammar error|json schema converter|structured output.{0,60}(?:fail|error|not supported|invalid)",
        "A grammar or JSON schema for structured output cannot be used.",
        "correct the dataset's response_format or structured_outputs; another backend: "
        "vllm: {structured-outputs-config.backend: guidance}",
        "again",
    ),
    Signature(
        "prefix_cache_or_feature",
        r"(?:is|are) not (?:yet )?supported (?:with|by|on|in|for) (?:V1|the V1|this model|hybrid|encoder|CPU|ROCm|XPU|TPU|"
        r"multimodal|LoRA)|"
        r"NotImplementedError: .*(?:V1|VLLM_USE_V1)|VLLM_USE_V1=\d is not supported|"
        r"[Aa]sync scheduling is not (?:yet )?supported|is not supported on current platform",
        "A feature that was asked for is not there for this model, this engine or this device.",
        "leave the flag out of models.<name>.vllm that the message names, or use another vLLM",
        "permanent",
    ),
)
