"""Transports between nodes beside NCCL's own: libfabric, UCX, oneCCL, DeepEP."""

from campaign.explain.signature import Signature

FABRIC = (
    Signature(
        "fabric_resources",
        r"GNI_MemRegister.*(?:No space left|ERROR_RESOURCE)|cxil_\w+.*No space left|OFI call .*No space left",
        "The network card has no room left for further connections or memory (no disk is full): too many processes use it.",
        "fewer processes on a node, or start again on a node that is free",
        "again",
    ),
    Signature(
        "nccl_ofi",
        r"NET/OFI (?:OFI fi_\w+\(\) call failed|Couldn't (?:open|enable|create|bind)|.*initialization failed)",
        "NCCL's plugin for libfabric (EFA, Slingshot) finds or opens no network card.",
        "the plugin and libfabric of the site (ulimit -l unlimited); in a container bind /dev/infiniband or "
        "/dev/cxi*; as a test env: {NCCL_NET: Socket}",
        "permanent",
        role="symptom",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "ccl_workers",
        r"oneCCL: .*start_workers|failed to start worker # ?\d+|error while creating worker thread .*pthread_create returns",
        "oneCCL pins its thread to a core that the job does not have.",
        "all cores of the node, or env: {CCL_WORKER_AFFINITY: a core of the job}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "ccl_devices",
        r"oneCCL: ze_fd_manager|fill_device_fds",
        "oneCCL cannot open the device files of the Intel GPUs.",
        "in a container bind /dev/dri, with by-path; as a test env: {CCL_ZE_IPC_EXCHANGE: sockets}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "xpu_error",
        r"^RuntimeError: UR error|level_zero backend failed with error",
        "The runtime of the Intel GPU (Level Zero) reports an error.",
        "the driver and oneAPI that fit this torch; start again",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "deepep_timeout",
        r"DeepEP error: timeout",
        "DeepEP, which hands tokens to experts on other nodes, waits for them in vain: it does not fit this "
        "NVSHMEM or this InfiniBand.",
        "leave all2all-backend out; or DeepEP and nvidia-nvshmem of the versions that vLLM names",
        "permanent",
        depth="worker",
    ),
)
