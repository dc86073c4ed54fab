"""Broken or badly set up hardware: another node serves."""

from campaign.explain.signature import Signature

HARDWARE = (
    Signature(
        "ecc",
        r"\buncorrectable ECC|hipErrorECCNotCorrectable|CUDA error 214\b|"
        r"cudaErrorECCUncorrectable|CUDA_ERROR_ECC_UNCORRECTABLE|"
        r"NVRM: Xid \(.*\): (?:48|64|94|95|140|171|172),",
        "A GPU of this node has broken memory (an ECC error that cannot be corrected).",
        "nothing in the config: run on another node, and tell the cluster's support this node's name (nvidia-smi -q -d ECC)",
        "another_node",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "gpu_fell_off_the_bus",
        r"fallen off the bus|NVRM: .*RmInitAdapter failed|GPU is lost|GPU is currently in an error state|"
        r"NVRM: Xid \(.*\): (?:62|79|119|120|143|154),|"
        r"NVRM: .*(?:GSP Timeout|kgspIsHeartbeatTimedOut|[Tt]imeout.{0,20} waiting for RPC.{0,20} from GSP)|"
        r"Unable to determine the device handle for (?:gpu|GPU).*(?:Unknown Error|GPU is lost)|amdgpu.*GPU (?:recovery|"
        r"reset).*fail",
        "A GPU of this node does not answer any more.",
        "nothing in the config: run on another node, and tell the cluster's support this node's name",
        "another_node",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "fabric_manager",
        r"system not yet initialized|Cuda failure 802|CUDA error:? 802|Error 802|cudaErrorSystemNotReady|"
        r"CUDA_ERROR_SYSTEM_NOT_READY|"
        r"[Ff]abric [Mm]anager (?:is not running|has not been started)",
        "The fabric manager of this node's NVLink switches does not run or does not fit the driver (CUDA error 802).",
        "nothing in the config: run on another node, and tell the cluster's support (systemctl status nvidia-fabricmanager)",
        "another_node",
        depth="machine",
        quiet=True,
    ),
    Signature(
        "driver_mismatch",
        r"[Dd]river/library version mismatch|API mismatch: the client has the version|"
        r"NVML/RM version mismatch|NVMLError_LibRmVersionMismatch|"
        r"kernel module version .* does not match",
        "The driver's library and its kernel module on this node are of different versions: it was upgraded without a restart.",
        "run on another node and tell the cluster's support this one's name; if every node says so, a libcuda.so or "
        "libnvidia-ml.so of a container or module comes first (LD_LIBRARY_PATH): take it out",
        "another_node",
        depth="machine",
    ),
    Signature(
        "driver_combination",
        r"Cuda failure 803|Error 803|system has unsupported display driver / cuda driver combination|"
        r"cudaErrorSystemDriverMismatch|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "The libcuda.so that was loaded does not fit this node's kernel driver (CUDA error 803): either that of a "
        "container or module (cuda-compat) comes before the node's own, or the driver was upgraded without a restart.",
        "take cuda-compat out of LD_LIBRARY_PATH (in a container the host's libcuda.so first, apptainer's --nv); if only "
        "this node says so, leave it out and tell the cluster's support",
        "permanent",
        depth="machine",
        quiet=True,
    ),
    Signature(
        "nvlink_error",
        r"NVLink (?:error|fatal)|over nvlink or a hardware error|cudaErrorContained|"
        r"cudaErrorNvlinkUncorrectable|NVRM: Xid \(.*\): (?:74|14[4-9]|150|155),(?!.*Nonfatal)|"
        r"SXid \(PCI:[^)]*\): \d+, Fatal|caused by previous Xid (?:74|14[4-9]|150)\b",
        "NVLink between this node's GPUs, or its switch, has an error.",
        "nothing in the config: run on another node, and tell the cluster's support this node's name (nvidia-smi nvlink -e)",
        "another_node",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "nvlink_sharp_state",
        r"[Ff]ailed to bind .*[Mm]ulticast memory .*CUDA error 401|transport/nvls\.cc:\d+ NCCL WARN (?i:cuda) failure 401",
        "NCCL cannot use NVLink SHARP on this node: its fabric manager or NVLink switches are in a state that does not "
        "allow it.",
        "run on another node, and tell the cluster's support this one's name; env: {NCCL_NVLS_ENABLE: 0} does without it",
        "another_node",
        depth="worker",
        quiet=True,
    ),
    Signature(
        "nvlink_sharp",
        r"[Ff]ailed.{0,60}NVLink SHARP|transport/nvls\.cc:\d+ NCCL WARN Cuda|"
        r"nvlsAllocateMem|NVLS.{0,80}(?:[Ff]ail|error)|[Ff]ailed to (?:bind|"
        r"allocate) .*[Mm]ulticast",
        "NCCL cannot use NVLink SHARP here: the fabric manager's state, a container or a virtual machine does not allow it.",
        "env: {NCCL_NVLS_ENABLE: 0}; tell the cluster's support if it stands on one node only",
        "permanent",
        depth="worker",
        quiet=True,
    ),
    Signature(
        "symmetric_memory",
        r"CUDA driver error: (?!system not yet initialized|out of memory)(?P<what>\S[^\n]*)",
        "torch's symmetric memory, which vLLM's all-reduce uses, does not work between these GPUs ({what}).",
        "env: {VLLM_ALLREDUCE_USE_SYMM_MEM: 0}, or a newer vLLM",
        "permanent",
        inside=r"_symmetric_memory|symm_mem",
        depth="worker",
    ),
    Signature(
        "no_multicast",
        r"Device does not support multicasting",
        "FlashInfer's fused all-reduce needs NVLink switches (multicast), which these GPUs have not.",
        "a newer vLLM, which does without it there; or vllm: {compilation-config: {pass_config: {fuse_allreduce_rms: false}}}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "gpu_xid_program",
        r"NVRM: Xid \(.*\): (?P<number>13|31|43|45),.*",
        "The driver stopped a program on a GPU (Xid {number}): mostly a fault of a kernel of the program, seldom of the "
        "hardware.",
        "read what the engine's log says of it; a newer vLLM; leave the node out if it happens on one only",
        "again",
        role="death",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "gpu_xid",
        r"NVRM: Xid \(.*\): (?P<number>(?!(?:13|31|43|45|63),|1\d\d,.*Nonfatal)\d+),.*",
        "The driver reports an error of a GPU (Xid {number}).",
        "look the Xid's number up in NVIDIA's list: most are the hardware's or the driver's fault; "
        "start again, on another node if it stays",
        "again",
        role="symptom",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "gpu_busy",
        r"CUDA-capable device\(s\) is/are busy or unavailable|all CUDA-capable devices are busy|cudaErrorDevicesUnavailable",
        "A GPU is held by another process (exclusive mode), or was left in a bad state by one that died.",
        "look with nvidia-smi; run on another node, and tell the cluster's support if no process of yours is on it",
        "another_node",
    ),
    Signature(
        "gpu_memory_hardware",
        r"amdgpu.*(?:RAS|uncorrectable)|HSA_STATUS_ERROR_HARDWARE|hsa.*uncorrectable|Machine [Cc]heck.*[Hh]ardware [Ee]rror",
        "The hardware of this node reports an error of its own (RAS, machine check).",
        "run on another node, and tell the cluster's support this node's name",
        "another_node",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "node_memory",
        r"EDAC \S+: \d+ UE |HANDLING MCE MEMORY ERROR|mce: .*(?:[Uu]ncorrected|Fatal)|Memory failure: 0x\w+",
        "The memory or processor of this node is broken (machine check).",
        "nothing in the config: run on another node, and tell the cluster's support this node's name",
        "another_node",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "no_gpu_driver",
        r"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver|"
        r"NVMLError_(?:DriverNotLoaded|LibraryNotFound)|NVML Shared Library Not Found|Driver Not Loaded|"
        r"couldn't communicate with the NVIDIA driver|"
        r"nvidia-container-cli: initialization error",
        "There is no working GPU driver on this node, or none that this process (its container) can reach.",
        "ask for a partition with GPUs (placement.partition, gpus_per_node); if it has them, run on another node and tell "
        "the "
        "cluster's support; with no GPU at all use the CPU build of vLLM as `engine`",
        "another_node",
    ),
    Signature(
        "hip_devices",
        r"HIP error: invalid device ordinal|use HIP_VISIBLE_DEVICES instead of ROCR_VISIBLE_DEVICES|"
        r"HIP_VISIBLE_DEVICES.*(?:inconsistent|conflict)",
        "Ray and Slurm number the AMD GPUs differently, or more of them are asked for than there are.",
        "env: {RAY_EXPERIMENTAL_NOSET_HIP_VISIBLE_DEVICES: 1}, and only one of HIP_ and ROCR_VISIBLE_DEVICES may be set",
        "permanent",
    ),
    Signature(
        "rocm_access",
        r"Unable to open /dev/kfd|/dev/kfd.*[Pp]ermission denied|/dev/kfd.*No such file|"
        r"user is not (?:a )?member of .*(?:video|render)|"
        r"HSA_STATUS_ERROR_OUT_OF_RESOURCES.*/dev/kfd|hipErrorNoDevice|No HIP GPUs are available",
        "No AMD GPU can be opened: /dev/kfd or /dev/dri/renderD* is missing or not for this user, or none was asked for.",
        "ask for GPUs (placement.gpus_per_node); in a container: --device /dev/kfd --device /dev/dri and the groups video "
        "and render",
        "permanent",
    ),
    Signature(
        "gpu_page_fault",
        r"Memory access fault by GPU node|HSA_STATUS_ERROR_MEMORY_(?:FAULT|APERTURE_VIOLATION)",
        "A GPU kernel touched memory that is not its own (AMD): a fault of a kernel, seldom of the hardware.",
        "a newer vLLM or ROCm; as a test vllm: {enforce-eager: true} and env: {VLLM_ROCM_USE_AITER: 0}; "
        "if only this node does it, leave it out",
        "again",
        role="symptom",
    ),
    Signature(
        "peer_access",
        r"peer access is not supported between these two devices|CUDA error: (?:peer mapping resources exhausted|"
        r"peer access)|"
        r"cudaErrorPeerAccessUnsupported|hipErrorPeerAccess",
        "Two GPUs cannot reach each other's memory directly (PCIe topology, IOMMU or MIG).",
        "env: {NCCL_P2P_DISABLE: 1} and vllm: {disable-custom-all-reduce: true}; or use GPUs that are linked",
        "permanent",
        quiet=True,
    ),
    Signature(
        "duplicate_gpu",
        r"Duplicate GPU detected",
        "Two ranks were given the same GPU (or slices of one, MIG), which NCCL refuses.",
        "placement.gpus_per_node must be the GPUs a node really gives; MIG slices cannot work together: tensor_parallel: 1; "
        "set neither CUDA_VISIBLE_DEVICES nor a second --gpus option by hand",
        "permanent",
    ),
)
