"""The engine's environment: packages, libraries, CUDA and its driver."""

from campaign.explain.signature import Signature

INSTALL = (
    Signature(
        "kernel_not_for_gpu",
        r"no kernel image is available for execution on the device|cudaErrorNoKernelImageForDevice|hipErrorNoBinaryForGpu|"
        r"HIP error: invalid device function|the provided PTX was compiled with an unsupported toolchain|"
        r"is not compatible with the current PyTorch installation|invalid device function|"
        r"Expected a .*(?:sm_\d+|gfx\d+)|not compiled for (?:this|the) (?:GPU|architecture)|Cannot find (?:Symbol|"
        r"CO in the bundle)|"
        r"rocBLAS error: Cannot read .*TensileLibrary|Tensile.*(?:not found|No such file)",
        "The engine's packages have no kernels for this GPU (too old, too new, or a driver too old for their PTX).",
        "use a vLLM (and torch) built for this GPU, or another partition; for AMD the gfx name must be among those of the "
        "build",
        "permanent",
        depth="worker",
    ),
    Signature(
        "hipblaslt_kernels",
        r"rocblaslt error: Could not (?:load|open|find)",
        "hipBLASLt, AMD's library for matrix products, cannot load its kernels: they are not there for this GPU, or the limit "
        "of open files is reached.",
        "ulimit -n 65536 before the start; env: {TORCH_BLAS_PREFER_HIPBLASLT: 0} does without it; a torch built for this GPU",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cuda_mismatch",
        r"The NVIDIA driver on your system is too old|CUDA driver version is insufficient|cudaErrorInsufficientDriver|"
        r"CUDA failure 35\b|Cuda failure 35\b|"
        r"requirement error: unsatisfied condition: cuda>=",
        "The engine's CUDA is newer than the driver that it finds on this node.",
        "use a vLLM built for this CUDA (nvidia-smi shows the newest the driver takes), or another partition",
        "permanent",
        quiet=True,
    ),
    Signature(
        "cuda_forward_compat",
        r"forward compatibility was attempted on non supported HW|Error 804",
        "A libcuda.so of a newer CUDA (cuda-compat of a container or module) comes before the node's own, and this GPU "
        "does not take it (CUDA error 804).",
        "take cuda-compat out of LD_LIBRARY_PATH; a vLLM built for the CUDA that nvidia-smi shows",
        "permanent",
        quiet=True,
    ),
    Signature(
        "engine_library_missing",
        r"lib(?:cuda|nvidia-ml)\.so(?:\.1)?: cannot open shared object file|libcuda\.so\.1: cannot open",
        "The driver's library (libcuda.so.1) is missing: there is no GPU driver on this node, or the container was started "
        "without it.",
        "ask for GPUs (placement.gpus_per_node); in a container apptainer's --nv; without a GPU use the CPU build of vLLM "
        "as `engine`",
        "permanent",
        quiet=True,
    ),
    Signature(
        "library_missing",
        r"error while loading shared libraries|(?:ImportError|"
        r"OSError)[:(] ?'?(?P<library>lib[\w.+-]+): cannot open shared object file|"
        r"Failed to import from vllm\._C with ImportError",
        "A library of the engine's environment is missing or does not fit. {library}",
        "make the environment again: make engine; LD_LIBRARY_PATH must not name another CUDA or ROCm",
        "permanent",
        quiet=True,
    ),
    Signature(
        "aiter_arch",
        r"GPU archs? of .* (?:is|are) invalid or not supported|undefined symbol: \w*(?:ck_tile|aiter)\w*|"
        r"aiter.{0,60}(?:not support|unsupported)|No module named 'aiter|"
        r"requires gfx\d+\w*(?: \([\w ]+\))?, got gfx\d+",
        "AITER, AMD's kernel package, is missing or does not serve this GPU.",
        "env: {VLLM_ROCM_USE_AITER: 0} does without it; or the build of vLLM for this GPU",
        "permanent",
        depth="worker",
    ),
    Signature(
        "aiter_failed",
        r"^\S*(?:Error|Exception)\b.*",
        "A kernel of AITER, AMD's kernel package, fails with this model on this GPU.",
        "env: {VLLM_ROCM_USE_AITER: 0} does without it, VLLM_ROCM_USE_AITER_MOE: 0 without that for experts; or a newer build",
        "permanent",
        inside=r"/aiter/|aiter_meta",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "foreign_cuda_library",
        r"undefined symbol: (?P<symbol>_{0,2}(?:nvJitLink|cublas|cudnn|cusparse|cusolver|cufft|nvrtc)\w*)",
        "A library of another CUDA than the engine's is found first: it lacks {symbol}.",
        "take CUDA's folders out of LD_LIBRARY_PATH (module unload cuda), or put those of the engine's environment first "
        "(.../site-packages/nvidia/*/lib)",
        "permanent",
    ),
    Signature(
        "abi_mismatch",
        r"undefined symbol: (?!nccl)(?P<symbol>\w+)|version `[\w.]+' not found \(required by",
        "A compiled package of the engine's environment was built for another torch, CUDA or ROCm ({symbol}).",
        "make the environment again (make engine), with the torch that vLLM pins; remove flash-attn, xformers or "
        "flashinfer that were "
        "installed beside it",
        "permanent",
    ),
    Signature(
        "cpu_unsupported",
        r"Unsupported CPU attention configuration|Could not run '[\w:.]+' with arguments from the 'CPU' backend|"
        r"CPU backend (?:only supports|does not support)",
        "The CPU build of vLLM has no kernel for this: the model's attention, the quantization of its weights, or a flag.",
        "weights that are not quantized (dtype: bfloat16), another model, or a newer vLLM; else a node with GPUs; leave "
        "flags that the message names out",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cpu_attention",
        r"^AssertionError\s*$|^NotImplementedError\b",
        "The attention of vLLM's CPU build does not serve this model or these settings.",
        "vllm: {enable-chunked-prefill: false, enable-prefix-caching: false} as a test; a newer vLLM; or a node with GPUs",
        "permanent",
        inside=r"(?:torch_sdpa|cpu_attn|cpu_attention)\.py",
        depth="worker",
    ),
    Signature(
        "operator_missing",
        r"operator torchvision::nms does not exist|'_OpNamespace' '\w+' object has no attribute|"
        r"Could not (?:run|find) .*(?:vllm|_C)::|no attribute 'silu_and_mul'|torch\.ops\.\w+ .* not (?:found|registered)",
        "The engine's compiled kernels were not loaded, or torch and torchvision are of different builds.",
        "make the environment again (make engine): torch, torchvision and vllm of one build; an earlier line tells which "
        "import failed",
        "permanent",
    ),
    Signature(
        "numpy_conflict",
        r"A module that was compiled using NumPy 1\.x cannot be run|numpy\.dtype size changed|Numba needs NumPy|"
        r"numpy\.core\.multiarray failed to import|"
        r"_ARRAY_API not found",
        "numpy has a version that another package of the engine's environment does not take.",
        "make the environment again: make engine (vLLM 0.32 needs numpy < 2.4)",
        "permanent",
    ),
    Signature(
        "transformers_conflict",
        r"(?:ImportError: cannot import name|AttributeError: module) .*transformers|huggingface.hub[><=].*is required|"
        r"(?:tokenizers|huggingface-hub|transformers|safetensors)[><=!]=?[\w.,<>=!]+ is required for a normal functioning",
        "transformers has a version that vLLM or another package does not take.",
        "make the environment again: make engine; or install the version the message names",
        "permanent",
    ),
    Signature(
        "version_conflict",
        r"pkg_resources\.(?:ContextualVersionConflict|DistributionNotFound|VersionConflict)|"
        r"importlib\.metadata\.PackageNotFoundError: (?P<package>.*)|"
        r"Ray version .* is required, but found|requires a different Python|is not compatible with (?:this|"
        r"the) (?:version of )?Python",
        "A package of the engine's environment is missing or has another version.",
        "make the environment again: make engine",
        "permanent",
    ),
    Signature(
        "ray_other_environment",
        r"^(?:ModuleNotFoundError: )?No module named '?vllm(?:'|\.|$)",
        "A Ray worker runs in another Python environment than the engine, which has no vLLM or another one: Ray was "
        "started from there.",
        "start Ray on every node (head and workers) from the engine's environment; end the foreign Ray first (ray stop)",
        "permanent",
        inside=r"ray/_private/|default_worker\.py",
        depth="worker",
    ),
    Signature(
        "ray_import_failed",
        r"The actor with name \w+ failed to import on the worker",
        "A Ray worker cannot import the engine's code: Ray was started from another Python environment, or a package is "
        "missing on that node.",
        "start Ray on every node (head and workers) from the engine's environment; end the foreign Ray first (ray stop)",
        "permanent",
        depth="worker",
    ),
    Signature(
        "vllm_not_built",
        r"No module named 'vllm\._C|"
        r"module 'vllm' has no attribute",
        "Not the installed vllm is imported, but a folder of that name without its compiled part (a source tree in the "
        "working folder or in PYTHONPATH).",
        "start elsewhere, take it out of PYTHONPATH, or build it: make engine",
        "permanent",
    ),
    Signature(
        "python_base_missing",
        r"init_fs_encoding|Unable to get the locale encoding|No module named 'encodings'|"
        r"Could not find platform (?:in)?dependent libraries",
        "Python does not find its own library: PYTHONHOME (of a module, mostly) names another Python, or the one that the "
        "environment was made from is not on this node.",
        "unset PYTHONHOME (module unload python); make the environment from a Python that all nodes see: make engine",
        "permanent",
    ),
    Signature(
        "user_without_name",
        r"getpwuid\(\): uid not found: (?P<number>\d+)",
        "The user id {number} has no name here (a container or a node that does not ask the site's directory), and torch "
        "names its cache by it.",
        "env: {USER: name, TORCHINDUCTOR_CACHE_DIR: folder}; in a container bind /etc/passwd",
        "permanent",
    ),
    Signature(
        "flash_attn_beside",
        r"No module named 'flash_attn\.|cannot import name '\w+' from 'flash_attn",
        "A flash-attn package that was installed beside vLLM is of a version that it does not take; vLLM brings its own.",
        "pip uninstall flash-attn in the engine's environment, or make engine",
        "permanent",
    ),
    Signature(
        "model_packages",
        r"requires the following packages that were not found in your environment: (?P<packages>[\w, -]+)",
        "The model's own Python code wants packages that the engine's environment lacks: {packages}.",
        "install {packages} there, or a vLLM that knows this model without its own code (leave trust-remote-code out)",
        "permanent",
    ),
    Signature(
        "module_missing",
        r"ModuleNotFoundError: No module named|'_PlaceholderModule\w*' object|ImportError: cannot import name|"
        r"ImportError: [Pp]lease install|"
        r"No module named '?vllm|vllm: command not found",
        "A Python package is missing in the environment that this process runs in, or has another version.",
        "make the environment again: make engine; or install the package the message names there",
        "permanent",
    ),
    Signature(
        "torch_without_cuda",
        r"Torch not compiled with CUDA enabled|Distributed package doesn't have NCCL built in",
        "The torch of the engine's environment is a build without CUDA.",
        "make the environment again with the CUDA build of vLLM and torch: make engine; without a GPU use the CPU build "
        "of vLLM",
        "permanent",
    ),
    Signature(
        "cuda_unknown",
        r"CUDA unknown error - this may be due to an incorrectly set up environment",
        "CUDA cannot be started in this process: mostly a state of the node's driver (no nvidia-uvm, a suspended GPU), "
        "seldom the environment (CUDA_VISIBLE_DEVICES set late).",
        "look with nvidia-smi; run on another node, and tell the cluster's support if it stays",
        "another_node",
        quiet=True,
    ),
    Signature(
        "nvml_permission",
        r"NVMLError_NoPermission|NVML.{0,40}Insufficient Permissions",
        "This process may not ask the driver (NVML) about its GPU: mostly a slice of a GPU (MIG) in a container.",
        "whole GPUs (placement.gpu), or ask the cluster's support",
        "permanent",
    ),
    Signature(
        "no_gpu",
        r"No CUDA GPUs are available|ProcessGroupNCCL is only supported with GPUs|Failed to infer device type|"
        r"no CUDA-capable device is detected|"
        r"Device string must not be empty|Found no NVIDIA driver on your system|'NoDevFiles'|cudaErrorNoDevice|"
        r"NVML: (?:No|no) devices|No supported GPU|device_count\(\) returned 0",
        "vLLM sees no GPU: none was asked for, it is hidden (CUDA_VISIBLE_DEVICES, a container), or the driver is not reached.",
        "ask for GPUs (placement.gpus_per_node), or use a CPU build of vLLM as the engine; do not set CUDA_VISIBLE_DEVICES",
        "permanent",
    ),
    Signature(
        "cuda_visible_uuid",
        r"invalid literal for int\(\) with base 10: '(?:GPU|MIG)-",
        "CUDA_VISIBLE_DEVICES names GPUs by their UUID (a MIG instance for example), which this vLLM does not take.",
        "a newer vLLM, or whole GPUs (placement.gpu); env: {CUDA_VISIBLE_DEVICES: '0'} for the only instance of a job",
        "permanent",
    ),
    Signature(
        "nvml_no_such_gpu",
        r"NVMLError_InvalidArgument",
        "vLLM asks the driver for a GPU that it does not have: CUDA_VISIBLE_DEVICES names GPUs that are not shown here.",
        "do not set CUDA_VISIBLE_DEVICES; whole GPUs (placement.gpu) where a slice is named by its UUID",
        "permanent",
    ),
    Signature(
        "cuda_init",
        r"Can't initialize NVML|Unexpected error from cudaGetDeviceCount|"
        r"Failed to initialize NVML|NVMLError_(?:Unknown|GpuIsLost|Timeout)|CUDA initialization: |"
        r"CUDA driver initialization failed|"
        r"cuInit.*failed|CUDA error: initialization error|cudaErrorInitializationError",
        "CUDA cannot be started in this process: mostly a state of the node's driver, seldom the environment "
        "(CUDA_VISIBLE_DEVICES).",
        "look with nvidia-smi on the node; run on another one, and tell the cluster's support if it stays",
        "another_node",
    ),
    Signature(
        "cuda_fork",
        r"Cannot re-initialize CUDA in forked subprocess",
        "CUDA was used before the workers were forked.",
        "env: {VLLM_WORKER_MULTIPROC_METHOD: spawn}",
        "permanent",
    ),
    Signature(
        "cpu_instructions",
        r"(?<!an )[Ii]llegal instruction(?! was)|SIGILL|does not support (?:AVX|avx)|"
        r"AVX512.{0,40}(?:not supported|required)|"
        r"Intel MKL FATAL ERROR|"
        r"CPU.{0,30}(?:lacks|does not support).{0,30}(?:AVX|AMX|BF16)",
        "The engine was built for another processor than this one.",
        "use the CPU build of vLLM for this processor (with or without AVX-512), or nodes of the kind it was built for",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cpu_kernel",
        r"could not create a primitive",
        "A kernel of oneDNN cannot be made for this dtype, shape or processor.",
        "dtype: bfloat16 or float32; a vLLM built for this processor; more memory if it is short",
        "permanent",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "cpu_preload",
        r"(?P<library>lib[\w.]+) is not found in LD_PRELOAD",
        "This CPU build of vLLM does not start without the library {library} loaded before all others.",
        "env: {LD_PRELOAD: .../{library}.so...} (find it in the engine's environment or /usr/lib64; several are joined by :), "
        "or a newer vLLM, which does without",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cpu_binding",
        r"VLLM_CPU_OMP_THREADS_BIND|set_mempolicy|numa_(?:alloc|migrate|set)\w*.*(?:fail|error)|"
        r"mbind: Operation not permitted|Not enough allowed NUMA nodes to bind|"
        r"cores? (?:id )?.{0,30}(?:not allowed|out of range|exceeds)",
        "vLLM could not bind its threads to the cores of this job.",
        "env: {VLLM_CPU_OMP_THREADS_BIND: nobind}; or more cores (placement.cpus_per_gpu)",
        "permanent",
        depth="worker",
    ),
)
