"""Memory that does not suffice: of the GPU, of the host, of the KV cache."""

from campaign.explain.signature import Signature

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
        "kv_cache_too_small",
        r"larger than the (?:available|maximum).*KV cache|No available memory for the cache blocks|"
        r"is larger than the maximum number of tokens that can be stored in (?:the )?KV cache|"
        r"KV cache is needed, which is larger than|Cannot auto-fit max_model_len|"
        r"is larger than the (?:available|max) KV cache|Not enough KV cache space",
        "After the weights there is too little memory for the KV cache of one request of max_model_len tokens.",
        "lower max_model_len; or raise gpu_memory_utilization (on a CPU: env VLLM_CPU_KVCACHE_SPACE, GiB); or use more GPUs",
        "permanent",
    ),
    Signature(
        "gpu_memory_taken",
        r"Free memory on device .* is less than (?:desired GPU memory utilization|the engine's budget)|"
        r"Error in memory profiling\. Initial free memory|This happens when (?:other processes sharing the same|"
        r"the GPU memory was not properly cleaned)|"
        r"Externally held weights on device .* exceed",
        "Another process holds memory of the GPU, or frees it while vLLM measures.",
        "look with nvidia-smi; end what an earlier run left, lower gpu_memory_utilization or wait for the other process",
        "permanent",
    ),
    Signature(
        "sampler_out_of_memory",
        r"CUDA out of memory occurred when warming up (?:sampler|pooler) with (?P<n>\d+) dummy requests",
        "The GPU has too little memory for the sampler of {n} requests at once.",
        "lower vllm: {max-num-seqs: 256}, or gpu_memory_utilization",
        "permanent",
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
        "The weights do not fit into the GPU's memory.",
        "split the model over more GPUs (tensor_parallel, pipeline_parallel), use quantized weights, or a GPU with more memory",
        "permanent",
        inside=r"in (?:create_weights|initialize_model|load_model|load_weights|process_weights_after_loading|"
        r"_get_all_weights)\b",
    ),
    Signature(
        "gpu_out_of_memory",
        r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|HIP out of memory|CUDA error: out of memory|"
        r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory|CUBLAS_STATUS_ALLOC_FAILED|"
        r"Cuda failure 2 'out of memory'|[Ff]ailed to CUDA calloc|ncclUnhandledCudaError.*out of memory",
        "The GPU's memory is used up.",
        "lower gpu_memory_utilization or max_model_len or vllm: {max-num-seqs: 64}, use quantization, or split the model "
        "over "
        "more GPUs (tensor_parallel)",
        "permanent",
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
        "shared_memory_full",
        r"No space left on device.*/dev/shm|/dev/shm.*(?:No space left|too small)|unable to (?:open|allocate|"
        r"write to) (?:shared memory|file </torch_)|"
        r"[Ee]rror while (?:creating|attaching to) shared memory segment|failed to extend /dev/shm|"
        r"killed by signal: Bus error|raise your shared memory limit|"
        r"[Ii]nsufficient shared memory \(shm\)|"
        r"increase the size of (?:/dev/shm|the shared memory)|unable to mmap \d+ bytes from file </torch_",
        "/dev/shm is full or too small.",
        "free it (ls -l /dev/shm shows what dead processes left) or enlarge it (a container: --shm-size or --ipc=host)",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "host_out_of_memory",
        r"Out of memory: Killed process|oom-kill:|DefaultCPUAllocator: (?:can't|not enough)|Cannot allocate memory|"
        r"std::bad_alloc|^MemoryError|oom_reaper|HIP error: out of (?:host )?memory|"
        r"Unable to allocate [\d.]+ [GMT]iB for an array|"
        r"fork: Cannot allocate",
        "The machine's (or the job's) memory is used up.",
        "free memory or ask for more of it (placement.mem_per_node); on a CPU lower VLLM_CPU_KVCACHE_SPACE",
        "permanent",
        depth="worker",
    ),
    Signature(
        "pinned_memory",
        r"(?:cudaHostRegister|cudaHostAlloc|pin_memory|cpu_offload|swap_space).{0,80}(?:failed|error)|Too large swap space",
        "The CPU memory that vLLM wants for swapped or offloaded weights cannot be had.",
        "lower vllm: {swap-space: 0} or {cpu-offload-gb: N}; ask for more host memory (placement.mem_per_node)",
        "permanent",
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
        r"can't start new thread|pthread_create failed|Resource temporarily unavailable|Cannot fork|"
        r"OpenBLAS blas_thread_init: pthread_create failed|"
        r"fork: retry: |libgomp: Thread creation failed",
        "The limit of processes and threads of this user or job is reached.",
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
