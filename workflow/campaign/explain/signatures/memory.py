"""Memory that does not suffice: of the GPU, of the host, of the KV cache."""

from campaign.explain.signature import Signature

_PAGES_REMEDY = (
    "leave block-size, kv-cache-dtype, mamba-cache-mode, kv-transfer-config and speculative-config out; another attention "
    "backend; a newer vLLM"
)

MEMORY = (
    Signature(
        "cpu_memory_taken",
        r"Available memory on node \d+ \((?P<free>[\d.]+)/[\d.]+ GiB\) on startup is less than desired CPU memory utilization "
        r"\([\d.]+, (?P<wanted>[\d.]+) GiB\)",
        "On the memory node of this CPU {free} GiB are free; gpu_memory_utilization, which on a CPU is a share of its "
        "memory, asks for {wanted} GiB.",
        "leave gpu_memory_utilization out (the KV cache is then derived from what is free), lower it (0.5), or free memory",
        "permanent",
    ),
    Signature(
        "cpu_kv_cache_taken",
        r"Available memory on node \d+ .* on kv cache allocation is less than requested memory for kv",
        "The CPU has less memory free than the KV cache asks for.",
        "lower env: {VLLM_CPU_KVCACHE_SPACE: GiB} or gpu_memory_utilization, or free memory",
        "permanent",
    ),
    Signature(
        "context_does_not_fit",
        r"larger than the available KV cache memory \((?P<free>[\d.]+) GiB\)[\s\S]{0,300}?"
        r"estimated maximum model length is (?P<fits>[1-9]\d*)",
        "After the weights {free} GiB are left for the KV cache, too few for one request of max_model_len tokens.",
        "max_model_len: {fits} fits; or raise gpu_memory_utilization (on a CPU: env VLLM_CPU_KVCACHE_SPACE, GiB); or use more "
        "GPUs",
        "permanent",
    ),
    Signature(
        "no_kv_cache_memory",
        r"No available memory for the cache blocks",
        "After the weights and the largest batch nothing of vLLM's share of the memory is left for the KV cache.",
        "raise gpu_memory_utilization (on a CPU: env VLLM_CPU_KVCACHE_SPACE, GiB); lower max_model_len or vllm: "
        "{max-num-batched-tokens: N}; use more GPUs or quantized weights",
        "permanent",
    ),
    Signature(
        "kv_cache_too_small",
        r"larger than the (?:available|maximum).*KV cache|"
        r"is larger than the maximum number of tokens that can be stored in (?:the )?KV cache|"
        r"KV cache is needed, which is larger than|Cannot auto-fit max_model_len|"
        r"is larger than the (?:available|max) KV cache|Not enough KV cache space",
        "After the weights there is too little memory for the KV cache of one request of max_model_len tokens.",
        "lower max_model_len; or raise gpu_memory_utilization (on a CPU: env VLLM_CPU_KVCACHE_SPACE, GiB); or use more GPUs",
        "permanent",
    ),
    Signature(
        "gpu_memory_released",
        r"Error in memory profiling\. Initial free memory|"
        r"other processes sharing the same container release GPU memory",
        "Another process gave memory of this GPU back while vLLM measured how much is free: an earlier server that was "
        "still ending, or someone else on the GPU.",
        "start again when the GPU is free (nvidia-smi shows who is on it); have the GPU alone",
        "again",
    ),
    Signature(
        "gpu_memory_taken",
        r"Free memory on device .* is less than (?:desired GPU memory utilization|the engine's budget)|"
        r"This happens when the GPU memory was not properly cleaned|Externally held weights on device .* exceed",
        "On the GPU less memory is free than gpu_memory_utilization asks for: another process holds it, or the share is "
        "too large.",
        "look with nvidia-smi; end what an earlier run left, lower gpu_memory_utilization or wait for the other process",
        "again",
    ),
    Signature(
        "cumem_allocator",
        r"CUDA Error: (?P<what>(?!out of memory).*) at .*cumem_allocator\.cpp",
        "vLLM's memory allocator for sleep mode gets an error from the driver ({what}); that the memory is full, which "
        "follows, is not the reason.",
        "leave vllm: {enable-sleep-mode} out, or use another vLLM",
        "permanent",
        depth="worker",
    ),
    Signature(
        "expandable_segments",
        r"Expandable segments are not compatible with memory pool",
        "vLLM's sleep mode and torch's expandable_segments exclude each other.",
        "take expandable_segments out of PYTORCH_CUDA_ALLOC_CONF, or leave vllm: {enable-sleep-mode} out",
        "permanent",
        depth="worker",
    ),
    Signature(
        "expandable_segments_refused",
        r"CUDA driver error: (?P<what>(?:invalid argument|operation not (?:supported|permitted))\b[^\n]*)",
        "The driver refuses a call of torch's allocator ({what}): mostly its expandable_segments, which a virtual GPU, a slice "
        "of one or this driver does not serve.",
        "take expandable_segments out of PYTORCH_CUDA_ALLOC_CONF (PYTORCH_ALLOC_CONF); else env: "
        "{VLLM_ALLREDUCE_USE_SYMM_MEM: 0}, whole GPUs (placement.gpu)",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "gpu_allocator_failed",
        r"out of memory\. Tried to allocate [\d.]+ MiB\.[\s\S]{0,120}of which (?P<free>\d{2,}\.\d+ GiB) is free",
        "An allocator of GPU memory failed although {free} are free: not the memory is used up, but its settings or a "
        "limit are in the way.",
        "leave vllm: {enable-sleep-mode} and PYTORCH_CUDA_ALLOC_CONF out; another vLLM",
        "permanent",
    ),
    Signature(
        "sampler_out_of_memory",
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|HIP out of memory",
        "The GPU has too little memory left for the sampler of as many requests at once as vllm: {max-num-seqs} allows.",
        "lower vllm: {max-num-seqs: 256}, or gpu_memory_utilization",
        "permanent",
        inside=r"_dummy_(?:sampler|pooler)_run",
    ),
    Signature(
        "graph_capture_out_of_memory",
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|HIP out of memory",
        "The GPU's memory is used up while CUDA graphs are captured.",
        "lower gpu_memory_utilization or vllm: {max-num-seqs: 64}; vllm: {enforce-eager: true} does without graphs",
        "permanent",
        inside=r"capture_model|_capture_cudagraphs|cuda_graph\.py|cudagraph_trees|graph_capture",
    ),
    Signature(
        "load_out_of_memory",
        r"CUDA out of memory|OutOfMemoryError: (?:CUDA|HIP)|CUDA error: out of memory|HIP out of memory",
        "The weights do not fit into what is free of the GPU's memory.",
        "split the model over more GPUs (tensor_parallel, pipeline_parallel), use quantized weights, or a GPU with more "
        "memory; if nvidia-smi shows another process on it, end that",
        "permanent",
        inside=r"in (?:create_weights|initialize_model|load_model|load_weights|process_weights_after_loading|"
        r"_get_all_weights)\b",
    ),
    Signature(
        "gpu_out_of_memory",
        r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|HIP out of memory|HIP error: out of memory|"
        r"Triton Error \[CUDA\]: out of memory|"
        r"CUDA [Ee]rror: out of memory|"
        r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory|CUBLAS_STATUS_ALLOC_FAILED|"
        r"Cuda failure 2 'out of memory'|[Ff]ailed to CUDA calloc|ncclUnhandledCudaError.*out of memory",
        "The GPU's memory is used up.",
        "lower gpu_memory_utilization or max_model_len or vllm: {max-num-seqs: 64}, use quantization, or split the model "
        "over "
        "more GPUs (tensor_parallel)",
        "permanent",
    ),
    Signature(
        "allocator_assert",
        r"NVML_SUCCESS == r INTERNAL ASSERT FAILED",
        "The GPU's memory is most likely used up; torch could not ask how much is free (a slice of a GPU, a container).",
        "lower gpu_memory_utilization or max_model_len or vllm: {max-num-seqs: 64}; whole GPUs (placement.gpu); do not set "
        "CUDA_VISIBLE_DEVICES",
        "permanent",
        depth="worker",
    ),
    Signature(
        "locked_memory_limit",
        r"ibv_reg_(?:dma)?mr\w* failed with error Cannot allocate memory|ibv_create_(?:cq|"
        r"qp)\w* failed with error Cannot allocate memory|"
        r"[Uu]nable to (?:lock|pin) memory|max ?locked memory|ibv_alloc_pd.*Cannot allocate memory",
        "The limit for locked memory (ulimit -l) is too small for InfiniBand; the machine's memory is not full.",
        "ulimit -l unlimited before the job is submitted, or ask the cluster's support (Slurm: "
        "PropagateResourceLimitsExcept=MEMLOCK); as a test env: {NCCL_IB_DISABLE: 1}",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "locked_memory_warning",
        r"RLIMIT_MEMLOCK is \d+ bytes",
        "The limit for locked memory (ulimit -l) is small, which InfiniBand may not take.",
        "ulimit -l unlimited before the job is submitted, or ask the cluster's support; as a test env: {NCCL_IB_DISABLE: 1}",
        "permanent",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "ray_out_of_memory",
        r"Task was killed due to the node running low on memory|System memory low at node|"
        r"exceeds the memory usage threshold|killed due to memory pressure \(OOM\)|"
        r"\d+ Workers? \(tasks / actors\) killed due to memory pressure",
        "Ray ended a worker, because it takes the node for nearly full: it may look at the whole node instead of the job.",
        "ask for more memory (placement.mem_per_node); or leave it to Slurm: env: {RAY_memory_monitor_refresh_ms: 0}",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "shared_memory_apart",
        r"[Ee]rror while attaching to shared memory segment.*(?:No such file|Permission denied)",
        "The processes of NCCL do not share /dev/shm: they run in different containers or as different users.",
        "one container (or --ipc=host) for all ranks of a node; or env: {NCCL_SHM_DISABLE: 1}",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "shared_memory_full",
        r"No space left on device.*/dev/shm|/dev/shm.*(?:No space left|too small)|"
        r"unable to (?:open|allocate|write to|mmap) .*(?:shared memory|</torch_).*(?:No space left|\(28\))|"
        r"No space left on device: '?/(?:psm_|torch_|sem\.)|"
        r"[Ee]rror while creating shared memory segment|failed to extend /dev/shm|killed by signal: Bus error|"
        r"raise your shared memory limit|"
        r"[Ii]nsufficient shared memory \(shm\)|increase the size of (?:/dev/shm|the shared memory)",
        "/dev/shm is full or too small.",
        "free it (ls -l /dev/shm shows what dead processes left) or enlarge it (a container: --shm-size or --ipc=host)",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "shared_memory_full_semaphore",
        r"OSError: \[Errno 28\] No space left on device",
        "/dev/shm is full or too small.",
        "free it (ls -l /dev/shm shows what dead processes left) or enlarge it (a container: --shm-size, or --ipc=host)",
        "permanent",
        inside=r"multiprocessing/(?:synchronize|shared_memory|heap)\.py",
        depth="worker",
    ),
    Signature(
        "weights_header_size",
        r"^MemoryError",
        "A weight file is no safetensors file: its first bytes, read as the size of its header, ask for more memory than "
        "there is; mostly it is only a git-lfs pointer, or cut off.",
        "copy or download the model again (git lfs pull); ls -l shows files of some hundred bytes",
        "permanent",
        inside=r"parse_safetensors_file_metadata|length_of_metadata",
        depth="worker",
    ),
    Signature(
        "host_out_of_memory",
        r"Out of memory: Killed process|oom-kill:|DefaultCPUAllocator: (?:can't|not enough)|"
        r"^(?!.*(?:libfabric:|NET/OFI)).*Cannot allocate memory|"
        r"std::bad_alloc|^MemoryError|oom_reaper|HIP error: out of host memory|"
        r"Unable to allocate [\d.]+ [GMT]iB for an array|"
        r"fork: Cannot allocate",
        "The memory of the machine or the job is used up (seldom: a limit of the process, ulimit -v).",
        "free memory or ask for more of it (placement.mem_per_node); on a CPU lower VLLM_CPU_KVCACHE_SPACE",
        "permanent",
        depth="worker",
    ),
    Signature(
        "swap_space_used",
        r"lack of CPU swap space",
        "The room for requests that an older vLLM (V0) sets aside in the host's memory is used up.",
        "fewer at once (vllm: {max-num-seqs: N}), or a larger vllm: {swap-space: GiB}; a newer vLLM needs none",
        "permanent",
    ),
    Signature(
        "hybrid_cache",
        r"Hybrid KV cache manager is disabled but|LMCache cannot serve this model's KV cache groups",
        "The model has layers of several kinds (Mamba, linear attention), whose KV cache a connector such as "
        "LMCache, or a flag, does not serve.",
        "leave kv-transfer-config and disable-hybrid-kv-cache-manager out; with LMCache vllm: {mamba-cache-mode: align}",
        "permanent",
    ),
    Signature(
        "kv_connector",
        r"Unsupported connector type",
        "This vLLM does not know the connector that kv-transfer-config names.",
        "leave kv-transfer-config out; or the connector's name in this version (LMCacheConnectorV1, NixlConnector)",
        "permanent",
    ),
    Signature(
        "kv_connector_engine",
        r"^AssertionError\s*$",
        "The connector of kv-transfer-config was made for the other engine of vLLM (V0 or V1).",
        "leave kv-transfer-config out; or the connector's name in this version (LMCacheConnectorV1, NixlConnector)",
        "permanent",
        inside=r"issubclass\(connector_cls, KVConnectorBase",
    ),
    Signature(
        "pinned_memory",
        r"(?:cudaHostRegister|cudaHostAlloc|pin_memory|cpu_offload|swap_space).{0,80}(?:failed|error)|Too large swap space",
        "The CPU memory that vLLM wants for swapped or offloaded weights cannot be had.",
        "lower vllm: {swap-space: 0} or {cpu-offload-gb: N}; ask for more host memory (placement.mem_per_node)",
        "permanent",
    ),
    Signature(
        "multimodal_batch",
        r"max_tokens_per_mm_item \((?P<tokens>\d+)\) is larger than max_num_batched_tokens \((?P<batch>\d+)\)",
        "One image, video or sound can be {tokens} tokens long, and must fit into a batch, which takes {batch}.",
        "vllm: {max-num-batched-tokens: {tokens}} or more; or smaller ones (limit-mm-per-prompt, mm-processor-kwargs)",
        "permanent",
    ),
    Signature(
        "kv_cache_pages",
        r"^AssertionError\s*$",
        "The layers of this model (or of its draft model) need KV cache pages of sizes that vLLM cannot bring to one.",
        _PAGES_REMEDY,
        "permanent",
        inside=r"in _?(?:unify_\w*kv_cache_spec\w*|get_kv_cache_groups\w*)\b",
        depth="worker",
    ),
    Signature(
        "kv_cache_block_size",
        r"page size of the layer is not divisible|real block_size must be divisible by",
        "A block of the KV cache has a size that does not fit all of the model's layers, or the connector that is used.",
        _PAGES_REMEDY,
        "permanent",
        depth="worker",
    ),
    Signature(
        "context_memory",
        r"max_num_seqs \(\d+\) exceeds available Mamba cache blocks|"
        r"max_num_batched_tokens \(\d+\) is smaller than max_model_len|"
        r"max_num_batched_tokens .* must be (?:greater|larger)",
        "The limits of a batch do not fit the context or the cache.",
        "lower vllm: {max-num-seqs: N}, or set vllm: {max-num-batched-tokens: N} to at least max_model_len",
        "permanent",
    ),
    Signature(
        "tokens_threads",
        r"can't start new thread|pthread_create failed|(?:fork|thread|clone|what\(\):|"
        r"system_error).{0,160}Resource temporarily unavailable|Cannot fork|"
        r"OpenBLAS blas_thread_init: pthread_create failed|"
        r"fork: retry: |libgomp: Thread creation failed",
        "The limit of processes and threads of this user, job or container is reached.",
        "ask for more cores (placement.cpus_per_gpu); ulimit -u shows the limit; env: {OMP_NUM_THREADS: 1} needs fewer",
        "permanent",
        depth="worker",
    ),
    Signature(
        "open_files",
        r"^(?:OSError: )?\[Errno 24\] Too many open files|OSError: \[Errno 24\]|Too many open files",
        "The limit of open files is reached.",
        "raise it before the start (ulimit -n 65536), or lower inference.concurrency",
        "permanent",
    ),
)
