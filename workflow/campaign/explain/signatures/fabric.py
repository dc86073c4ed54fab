"""Ways between nodes beside NCCL's own: ssh, libfabric, UCX, oneCCL, DeepEP."""

from campaign.explain.signature import Signature

FABRIC = (
    Signature(
        "nvshmem",
        r"nvshmem\S*\.(?:cpp|cu|h):\d+: (?:non-zero status|NULL value)|aborting due to error in nvshmemi|"
        r"NVSHMEM API called before NVSHMEM initialization",
        "NVSHMEM, by which the experts on several GPUs speak to each other (DeepEP, PPLX), cannot use the network cards or "
        "NVLink here.",
        "leave all2all-backend out (or allgather_reducescatter), or enable-expert-parallel; the cluster's support can "
        "allow what it needs (IBGDA: NVreg_EnableStreamMemOPs=1 of the driver; on NVL72 an IMEX channel)",
        "permanent",
        depth="worker",
        quiet=True,
    ),
    Signature(
        "ssh_refused",
        r"Permission denied \((?:[\w-]+,)*(?:publickey|password|gssapi|keyboard-interactive|hostbased)|"
        r"Host key verification failed|Received disconnect .*Too many authentication",
        "ssh is refused by the other host: none of your keys is known there, or its own key is not known here.",
        "your public key in ~/.ssh/authorized_keys (and modes 700, 600); ssh-keyscan HOST for its key; the workflow itself "
        "needs srun, and no ssh",
        "permanent",
    ),
    Signature(
        "ssh_unreachable",
        r"ssh: connect to host (?P<host>\S+) port \d+: |kex_exchange_identification: ",
        "ssh does not reach the other host {host}, or it closes the connection: a firewall, too many connections at once, or "
        "it is down.",
        "try again; on a cluster srun starts programs on other nodes, and needs no ssh",
        "again",
        role="symptom",
    ),
    Signature(
        "download_unreachable",
        r"^curl: \((?:5|6|7|28|35)\) |^wget: unable to resolve host|^fatal: unable to access 'https?://",
        "A download did not reach its host: compute nodes have no way to the internet, or a proxy that has to be named.",
        "download on a login node before the job; or set http_proxy and https_proxy as the site tells",
        "permanent",
        role="symptom",
    ),
    Signature(
        "fabric_resources",
        r"GNI_MemRegister.*(?:No space left|ERROR_RESOURCE)|cxil_\w+.*No space left|OFI call .*No space left",
        "The network card has no room left for further connections or memory (no disk is full): too many processes use it.",
        "fewer processes on a node, or start again on a node that is free",
        "again",
    ),
    Signature(
        "ucx_shared_memory",
        r"UCX +ERROR +shmget\(",
        "The limits of shared memory (System V) of this node are reached or 0; no disk is full. Ended jobs may have left some.",
        "env: {UCX_TLS: ^sysv}; ipcs -m shows what is left (ipcrm), ipcs -l the limits; or another node",
        "another_node",
        depth="worker",
    ),
    Signature(
        "ucx_error",
        r"UCX +ERROR +(?P<words>\S.{0,300})|(?P<other>ucp_ep_create\(.*\) failed: .*)",
        "UCX, the transport of MPI and NIXL, cannot reach another process: {words}{other}",
        "env: {UCX_NET_DEVICES: mlx5_0:1} names the network card; as a test env: {UCX_TLS: 'tcp,sm,self,cuda'}; start again "
        "on other nodes",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "nccl_ofi",
        r"NET/OFI (?:OFI fi_\w+\(\) call failed|Couldn't (?:open|enable|create|bind)|Creating new endpoint .*failed|"
        r".*initialization failed)",
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
