"""Disks, file systems and caches: what cannot be read or written."""

from campaign.explain.signature import Signature

STORAGE = (
    Signature(
        "triton_cache_permission",
        r"Permission denied: '(?P<path>[^']*(?:\.triton|triton)[^']*)'",
        "Triton's kernel cache {path} cannot be written by this user.",
        "name a folder of your own: env: {TRITON_CACHE_DIR: folder}; or mend the folder's owner",
        "permanent",
    ),
    Signature(
        "temporary_folder_of_other",
        r"Permission denied: '(?P<path>[^']*/tvm-debug-mode-tempdirs[^']*|/tmp/ray[^']*)'",
        "The folder {path} belongs to another user of this node: the program (TVM, TileLang, Ray) uses one name for all.",
        "env: {TMPDIR: folder of your own}, a short path on a local disk (of Ray RAY_TMPDIR); or run on another node",
        "permanent",
    ),
    Signature(
        "sessions_folder_of_other",
        r"Permission denied: '(?P<path>[^']*/sagemaker_sessions)'",
        "The folder {path} belongs to another user of this node: this vLLM's package for SageMaker uses one name for all.",
        "model-hosting-container-standards 0.1.10 or newer in the engine's environment (a newer vLLM has it), or run on "
        "another node",
        "permanent",
    ),
    Signature(
        "numba_cache",
        r"cannot cache function .*no locator available",
        "numba finds no folder that it may write for its compiled functions: not beside the package, and HOME is not "
        "writable either.",
        "env: {NUMBA_CACHE_DIR: folder of your own}, and HOME one that can be written",
        "permanent",
    ),
    Signature(
        "package_folder_permission",
        r"(?:Permission denied|Read-only file system):? '?(?P<path>[^'\n]*/(?:site|dist)-packages/[^'\n]*)",
        "The folder of a package in the engine's environment may not be written, or not even read, by this user: {path}",
        "an engine's environment of your own (make engine), or a writable layer of the container (apptainer "
        "--writable-tmpfs); of FlashInfer's ready kernels env: {FLASHINFER_CUBIN_DIR: folder}",
        "permanent",
    ),
    Signature(
        "cache_permission",
        r"(?:Permission denied|Read-only file system|Operation not permitted):? '?(?P<path>[^'\n]*(?:\.cache|torchinductor|"
        r"torch_compile_cache|flashinfer|"
        r"\.config|vllm|deep_gemm|\.nv|tvm|cutlass|outlines|hub)[^'\n]*)",
        "A cache folder, {path}, cannot be written by this user.",
        "point it to a folder of your own (env: VLLM_CACHE_ROOT, TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR, "
        "FLASHINFER_WORKSPACE_BASE, "
        "HF_HOME, XDG_CACHE_HOME), or mend the folder's owner",
        "permanent",
    ),
    Signature(
        "kernel_cache_permission",
        r"^PermissionError: .*",
        "A folder for compiled kernels cannot be written by this user.",
        "point it to a folder of your own: env: {TRITON_CACHE_DIR: folder, TORCHINDUCTOR_CACHE_DIR: folder}",
        "permanent",
        inside=r"triton/|_inductor/|flashinfer/",
    ),
    Signature(
        "gpu_direct_storage",
        r"cuFile\w+ returned an error|submit_io: register_buffer failed|cuFileDriverOpen",
        "The loader that reads weights past the host into the GPU (GPUDirect Storage) does not work on this node or file "
        "system.",
        "leave vllm: {load-format} out: the usual loader (auto) needs no GPUDirect Storage",
        "permanent",
        depth="worker",
    ),
    Signature(
        "permission_denied",
        r"PermissionError: \[Errno (?:1|13)\] (?:Permission denied|Operation not permitted)(?:: '?(?P<path>[^'\n]+))?|"
        r"Permission denied \(os error 13\)|OSError: \[Errno 13\]",
        "A file or folder may not be opened by this user: {path}",
        "mend its owner and mode (ls -ld), or name another folder",
        "permanent",
    ),
    Signature(
        "read_only",
        r"Read-only file system",
        "A folder that has to be written lies on a file system that cannot be written here.",
        "name a folder of your own for it (env: HOME, TMPDIR, XDG_CACHE_HOME; in a container bind one)",
        "permanent",
    ),
    Signature(
        "watch_limit",
        r"inotify (?:watch|instance) limit reached|inotify.*(?:No space left|Too many open files)",
        "The limit of watched files of this machine (inotify) is reached; no disk is full.",
        "ask the cluster's support (fs.inotify.max_user_watches), or end what watches files",
        "permanent",
    ),
    Signature(
        "container_disk",
        r"^FATAL: .*(?:[Dd]isk quota exceeded|[Nn]o space left on device)",
        "The container's image cannot be unpacked: the disk or quota of Apptainer's temporary folder (/tmp) or cache is full.",
        "APPTAINER_TMPDIR=<large folder> (and APPTAINER_CACHEDIR for an image that is pulled; SINGULARITY_... before "
        "Apptainer); df -h /tmp",
        "permanent",
    ),
    Signature(
        "enroot_disk",
        r"(?:pyxis|enroot\S*): (?!.*namespace).*(?:[Nn]o space left on device|[Dd]isk quota exceeded)",
        "The container's image cannot be unpacked: the disk (or memory) of Enroot's folders is full.",
        "ENROOT_TEMP_PATH, ENROOT_CACHE_PATH and ENROOT_DATA_PATH on a large local disk; or enroot import the image once, and "
        "name the .sqsh file",
        "permanent",
    ),
    Signature(
        "disk_full",
        r"^(?!.*(?:inotify|GNI_|cxil_|OFI call|user namespace|container process|shmget)).*No space left on device|"
        r"Disk quota exceeded|\[Errno 122\]|StorageFull|QuotaExceeded|"
        r"not enough disk space|"
        r"Insufficient disk space",
        "A disk or quota is full.",
        "free some space; df -h shows where; caches: env: {VLLM_CACHE_ROOT: folder}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "write_failed",
        r"PytorchStreamWriter failed writing file|inline_container\.cc:\d+\] \. unexpected pos",
        "A file could not be written whole, and torch does not say why: mostly a disk or quota that is full, else a network "
        "file system that lost its server for a moment.",
        "df -h and the site's quota command; start again",
        "again",
        role="symptom",
    ),
    Signature(
        "bus_error",
        r"[Bb]us error|SIGBUS|[Ff]ailed core proc\(s\): \{[^}]*: -7\b",
        "A page of a file that was mapped into memory could not be read: weights on a network file system (Lustre, NFS), "
        "or cut off while they were mapped; or /dev/shm is full.",
        "read the weights instead of mapping them: vllm: {safetensors-load-strategy: eager}; or copy them to a local disk; "
        "check that "
        "the files are whole and that /dev/shm has room (df -h /dev/shm)",
        "again",
        depth="worker",
    ),
    Signature(
        "file_server_away",
        r"LustreError: .*(?:failed: rc = -(?:5|107|108|110|116)\b|evicted)|nfs: server \S+ not responding, timed out",
        "This node lost the file system's server (Lustre, NFS).",
        "nothing is lost: the same command continues; if it stays on one node, leave that node out and tell the cluster's "
        "support",
        "again",
        role="symptom",
        quiet=True,
        depth="machine",
    ),
    Signature(
        "stale_file",
        r"Stale file handle|ESTALE|\[Errno 116\]|Transport endpoint is not connected(?: \(os error 107\)|: ')|"
        r"Cannot send after transport endpoint shutdown|\[Errno 108\]",
        "A network file system lost a file, or its connection to the server, under the running process.",
        "nothing is lost: the same command continues; if it stays on one node, leave that node out",
        "again",
        depth="worker",
    ),
    Signature(
        "io_error",
        r"\[Errno 5\] Input/output error|Input/output error \(os error 5\)|EIO\b|\[Errno 121\] Remote I/O error|"
        r": Input/output error$",
        "A disk or file system cannot be read on this node.",
        "run on another node; if every one says so, copy the model again and tell the cluster's support",
        "another_node",
        depth="worker",
    ),
    Signature(
        "file_lock_held",
        r"filelock.*Timeout|The file lock '(?P<path>[^']*)' could not be acquired",
        "Another process holds the lock {path}, or the file system gives none.",
        "wait for the other process; if there is none, remove the lock file; caches of its own for each server: env: "
        "{HF_HOME: folder, VLLM_CACHE_ROOT: folder}",
        "again",
    ),
    Signature(
        "cache_database",
        r"sqlite3\.\w+: (?:database disk image is malformed|disk I/O error|database is locked|locking protocol)",
        "A cache kept in an SQLite database is damaged or locked: mostly it lies on a network file system.",
        "remove it, and keep it on a local disk (of outlines env: {OUTLINES_CACHE_DIR: folder})",
        "permanent",
    ),
    Signature(
        "file_lock",
        r"\[Errno 37\] No locks available|flock.*(?:not supported|Function not implemented)|"
        r"\[Errno 524\]|\(os error (?:37|524)\)|LockFile error\. Aborting",
        "A file system gives no locks.",
        "put caches on one that does: env: {HF_HOME: folder, VLLM_CACHE_ROOT: folder, TRITON_CACHE_DIR: folder} below "
        "local scratch; of uv UV_CACHE_DIR, of mamba CONDA_PKGS_DIRS",
        "permanent",
    ),
)
