"""Compilers at start: Triton, Inductor, FlashInfer, CUDA's and the host's."""

from campaign.explain.signature import Signature

COMPILE = (
    Signature(
        "no_nvcc",
        r"[Cc]ould not find nvcc|nvcc: (?:command )?not found|/nvcc: (?:not found|No such file)|"
        r"CUDA_HOME environment variable is not set|"
        r"CUDA_HOME does not exist|No such file or directory: '[^']*nvcc'|nvcc.{0,20}No such file|cuda_home=.*doesn't exist|"
        r"Could not find CUDA (?:toolkit|installation)|[Pp]lease set .*CUDA_HOME|cuda_runtime(?:_api)?\.h: No such file",
        "A kernel is compiled at start (FlashInfer's sampler or attention, DeepGEMM), and there is no CUDA toolkit (nvcc) "
        "here.",
        "module load cuda before the start, or env: {CUDA_HOME: folder of the toolkit}; or do without: "
        "env: {VLLM_USE_FLASHINFER_SAMPLER: 0}, or install flashinfer-jit-cache in the engine's environment",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cuda_toolkit_too_old",
        r"nvcc fatal\s*: Unsupported gpu architecture '(?P<arch>[^']+)'|"
        r"Value '(?P<value>sm_\w+)' is not defined for option 'gpu-name'|"
        r"ptxas.{0,40}Unsupported \.version|No supported CUDA architectures found|"
        r"requires CUDA (?:toolkit )?(?:version )?(?:>=|at least) ?\d+|"
        r"FlashInfer requires GPUs with sm\d+ or higher|SM ?\d+\w* requires CUDA",
        "The CUDA toolkit here is older than the GPU: it cannot compile for it.",
        "a newer one (module load cuda/...; CUDA_HOME); for Triton env: {TRITON_PTXAS_PATH: .../bin/ptxas}; or do without: "
        "env: {VLLM_USE_FLASHINFER_SAMPLER: 0} and another attention backend",
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
        r"cannot find -lnvrtc",
        "The compiler finds no libcuda.so to link against.",
        "env: {LIBRARY_PATH: folder of libcuda.so} (often /usr/lib64, or .../cuda/lib64/stubs), or TRITON_LIBCUDA_PATH; on "
        "a node "
        "without GPUs there is none",
        "permanent",
        depth="worker",
    ),
    Signature(
        "no_compiler",
        r"Failed to find C compiler|InvalidCxxCompiler|No working C\+\+ compiler found|(?:gcc|g\+\+|cc|c\+\+|"
        r"clang): (?:command )?not found|"
        r"No such file or directory: '(?:[^']*/)?(?:gcc|g\+\+|cc|clang|clang\+\+|c\+\+|x86_64-conda-linux-gnu-\w+)'|"
        r"Please specify via CC environment variable|\[Errno 2\].*'ninja'|ninja: not found|Ninja is required|"
        r"No such file or directory: '(?:[^']*/)?ninja'",
        "Kernels are compiled at start, and there is no C compiler (or no ninja).",
        "module load gcc before the start, or install gcc and ninja in the engine's environment and name them: env: {CC: "
        "gcc, CXX: g++}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "compiler_too_old",
        r"GLIBCXX_[\d.]+' not found|GLIBC_[\d.]+' not found|CXXABI_[\d.]+' not found|unsupported GNU version|"
        r"#error .*(?:C\+\+17|C\+\+20|compiler)|unrecognized command.line option.*-std=|host compiler .* (?:too old|"
        r"not supported)|"
        r"needs? a compiler that supports C\+\+",
        "The system's compiler or C++ library is older than the engine's packages need.",
        "module load gcc (a newer one) before the start, or put the environment's lib folder first: env: {LD_LIBRARY_PATH: "
        ".../lib}",
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
        "vLLM's compile cache is broken, or was left half written by an earlier start.",
        "remove the folder that the line names (or ~/.cache/vllm/torch_compile_cache) and start again; if it stays, the "
        "lines "
        "above tell what does not compile",
        "again",
        depth="worker",
    ),
    Signature(
        "compile_cache_raced",
        r"FileNotFoundError|OSError: \[Errno 39\] Directory not empty|FileExistsError|JSONDecodeError|EOFError|"
        r"UnpicklingError",
        "Two processes wrote the same folder of compiled kernels, and one took it from the other.",
        "start again; give each its own: env: {TRITON_CACHE_DIR: folder, TORCHINDUCTOR_CACHE_DIR: folder} on a local disk",
        "again",
        inside=r"triton/runtime/(?:cache|build|autotuner|jit)\.py|_inductor/(?:codecache|runtime|remote_cache)|"
        r"compilation/(?:backends|compiler_interface|caching)",
        depth="worker",
    ),
    Signature(
        "shared_object_noexec",
        r"failed to map segment from shared object(?:: Operation not permitted)?|cannot allocate memory in static TLS block|"
        r"cannot apply additional memory protection",
        "A compiled kernel lies on a file system that does not let programs run (noexec), or its library could not be mapped.",
        "put the caches and TMPDIR on one that does: env: {TRITON_CACHE_DIR: folder, TORCHINDUCTOR_CACHE_DIR: folder}",
        "permanent",
    ),
    Signature(
        "kernel_shared_memory",
        r"OutOfResources|out of resource: (?:shared memory|threads|tensor memory|registers)",
        "A Triton kernel needs more of the GPU's on-chip memory than this GPU has: it was tuned for a larger one.",
        "a newer vLLM; float16 or a smaller block for this GPU (vllm: {block-size: 16}), another attention backend; for a "
        "mixture of experts other weights or no expert parallelism",
        "permanent",
        depth="worker",
    ),
    Signature(
        "triton_unsupported",
        r"PassManager::run failed|triton\.compiler\.errors\.CompilationError|Cannot find backend for cpu|"
        r"0 active drivers \(\[\]\)|"
        r"Unsupported conversion from|LLVM ERROR: |Triton.{0,40}(?:only supports? devices|requires)|mlir::|"
        r"Found .* which is too old to be supported by the triton GPU compiler|GPUTooOldForTriton|TritonMissing|"
        r"Cannot find a working triton installation",
        "Triton cannot compile a kernel for this GPU: it is too old (below compute capability 7.0 or 8.0), or this Triton "
        "has a fault.",
        "vllm: {enforce-eager: true} and another attention backend; or another GPU; the triton version that vLLM pins",
        "permanent",
        depth="worker",
    ),
    Signature(
        "flashinfer_version",
        r"flashinfer.{0,40}version.{0,40}(?:does not match|mismatch)|FLASHINFER_DISABLE_VERSION_CHECK|"
        r"flashinfer.{0,60}(?:is not installed|has no attribute|is not available|requires flashinfer)|"
        r"cannot import name .* from 'flashinfer|undefined symbol.*flashinfer",
        "The parts of FlashInfer (python, cubin, jit-cache) are of different versions, or not those vLLM wants.",
        "install the same version of flashinfer-python, flashinfer-cubin and flashinfer-jit-cache in the engine's "
        "environment, "
        "the one vLLM pins; or env: {VLLM_USE_FLASHINFER_SAMPLER: 0}",
        "permanent",
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
        r"(?:cc1plus|nvcc|cicc|ptxas|ld).{0,40}(?:Killed|signal 9|died with)|fatal error: Killed signal terminated program|"
        r"c\+\+: internal compiler error: Killed",
        "A compiler was killed, because the memory did not suffice for so many at once.",
        "env: {MAX_JOBS: 4}; or ask for more memory (placement.mem_per_node)",
        "permanent",
        depth="worker",
    ),
    Signature(
        "inductor_failed",
        r"BackendCompilerFailed|InductorError|torch\._dynamo\.exc\.\w+|LoweringException|torch\._inductor\.exc\.\w+|"
        r"CalledProcessError: Command '\['?[^ ]*(?:gcc|g\+\+|cc|clang|nvcc|ptxas)|CppCompileError|"
        r"SubprocException|"
        r"InternalTorchDynamoError|torch\.fx\.experimental\.symbolic_shapes",
        "torch.compile could not compile the model; what the compiler said stands beside this line.",
        "vllm: {enforce-eager: true} does without compiling (slower); read the compiler's own error in the log; remove the "
        "compile "
        "cache (~/.cache/vllm/torch_compile_cache)",
        "permanent",
        role="symptom",
    ),
)
