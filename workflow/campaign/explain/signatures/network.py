"""Ports, NCCL, Gloo and the meeting of processes."""

from campaign.explain.signature import Signature

# The exceptions in which NCCL's error arrives, and which do not say what it was. A NCCL WARN line before them does.
_NCCL_FAILED = (
    r"NCCL (?:error|failure)|nccl(?:System|Internal|UnhandledCuda)Error|ncclInvalid(?:Usage|Argument)|"
    r"unhandled (?:system|cuda) error"
)
_NCCL_REMEDY = (
    "NCCL_DEBUG=INFO shows it; check the interface (models.<name>.ray.interface), /dev/shm and ulimit -l; "
    "as tests env: {NCCL_IB_DISABLE: 1} or {NCCL_P2P_DISABLE: 1}"
)
_CUDA_REMEDY = (
    "look with nvidia-smi; as tests env: {NCCL_CUMEM_ENABLE: 0}, {NCCL_P2P_DISABLE: 1}, {NCCL_NVLS_ENABLE: 0}; start "
    "again, leave the node out if it stays there"
)

NETWORK = (
    Signature(
        "port_in_use",
        r"\[Errno 98\]|address already in use|Address already in use|EADDRINUSE|errno: 98",
        "Another process listens on the port the server wanted.",
        "nothing to do, the next start takes another port; if it stays, look who listens: ss -ltnp",
        "again",
    ),
    Signature(
        "address_not_here",
        r"[Cc]annot assign requested address|\[Errno 99\]|EADDRNOTAVAIL",
        "The address to listen on is not one of this machine.",
        "models.<name>.ray.interface must name an interface of the nodes (ip -br address); do not set `host` below vllm; "
        "vllm: {data-parallel-address} must be an address of the node where rank 0 runs",
        "permanent",
    ),
    Signature(
        "host_name",
        r"Name or service not known|Temporary failure in name resolution|nodename nor servname|getaddrinfo.*fail|gaierror|"
        r"Unable to resolve hostname to a \(local\) address",
        "A host's name cannot be resolved on this node.",
        "run on another node, or name the interface whose addresses are to be used: models.<name>.ray.interface",
        "again",
        role="symptom",
    ),
    Signature(
        "nccl_interface_wrong",
        r"connecting to address .* is neither AF_INET",
        "NCCL got no address of a peer: NCCL_SOCKET_IFNAME names an interface that a node does not have (or that has no "
        "address), seldom the ranks use different NCCL versions.",
        "models.<name>.ray.interface must name an interface that every node has (ip -br address); take "
        "NCCL_SOCKET_IFNAME out of env",
        "permanent",
        depth="worker",
    ),
    Signature(
        "nccl_no_interface",
        r"NCCL WARN Bootstrap\s*: no socket interface found|no socket interface found|"
        r"No (?:network )?interface(?:s)? found.*NCCL|NCCL.*No interface",
        "NCCL finds no network interface of the name it was given.",
        "models.<name>.ray.interface must name an interface that every node has (ip -br address); take NCCL_SOCKET_IFNAME "
        "out of env",
        "permanent",
        quiet=True,
    ),
    Signature(
        "rdma_no_path",
        r"ibv_modify_qp.*failed.*(?:next state RTR|Connection timed out|Invalid argument|Network is unreachable|"
        r"No such device)",
        "Two network cards find no RDMA path to each other: they are on networks (rails) that are not connected, or the "
        "GID that was taken is not routed.",
        "env: {NCCL_CROSS_NIC: 0} where each rail is a network of its own; NCCL_IB_GID_INDEX and NCCL_IB_HCA for the "
        "right cards (show_gids, ibv_devinfo); as a test env: {NCCL_IB_DISABLE: 1}",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "infiniband_retries",
        r"NET/IB\s*: Got completion .*status=12\b|IBV_WC_RETRY_EXC_ERR|RETRY_EXC_ERR|"
        r"Transport retry count exceeded on",
        "A network card got no answer from its partner over InfiniBand or RoCE (retries exhausted): a bad link or switch "
        "port, or with RoCE a GID that is not routed.",
        "run on other nodes, and tell the cluster's support these ones' names; if every node says so: NCCL_IB_GID_INDEX "
        "(show_gids) and NCCL_IB_TIMEOUT: 22 in env, as a test NCCL_IB_DISABLE: 1",
        "another_node",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "nccl_infiniband",
        r"NET/IB\s*: [Gg]ot completion .*(?:error|status)|ibv_(?!\w*_ece)\w+ failed|IBV_WC_\w+|NET/IB.*(?:timeout|error|fatal)|"
        r"(?:mlx5|ib)_\d.*(?:async|fatal) event|ibv_modify_qp.*(?:failed|error)|RETRY_EXC_ERR",
        "InfiniBand between the nodes fails (a link, its partner or its settings).",
        "start again, another pair of nodes may go well; as a test env: {NCCL_IB_DISABLE: 1}; tell the cluster's support "
        "if it stays",
        "again",
        quiet=True,
    ),
    Signature(
        "nccl_no_route",
        r"(?:socketStartConnect|ncclSocket\w*|socket(?:Poll|Finalize)Connect|NCCL WARN\b.{0,200}\b[Cc]onnect (?:to|"
        r"returned|failed)|Net\s*: [Cc]onnect)"
        r".{0,300}(?:No route to host|[Cc]onnection refused|timed out|unreachable|failed)",
        "A rank cannot be reached on the address NCCL took: a wrong interface, a firewall, or it had ended before.",
        "name the network all nodes are on: models.<name>.ray.interface (sets NCCL_, GLOO_ and TP_SOCKET_IFNAME); "
        "NCCL_DEBUG=INFO shows what is used",
        "again",
        quiet=True,
    ),
    Signature(
        "nccl_library",
        r"undefined symbol: (?P<symbol>nccl\w+)|Failed to load NCCL library|nccl.{0,20}library.{0,40}not found",
        "NCCL's library is not found, or another (older) one than torch was built for is found first. {symbol}",
        "take other NCCL libraries out of LD_LIBRARY_PATH and VLLM_NCCL_SO_PATH; make the engine's environment again: "
        "make engine",
        "permanent",
    ),
    Signature(
        "nccl_version",
        r"[Mm]ismatched NCCL version|NCCL version mismatch|ncclInvalidUsage.*version|"
        r"NCCL WARN Mismatched|"
        r"nccl.{0,20}version.{0,40}(?:mismatch|differ)",
        "The ranks use different NCCL libraries.",
        "the same engine's environment on every node; take other NCCL libraries out of LD_LIBRARY_PATH and VLLM_NCCL_SO_PATH",
        "permanent",
        quiet=True,
    ),
    Signature(
        "nccl_memory",
        r"NCCL WARN.*Cuda failure (?:2 )?'out of memory'|(?:Failed to (?:CUDA )?(?:cu)?[mMcC]alloc|"
        r"ncclUnhandledCudaError|NCCL error)[\s\S]{0,300}out of memory",
        "The GPU has no memory left for NCCL's buffers.",
        "lower gpu_memory_utilization (0.85); env: {NCCL_CUMEM_ENABLE: 0, NCCL_NVLS_ENABLE: 0} need less",
        "permanent",
        quiet=True,
    ),
    Signature(
        "nccl_plugin",
        r"NCCL WARN (?:Error: )?network (?P<network>.+?) not found",
        "NCCL is told to use the network {network} (NCCL_NET) and has none of that name: the plugin that brings it is not "
        "found (for AWS Libfabric aws-ofi-nccl).",
        "take NCCL_NET out of the environment; or make the plugin's library (libnccl-net.so) seen: its module, or env: "
        "{LD_LIBRARY_PATH: folder}, inside a container too",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "nccl_ranks_disagree",
        r"NCCL WARN Message truncated",
        "A rank got a message of another length than it waited for: the nodes have different NCCL versions, or different "
        "NCCL_* variables.",
        "the same engine's environment (or container) and the same NCCL_* variables on every node; take other NCCL libraries "
        "out of LD_LIBRARY_PATH and VLLM_NCCL_SO_PATH",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "nccl_timeout",
        r"Watchdog caught collective operation timeout|watchdog (?:timeout|got stuck)|Timeout at NCCL work|"
        r"Some NCCL operations have failed or timed out|HeartbeatMonitor.*(?:timed out|stuck)|ProcessGroupNCCL.*timed out",
        "A GPU did not take part in a collective operation for minutes: another rank died or hangs, or the link between "
        "GPUs (P2P, InfiniBand) does.",
        "look in the log which rank ended first and why; start again; as tests env: {NCCL_P2P_DISABLE: 1} or "
        "{NCCL_IB_DISABLE: 1}, "
        "vllm: {disable-custom-all-reduce: true}",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "nccl_remote",
        r"ncclRemoteError|remote process exited or there was a network error|Connection closed by (?:remote )?peer|"
        r"[Rr]ead error \[.*\]: Connection reset by peer|recvValue failed|recvBytes failed|sendBytes failed|"
        r"TCPStore.*(?:Broken pipe|Connection (?:reset|closed))|"
        r"^(?!.*(?:[Cc]onnection aborted|https?:|HTTP|urllib3)).*(?:[Bb]roken pipe|Connection reset by peer)|"
        r"socketProgress.*(?:closed|reset)|NCCL communicator was aborted",
        "Another rank ended or lost its connection; this one noticed.",
        "look which rank ended first and why (its log, its node); start again",
        "again",
        role="death",
    ),
    Signature(
        "nccl_wrong_peer",
        r"NCCL WARN socket\w+: wrong (?:type|magic)\b",
        "Somebody else answers on an address of NCCL: a rank of another job or with another version of NCCL, or a scanner "
        "of ports.",
        "the same engine's environment on all nodes; end what an earlier run left; start again",
        "again",
        beside=_NCCL_FAILED,
        role="symptom",
        quiet=True,
    ),
    Signature(
        "nccl_no_unified_memory",
        r"init\.cc:\d+ NCCL WARN (?i:cuda) failure 801",
        "The driver of this GPU has no unified memory (UVM), without which this NCCL does not start: mostly a virtual GPU "
        "(vGPU).",
        "whole GPUs (placement.gpu, partition), or ask the cluster's support to switch it on for the virtual machine; "
        "an older NCCL (VLLM_NCCL_SO_PATH); one GPU does without NCCL: tensor_parallel: 1",
        "permanent",
        quiet=True,
        depth="worker",
    ),
    Signature(
        "nccl_cuda_warning",
        r"NCCL WARN Cuda failure \d* ?'(?P<what>[^'\n]+)'",
        "NCCL met an error of CUDA: {what}.",
        _CUDA_REMEDY,
        "again",
        beside=_NCCL_FAILED,
        role="symptom",
        quiet=True,
    ),
    Signature(
        "nccl_warning",
        r"NCCL WARN (?!NET/Plugin|Missing|.*(?:[Ii]gnor|deprecated|falling back|closed by|reset by peer|Broken pipe|[Aa]borted|"
        r"recv failed|send failed))(?P<words>\S.*)",
        "NCCL says: {words}",
        _NCCL_REMEDY,
        "again",
        beside=_NCCL_FAILED,
        role="symptom",
        quiet=True,
    ),
    Signature(
        "nccl_network",
        r"unhandled system error|ncclSystemError|ncclInternalError|NCCL error:? (?:in: ?\S+, )?internal error|"
        r"NCCL WARN .*socket",
        "The GPUs of the nodes cannot work together through NCCL (a system call failed); NCCL does not say which.",
        _NCCL_REMEDY,
        "again",
        role="death",
    ),
    Signature(
        "nccl_cuda_failure",
        r"Cuda failure \d* ?'(?P<what>[^'\n]+)'",
        "NCCL met an error of CUDA: {what}.",
        _CUDA_REMEDY,
        "again",
        role="symptom",
    ),
    Signature(
        "nccl_cuda",
        r"unhandled cuda error|ncclUnhandledCudaError",
        "NCCL met an error of CUDA. This exception does not say which; a line with NCCL WARN above it does.",
        "NCCL_DEBUG=WARN makes NCCL say it; look with nvidia-smi; as tests env: {NCCL_CUMEM_ENABLE: 0}, {NCCL_P2P_DISABLE: 1}, "
        "{NCCL_NVLS_ENABLE: 0}",
        "again",
        role="death",
    ),
    Signature(
        "nccl_usage",
        r"NCCL error:? (?:in:.*, )?invalid usage|ncclInvalidUsage|ncclInvalidArgument|NCCL error: invalid argument",
        "NCCL was called in a way it refuses: most often two ranks on one GPU, or ranks that do not agree.",
        "one GPU for each rank: tensor_parallel x pipeline_parallel = nodes x gpus_per_node; do not set CUDA_VISIBLE_DEVICES",
        "permanent",
        role="death",
    ),
    Signature(
        "gloo_interface",
        r"Unable to find (?:address|interface) for: ?(?P<name>\S*)",
        "GLOO_SOCKET_IFNAME names {name}, which is no interface of this node: Gloo takes one name, and no list or "
        "exclusion as NCCL does.",
        "GLOO_SOCKET_IFNAME=<the interface that owns the node's address> (models.<name>.ray.interface sets it); lists "
        "only for NCCL_SOCKET_IFNAME",
        "permanent",
    ),
    Signature(
        "gloo_loopback",
        r"[Gg]loo.*remote=\[(?:127\.|::1)",
        "A rank is looked for at the loopback address: on several nodes, because a host's own name resolves to it; on "
        "one node, because that rank had ended.",
        "set GLOO_SOCKET_IFNAME to the interface that owns the node's address on every node (models.<name>.ray.interface "
        "does); on one node look which rank ended first",
        "permanent",
    ),
    Signature(
        "gloo_timeout",
        r"[Gg]loo.*[Tt]imed out waiting .* for (?:recv|send) operation",
        "A rank did not answer another one for minutes (Gloo): it hangs, or it ended before.",
        "look in the log which rank ended first and why; start again",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "gloo_network",
        r"Gloo connectFullMesh failed|[Gg]loo(?!.*for (?:recv|send) operation).*(?:Connection refused|timed out|"
        r"Timed out)|makeDeviceForHostname|"
        r"makeDeviceForInterface|"
        r"gloo::\w+(?!.*closed by peer)",
        "The processes cannot reach each other through Gloo: a wrong interface, a firewall, or one had ended before.",
        "set GLOO_SOCKET_IFNAME to the interface that owns the node's address (models.<name>.ray.interface does)",
        "again",
    ),
    Signature(
        "rendezvous",
        r"client socket has (?:timed out|failed)|DistNetworkError|DistStoreError|"
        r"Timed out after \d+ seconds waiting for clients|Timed out initializing process group in store based barrier|"
        r"wait timeout after \d+ms|[Rr]endezvous(?:ConnectionError|TimeoutError)|The server socket has failed to listen|"
        r"torch\.distributed.*(?:[Tt]imeout|timed out)|Socket Timeout",
        "The ranks did not find each other in time: one did not start, or the address they meet at cannot be reached.",
        "look whether every rank started (its log); check the interface (models.<name>.ray.interface) and that no firewall "
        "stands between the nodes",
        "again",
        role="symptom",
    ),
    Signature(
        "rendezvous_wait",
        r"waitForInput: .*timed out after",
        "A rank waited for another one's word in vain: that one ended, hangs, or cannot be reached.",
        "look whether every rank started and where it stands (its log); check models.<name>.ray.interface and "
        "that no firewall stands between the nodes",
        "again",
        role="death",
        quiet=True,
    ),
    Signature(
        "socket_path",
        r"ipc path .* is longer than \d+ characters|File name too long.*ipc://",
        "The folder for vLLM's sockets has so long a path that no socket fits below it (107 bytes).",
        "env: {VLLM_RPC_BASE_PATH: /tmp}; TMPDIR must not point deep into scratch",
        "permanent",
    ),
    Signature(
        "zmq_address",
        r"ZMQError: Invalid argument \(addr='tcp://(?P<address>[^']*)'",
        "vLLM's processes cannot listen on {address}: an IPv6 address without brackets, or no host at all.",
        "an IPv4 address of the node: env: {VLLM_HOST_IP: address} and vllm: {data-parallel-address: address}; a newer vLLM "
        "takes IPv6",
        "permanent",
    ),
    Signature(
        "zmq",
        r"zmq\.error\.ZMQError: (?P<what>.*)|ZMQError",
        "vLLM's processes could not open their connection to each other: {what}",
        "a short TMPDIR (VLLM_RPC_BASE_PATH) on a local disk; start again if a port was taken",
        "again",
    ),
)
