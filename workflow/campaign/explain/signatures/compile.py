"""Kernels that are compiled at start: the caches they lie in, Triton, FlashInfer, Inductor."""

from campaign.explain.signature import Signature

COMPILE = (
    Signature(
        "compile_cache_shared",
        r"(?:FileNotFoundError|FileExistsError|EOFError|UnpicklingError|zlib\.error|JSONDecodeError)[^\n]*"
        r"(?:\.triton|torchinductor|inductor_cache|cached_ops)[^\n]*|(?:\.triton|torchinductor|inductor)[^\n]*"
        r"(?:Stale file handle|Device or resource busy|Directory not empty|file too short|invalid ELF header)|"
        r"(?:Stale file handle|Device or resource busy|Directory not empty)[^\n]*(?:\.triton|torchinductor|inductor)",
        "Processes or nodes that share a folder of compiled kernels took files from each other, or it was left half written.",
        "put it on a local disk: env: {TRITON_CACHE_DIR: /tmp/NAME/triton, TORCHINDUCTOR_CACHE_DIR: /tmp/NAME/inductor}; "
        "remove what is there now, and start again",
        "again",
        depth="worker",
    ),
    Signature(
        "compile_cache_broken",
        r"leading to a corrupted compilation artifact|failed to get the hash of the compiled graph|"
        r"vLLM failed to compile the model|"
        r"torch_compile_cache.*(?:No such file|FileNotFound|EOFError|corrupt)|"
        r"(?:FileNotFoundError|EOFError|UnpicklingError|zlib\.error).*(?:torchinductor|torch_compile_cache|inductor_cache|"
        r"\.triton)|"
        r"Error loading .*compiled artifact",
        "vLLM's compile cache cannot be used: most often an earlier start left it half written or broken.",
        "remove the folder that the line names (or ~/.cache/vllm/torch_compile_cache) and start again; if it stays, the "
        "lines "
        "above tell what does not compile",
        "permanent",
        depth="worker",
    ),
    Signature(
        "compile_cache_raced",
        r"FileNotFoundError[^\n]*(?:cache|tmp|triton|inductor|/dev/shm)|OSError: \[Errno 39\] Directory not empty|"
        r"FileExistsError|JSONDecodeError|EOFError|"
        r"UnpicklingError",
        "A folder of compiled kernels holds a half-written file, or lost one: two processes wrote it at once, or an "
        "earlier start was ended while it wrote.",
        "start again; give each process its own: env: {TRITON_CACHE_DIR: folder, TORCHINDUCTOR_CACHE_DIR: folder} on a "
        "local disk; if it stays, remove the folder",
        "again",
        inside=r"triton/runtime/(?:cache|build|autotuner|jit)\.py|_inductor/(?:codecache|runtime|remote_cache)|"
        r"compilation/(?:backends|compiler_interface|caching)",
        depth="worker",
    ),
    Signature(
        "compile_cache_foreign",
        r"^(?P<words>(?:AssertionError|TypeError|KeyError|IndexError|AttributeError)\b.*)",
        "A compiled graph ends with {words}: so does an entry of vLLM's compile cache that another version or other "
        "settings made.",
        "remove ~/.cache/vllm/torch_compile_cache and start again; if it stays, vllm: {enforce-eager: true} does without "
        "compiled graphs",
        "permanent",
        inside=r"compilation/caching\.py[\s\S]*_inductor/",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "static_tls",
        r"(?P<library>[\w./+-]*): cannot allocate memory in static TLS block",
        "The library {library} is loaded too late: the room for its thread-local data is taken by others.",
        "load it first: env: {LD_PRELOAD: {library}}",
        "permanent",
    ),
    Signature(
        "shared_object_noexec",
        r"failed to map segment from shared object(?!: Cannot allocate)|cannot apply additional memory protection",
        "A library may not be loaded as program code: mostly because it lies on a file system that lets no programs run "
        "(noexec).",
        "put the environment and the caches on one that does: env: {TMPDIR: folder, TRITON_CACHE_DIR: folder, "
        "TORCHINDUCTOR_CACHE_DIR: folder}",
        "permanent",
    ),
    Signature(
        "kernel_shared_memory",
        r"OutOfResources|out of resource: (?:shared memory|threads|tensor memory|registers)|"
        r"too many resources requested for launch|cudaErrorLaunchOutOfResources",
        "A kernel needs more of the GPU's on-chip memory or registers than this GPU has: it was made for a larger one.",
        "a newer vLLM; float16 or a smaller block for this GPU (vllm: {block-size: 16}), another attention backend; for a "
        "mixture of experts other weights or no expert parallelism",
        "permanent",
        depth="worker",
    ),
    Signature(
        "fp8_unsupported",
        r"type fp8e4nv not supported in this architecture|\bfp8e4nv\b",
        "This GPU has no fp8 of the kind that is asked for (E4M3 wants compute capability 8.9): the weights, or the KV "
        "cache, are fp8.",
        "weights that are not fp8 (bf16, awq, gptq), vllm: {kv-cache-dtype: auto}, or a newer GPU (Ada, Hopper, MI300)",
        "permanent",
        depth="worker",
    ),
    Signature(
        "triton_gpu_too_old",
        r"Found .* which is too old to be supported by the triton GPU compiler|GPUTooOldForTriton|"
        r"Triton.{0,40}only supports? devices",
        "Triton does not compile for this GPU: it is too old (below compute capability 7.0).",
        "vllm: {enforce-eager: true} and another attention backend; or another GPU",
        "permanent",
        depth="worker",
    ),
    Signature(
        "triton_missing",
        r"Cannot find backend for cpu|0 active drivers \(\[\]\)|TritonMissing|Cannot find a working triton installation",
        "Triton is missing, or it finds no GPU it can compile for (a build for another device, or no GPU in this process).",
        "the triton version that vLLM pins, in the engine's environment: make engine; ask for GPUs "
        "(placement.gpus_per_node); vllm: {enforce-eager: true} does without",
        "permanent",
        depth="worker",
    ),
    Signature(
        "triton_unsupported",
        r"PassManager::run failed|(?P<words>triton\.compiler\.errors\.CompilationError.*)|Unsupported conversion from|"
        r"LLVM ERROR: |stack frame size \(\d+\) exceeds limit|/mlir/IR/|Triton.{0,40}requires|mlir::",
        "Triton cannot compile a kernel: it wants what this GPU lacks, or this Triton and this vLLM do not fit; the "
        "lines of the message say which. {words}",
        "another attention backend or weights quantized otherwise; vllm: {enforce-eager: true}; the triton version that "
        "vLLM pins; a newer vLLM; another GPU",
        "permanent",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "flashinfer_version",
        r"flashinfer.{0,40}version.{0,40}(?:does not match|mismatch)|FLASHINFER_DISABLE_VERSION_CHECK|"
        r"flashinfer.{0,60}(?:is not installed|has no attribute|is not available|requires flashinfer)|"
        r"cannot import name .* from 'flashinfer|undefined symbol.*flashinfer",
        "FlashInfer is missing, or its parts (python, cubin, jit-cache) are of different versions, or not those vLLM wants.",
        "install the same version of flashinfer-python, flashinfer-cubin and flashinfer-jit-cache in the engine's "
        "environment, "
        "the one vLLM pins; or env: {VLLM_USE_FLASHINFER_SAMPLER: 0}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "flashinfer_download",
        r"^AssertionError: [\w./-]+\.(?:h|cuh|cubin) not found|[Ff]ailed to (?:get|load|download|fetch) (?:cubin|checksum)",
        "FlashInfer fetches kernels and headers from the internet when they are used first, and this node does not get them.",
        "install flashinfer-cubin of flashinfer-python's version in the engine's environment; or fetch them where there "
        "is internet, and env: {FLASHINFER_CUBIN_DIR: folder}",
        "permanent",
        inside=r"flashinfer/",
        depth="worker",
    ),
    Signature(
        "flashinfer_build",
        r"Ninja build failed|ninja: build stopped: subcommand failed|Error building extension|flashinfer.{0,80}(?:[Bb]uild|"
        r"compil).{0,30}fail",
        "FlashInfer (or another package) could not compile a kernel at start; the compiler's own error stands in the lines "
        "of its output.",
        "read the first 'error:' of that output; a CUDA toolkit that fits the GPU, or flashinfer-jit-cache (compiled "
        "already), or do "
        "without: env: {VLLM_USE_FLASHINFER_SAMPLER: 0} and vllm: {attention-backend: FLASH_ATTN}; remove "
        "~/.cache/flashinfer",
        "permanent",
        role="symptom",
    ),
    Signature(
        "compiler_killed",
        r"\b(?:cc1plus|nvcc|cicc|ptxas|ld)\b.{0,40}(?:Killed|signal 9\b|died with <Signals\.SIGKILL)|"
        r"fatal error: Killed signal terminated program|"
        r"c\+\+: internal compiler error: Killed",
        "A compiler was killed, because the memory did not suffice for so many at once.",
        "env: {MAX_JOBS: 4}; or ask for more memory (placement.mem_per_node)",
        "permanent",
        depth="worker",
    ),
    Signature(
        "compile_worker_crashed",
        r"A compilation subprocess exited unexpectedly|BrokenProcessPool|Attempting to use a closed pool",
        "A process that compiles kernels for torch.compile crashed or was killed, most often for want of memory.",
        "start again: what was compiled is kept; env: {TORCHINDUCTOR_COMPILE_THREADS: 1} compiles in one process, one after "
        "the other; more memory (placement.mem_per_node); vllm: {enforce-eager: true} does without",
        "again",
        inside=r"torch/_inductor|^$",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "graph_sizes",
        r"cudagraph capture sizes <= max_num_seq|^AssertionError\b.*(?:CUDA ?[Gg]raph|cudagraph)",
        "CUDA graphs are captured for more requests or tokens at once than an attention kernel of this model allows.",
        "vllm: {max-cudagraph-capture-size: N}, N at most max-num-seqs; or a larger max-num-seqs; enforce-eager: true does "
        "without graphs",
        "permanent",
        inside=r"build_for_cudagraph_capture|_capture_cudagraphs|capture_model|^$",
        depth="worker",
    ),
    Signature(
        "inductor_failed",
        r"BackendCompilerFailed|InductorError|torch\._dynamo\.exc\.\w+|LoweringException|torch\._inductor\.exc\.\w+|"
        r"CalledProcessError: Command '\['?[^ ]*(?:gcc|g\+\+|cc|clang|nvcc|ptxas)|CppCompileError|"
        r"SubprocException|"
        r"InternalTorchDynamoError|auto_functionalized was not removed|expected size \d+==\d+, stride \d+==\d+ at dim|"
        r"torch\.fx\.experimental\.symbolic_shapes",
        "torch.compile could not compile the model; what the compiler said stands beside this line.",
        "vllm: {enforce-eager: true} does without compiling (slower); read the compiler's own error in the log; remove the "
        "compile "
        "cache (~/.cache/vllm/torch_compile_cache)",
        "permanent",
        role="symptom",
    ),
)
