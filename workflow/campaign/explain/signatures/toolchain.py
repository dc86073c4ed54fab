"""What compiles kernels at start: the CUDA toolkit, the host's compiler, its headers and libraries."""

from campaign.explain.signature import Signature

TOOLCHAIN = (
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
        r"Please specify via CC environment variable|(?:gcc|g\+\+|cc|c\+\+|clang)\S*: (?:fatal )?error: (?:cannot execute|"
        r"error trying to exec|unable to execute) .{0,2}(?:cc1|as|ld|collect2|lto)",
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
)
