"""Compilers at start: Triton, Inductor, FlashInfer, CUDA's and the host's."""

from campaign.explain.signature import Signature

COMPILE = (
    Signature(
        "no_nvcc",
        r"[Cc]ould not find nvcc|nvcc: (?:command )?not found|/nvcc: (?:not found|No such file)|"
        r"CUDA_HOME environment variable is not set|"
        r"CUDA_HOME does not exist|No such file or directory: '[^']*nvcc'|nvcc.{0,20}No such file|cuda_home=.*doesn't exist|"
        r"Could not find CUDA (?:toolkit|installation)|[Pp]lease set .*CUDA_HOME|cuda_runtime(?:_api)?\.h: No such file",
        "A kernel is compiled at start (FlashInfer's sampler or attention, DeepGEMM), and the CUDA toolkit (nvcc) is "
        "not found: "
        "it is not there, or CUDA_HOME names a wrong folder.",
        "module load cuda before the start, or env: {CUDA_HOME: folder that holds bin/nvcc}; or do without: "
        "env: {VLLM_USE_FLASHINFER_SAMPLER: 0}, or install flashinfer-jit-cache in the engine's environment",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cuda_toolkit_too_new",
        r"nvcc fatal\s*: Unsupported gpu architecture '(?:compute|sm)_(?P<arch>[2-6]\d|70|72)'",
        "The CUDA toolkit here does not compile for this GPU's generation ({arch}): newer toolkits have dropped it.",
        "a toolkit that still serves it (CUDA 12 for Volta and Pascal: module load cuda/12...; CUDA_HOME), or newer "
        "GPUs; or do without: env: {VLLM_USE_FLASHINFER_SAMPLER: 0} and another attention backend",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cuda_toolkit_too_old",
        r"nvcc fatal\s*: (?:Unsupported gpu architecture '(?P<arch>[^']+)'|Unknown option)|"
        r"Value '(?P<value>sm_\w+)' is not defined for option 'gpu-name'|"
        r"ptxas.{0,40}Unsupported \.version|No supported CUDA architectures found|"
        r"requires CUDA (?:toolkit )?(?:version )?(?:>=|at least) ?\d+|"
        r"SM ?\d+\w* requires CUDA",
        "The compiler for kernels (the CUDA toolkit's nvcc, or the ptxas that Triton brings) is older than the GPU and cannot "
        "compile for it.",
        "a newer one (module load cuda/...; CUDA_HOME); for Triton env: {TRITON_PTXAS_PATH: .../bin/ptxas}; or do without: "
        "env: {VLLM_USE_FLASHINFER_SAMPLER: 0} and another attention backend",
        "permanent",
        depth="worker",
    ),
    Signature(
        "nvcc_fatal",
        r"nvcc fatal\s*: (?P<words>[^\n]+)",
        "The CUDA toolkit's nvcc cannot compile a kernel: {words}.",
        "a toolkit of the version that the kernels want (module load cuda/...; CUDA_HOME); or do without: env: "
        "{VLLM_USE_DEEP_GEMM: 0, VLLM_USE_FLASHINFER_SAMPLER: 0}",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "triton_image",
        r"Triton Error \[CUDA\]: device kernel image is invalid",
        "The driver does not take a kernel that Triton compiled: Triton's ptxas is newer than the driver.",
        "env: {TRITON_PTXAS_PATH: .../bin/ptxas} of the CUDA that nvidia-smi shows; a vLLM built for it, or a newer driver",
        "permanent",
        depth="worker",
    ),
    Signature(
        "flashinfer_gpu",
        r"FlashInfer requires GPUs with sm\d+ or higher",
        "FlashInfer finds no GPU it can compile for: either the GPU is older than that, or the CUDA toolkit is older "
        "than a new GPU, which FlashInfer then leaves out (sm_120 wants CUDA 12.9).",
        "for a new GPU a newer toolkit (module load cuda/...; CUDA_HOME); for an old one, or to do without it: env: "
        "{VLLM_USE_FLASHINFER_SAMPLER: 0} and another attention backend",
        "permanent",
        depth="worker",
    ),
    Signature(
        "no_python_headers",
        r"Python\.h: No such file or directory",
        "A kernel's launcher is compiled at start, and Python's header files are missing.",
        "make the engine's environment with a Python that brings them (uv's or conda's; of a system: python3-dev): make engine",
        "permanent",
        depth="worker",
    ),
    Signature(
        "no_libcuda_to_link",
        r"cannot find -lcuda\b|libcuda\.so cannot found|libcuda\.so (?:cannot be|not) found|cannot find -lcudart|"
        r"cannot find -lnvrtc|No such file or directory: '/sbin/ldconfig'",
        "The compiler finds no libcuda.so (or another library of CUDA) to link against.",
        "env: {LIBRARY_PATH: folder of libcuda.so} (often /usr/lib64, or .../cuda/lib64/stubs), or TRITON_LIBCUDA_PATH; on "
        "a node "
        "without GPUs there is none",
        "permanent",
        depth="worker",
    ),
    Signature(
        "no_ninja",
        r"\[Errno 2\].*'(?:[^']*/)?ninja'|ninja: (?:command )?not found|Ninja is required",
        "Kernels are compiled at start, and the program ninja is not found: the engine's environment is not activated "
        "(its bin folder is not in PATH), or ninja is not installed there.",
        "put the environment's bin folder first: env: {PATH: .../bin:...}; or install ninja in it; or do without: env: "
        "{VLLM_USE_FLASHINFER_SAMPLER: 0}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "no_compiler",
        r"Failed to find C compiler|InvalidCxxCompiler|No working C\+\+ compiler found|(?:gcc|g\+\+|cc|c\+\+|"
        r"clang): (?:command )?not found|"
        r"No such file or directory: '(?:[^']*/)?(?:gcc|g\+\+|cc|clang|clang\+\+|c\+\+|x86_64-conda-linux-gnu-\w+)'|"
        r"Please specify via CC environment variable",
        "Kernels are compiled at start, and there is no C compiler that works.",
        "module load gcc before the start, or install gcc in the engine's environment and name them: env: {CC: gcc, CXX: g++}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "glibc_too_old",
        r"lib(?:c|m|pthread|dl|rt)\.so\.\d+: version `(?P<version>GLIBC_[\d.]+)' not found|"
        r"version `(?P<other>GLIBC_[\d.]+)' not found",
        "The operating system of this node is older than the engine's packages: its C library (glibc) lacks {version}{other}.",
        "nodes with a newer system, or the engine in a container (an image as `engine`), or packages built for an older "
        "glibc (manylinux); a compiler's module does not bring it",
        "permanent",
    ),
    Signature(
        "cxx_library_too_old",
        r"(?P<version>(?:GLIBCXX|CXXABI)_[\d.]+)' not found",
        "A C++ library (libstdc++.so.6) is found first that is older than the engine's packages: it lacks {version}.",
        "put a newer one first: module load gcc (a newer one) before the start, or the environment's lib folder: env: "
        "{LD_LIBRARY_PATH: .../lib}",
        "permanent",
    ),
    Signature(
        "host_compiler_unsupported",
        r"unsupported GNU version|unsupported clang version|host compiler .* (?:too old|not supported)",
        "The host's compiler is of a version that this CUDA toolkit (nvcc) does not take: most often a newer one than it "
        "knows.",
        "another gcc: module load gcc/... (the line names the newest it takes) and env: {CC: gcc, CXX: g++, "
        "NVCC_PREPEND_FLAGS: '-ccbin g++'}; or a newer CUDA toolkit",
        "permanent",
        depth="worker",
    ),
    Signature(
        "compiler_too_old",
        r"#error .*C\+\+(?:17|20)|unrecognized command.line option.*-std=|needs? a compiler that supports C\+\+",
        "The system's C++ compiler is older than the kernels that are compiled at start need.",
        "module load gcc (a newer one) before the start, and env: {CC: gcc, CXX: g++}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "missing_header",
        r"fatal error: (?P<header>[\w./+-]+\.(?:h|hpp|cuh)): No such file or directory|"
        r"fatal error: '?(?P<other>[\w./+-]+)'? file not found",
        "A kernel is compiled at start, and the header {header}{other} is missing.",
        "install what brings it in the engine's environment (a compiler, the CUDA toolkit, or the package's full version), "
        "or do "
        "without: env: {VLLM_USE_FLASHINFER_SAMPLER: 0}, vllm: {enforce-eager: true}",
        "permanent",
        depth="worker",
    ),
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
