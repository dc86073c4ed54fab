"""Errors of the device that say only that a kernel failed: honest about what is not known."""

from campaign.explain.signature import Signature

DEVICE = (
    Signature(
        "illegal_memory_access",
        r"an illegal memory access was encountered|cudaErrorIllegalAddress|CUDA_ERROR_ILLEGAL_ADDRESS|Cuda failure 700|"
        r"misaligned address|"
        r"Warp Illegal (?:Address|Instruction)|an illegal instruction was encountered",
        "A GPU kernel did what it may not (touch memory that is not its own, an illegal instruction): a fault of a kernel "
        "with this model and these settings, seldom of the hardware.",
        "a newer vLLM; as tests vllm: {enforce-eager: true}, another attention backend, kv-cache-dtype: auto, "
        "disable-custom-all-reduce: true; CUDA_LAUNCH_BLOCKING=1 names the kernel",
        "again",
        role="symptom",
    ),
    Signature(
        "context_past_positions",
        r"device-side assert triggered|[Aa]ssertion `[^`]*index out of bounds",
        "A request went past the model's table of positions: max_model_len is longer than the model's own context, which "
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN let through.",
        "max_model_len at most the model's own, or the rope scaling its page names (hf-overrides); take "
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN out of env",
        "permanent",
        beside=r"VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with",
    ),
    Signature(
        "device_assert",
        r"device-side assert triggered|Assertion `.*` failed|probability tensor contains either|cudaErrorAssert|"
        r"index out of bounds: 0 <= ",
        "A check inside a GPU kernel failed: most often a token or position beyond the model's table (context, vocabulary) "
        "or NaN.",
        "max_model_len within the model's own context; the tokenizer of this model; another dtype if it is NaN; "
        "CUDA_LAUNCH_BLOCKING=1 names the kernel",
        "permanent",
        role="symptom",
    ),
    Signature(
        "launch_failure",
        r"unspecified launch (?:failure|timeout)|cudaErrorLaunchFailure|Cuda failure 719|CUDA_ERROR_LAUNCH_FAILED|"
        r"the launch timed out",
        "A GPU kernel failed, and the driver does not say why: a fault of the kernel or of the hardware.",
        "dmesg (the kernel's log) of this node may have an Xid line: its number tells which; start again, leave the node "
        "out if it "
        "stays there, else a newer vLLM",
        "again",
        role="symptom",
    ),
    Signature(
        "cudnn_version",
        r"CUDNN_STATUS_(?:SUBLIBRARY_)?VERSION_MISMATCH|cuDNN version incompatibility",
        "Parts of cuDNN of two versions were loaded: a module's or the system's comes before the engine's own.",
        "take cuDNN's and CUDA's folders out of LD_LIBRARY_PATH (module unload cudnn cuda); make engine",
        "permanent",
    ),
    Signature(
        "cublas",
        r"CUBLAS_STATUS_(?P<what>\w+)|hipblas.*(?:STATUS|status)|CUDNN_STATUS_(?P<cudnn>\w+)|CUSPARSE_STATUS_\w+|"
        r"CUSOLVER_STATUS_\w+",
        "A matrix product of CUDA's library failed ({what}{cudnn}): too little memory beside vLLM's share, a library that "
        "does not fit, or an earlier fault.",
        "lower gpu_memory_utilization (0.85); take other CUDA libraries out of LD_LIBRARY_PATH; make engine",
        "again",
        role="symptom",
    ),
    Signature(
        "invalid_argument",
        r"custom_all_reduce\.cuh?:\d+ '(?P<what>[^']+)'|custom_all_reduce.*(?:invalid argument|invalid resource handle)",
        "vLLM's own all-reduce between the GPUs does not work here ({what}): GPUs without direct access to each other, or "
        "another "
        "memory allocator (expandable_segments).",
        "vllm: {disable-custom-all-reduce: true}; take PYTORCH_CUDA_ALLOC_CONF=expandable_segments out of the environment",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cuda_graph",
        r"operation not permitted when stream is capturing|operation failed due to a previous error during capture|"
        r"Attempting to capture an empty graph|CUDA graph capturing detected at an inappropriate time|"
        r"cudaErrorStreamCapture\w+|capturing CUDA graph.{0,40}(?:fail|error)",
        "A CUDA graph could not be captured.",
        "vllm: {enforce-eager: true} does without graphs (slower); the error before it may be the cause",
        "permanent",
        role="symptom",
    ),
    Signature(
        "nan",
        r"NaNs detected in logits|contains? (?:NaN|nan)|nan or inf",
        "The model computes numbers that are none (NaN).",
        "dtype: bfloat16 for a model that was trained so; float32 as a test; other quantized weights",
        "permanent",
        role="symptom",
    ),
    Signature(
        "hip_error",
        r"HIP error: (?P<what>[^\n]+)|HSA_STATUS_ERROR_(?P<hsa>\w+)|hipError(?P<name>[A-Z]\w+)|"
        r"HIP failure:? '(?P<failure>[^'\n]+)'",
        "The AMD GPU or its driver reports an error: {what}{hsa}{name}{failure}.",
        "AMD_SERIALIZE_KERNEL=3 names the kernel; a ROCm that fits the driver; start again, leave the node out if it stays "
        "there",
        "again",
        role="symptom",
    ),
    Signature(
        "cuda_os_call",
        r"OS call failed or operation not supported on this OS|cudaErrorOperatingSystem|CUDA_ERROR_OPERATING_SYSTEM",
        "The GPU's driver asked the node's system for something and did not get it: mostly to lock memory of the host for the "
        "GPU, or to share memory with another process.",
        "ulimit -l unlimited, more memory (placement.mem_per_node), less of it locked (swap-space, cpu-offload-gb, "
        "kv-offloading-size), a container with the host's IPC; run on another node if only this one does it",
        "again",
        role="symptom",
    ),
    Signature(
        "cuda_error",
        r"CUDA error: (?P<what>(?!out of memory)[^\n]+)|CUDA driver error: (?P<driver>[^\n]+)",
        "The GPU or its driver reports an error: {what}{driver}.",
        "CUDA_LAUNCH_BLOCKING=1 names the kernel; start again, leave the node out if it stays there, else a newer vLLM",
        "again",
        role="symptom",
    ),
)
