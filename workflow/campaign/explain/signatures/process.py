"""Processes that ended, and those that tell of others: shown when nothing better is known."""

from campaign.explain.signature import Signature

PROCESS = (
    Signature(
        "nccl_shared_allocation",
        r"Segfault encountered|[Ss]egmentation fault|\*\*\* SIGSEGV",
        "NCCL crashed while it allocated memory that GPUs share (cuMem): this driver, or the container, does not serve it.",
        "env: {NCCL_CUMEM_ENABLE: 0, NCCL_CUMEM_HOST_ENABLE: 0}; a newer driver; another NCCL (make engine)",
        "again",
        inside=r"ncclCuMem|in cuMemCreate\b",
        depth="worker",
    ),
    Signature(
        "segmentation_fault",
        r"[Ss]egmentation fault|SIGSEGV|Segfault encountered|signal 11\b|exitcode: -11\b|"
        r"[Ff]ailed core proc\(s\): \{[^}]*: -11\b",
        "A process crashed (segmentation fault) in compiled code: libraries that do not fit each other, or a fault of a "
        "kernel or driver.",
        "the frames below the line tell whose code it was; make the engine's environment again (make engine), a newer vLLM; "
        "leave the node out if it happens on one only",
        "again",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "aborted",
        r"Fatal Python error: Aborted|SIGABRT|terminate called (?:after throwing|without)|free\(\): invalid|malloc\(\): |"
        r"double free or corruption|"
        r"corrupted (?:size|double-linked)|pure virtual method|stack smashing|munmap_chunk|realloc\(\): |signal 6\b",
        "A process ended itself (abort) in compiled code; what it said stands beside this line.",
        "the frames below the line tell whose code it was; make engine, a newer vLLM",
        "again",
        role="death",
        depth="worker",
    ),
    Signature(
        "killed",
        r"exit code: -9\b|exitcode:? ?-9|died with <Signals\.SIGKILL|SIGKILL|^Killed$|\bKilled +\S*python|"
        r"line \d+: +\d+ Killed\b|signal: Killed|"
        r"signal 9\b|returned non-zero exit status 137|"
        r"Exited with exit code 137|[Ff]ailed core proc\(s\): \{[^}]*: -9\b",
        "A process was killed from outside (SIGKILL): most often by the system because the host's memory was used up.",
        "sacct -j JOB -o JobID,State,MaxRSS and dmesg tell whether it was the memory; then ask for more "
        "(placement.mem_per_node)",
        "again",
        role="death",
        depth="worker",
    ),
    Signature(
        "spawn_without_guard",
        r"An attempt has been made to start a new process before the\s+current process has finished its bootstrapping",
        'The program that starts vLLM runs anew in each worker, because it lacks `if __name__ == "__main__":`.',
        "put its code below that line; or VLLM_WORKER_MULTIPROC_METHOD=fork, or vllm serve in its place",
        "permanent",
        depth="worker",
    ),
    Signature(
        "recursion",
        r"RecursionError|maximum recursion depth exceeded|Stack overflow",
        "A function called itself without an end: a fault of the model's or a package's code.",
        "the vLLM and transformers versions the model's page names; make engine",
        "permanent",
    ),
    Signature(
        "engine_start_timeout",
        r"Timed out waiting for engines? (?:core|process|to send)|[Dd]id not receive .* ready message|"
        r"Engine process failed to start|"
        r"did not (?:respond|become ready) (?:within|in)|HELLO message|Timeout.*(?:engine|startup).*ready|"
        r"VLLM_ENGINE_READY_TIMEOUT",
        "The engine's process was not ready in time, and does not say why: it still loaded or compiled, or it hangs.",
        "loading from a slow file system takes long: env: {VLLM_ENGINE_READY_TIMEOUT_S: 3600}; start again",
        "again",
        role="symptom",
    ),
    Signature(
        "gdn_kernel",
        r"RPC call to \w+ timed out|^TimeoutError$",
        "A worker did not answer in time. FlashInfer's kernel for gated delta networks, which this model uses here, is "
        "known to hang.",
        "vllm: {gdn-prefill-backend: triton}, or a newer vLLM and FlashInfer; if it stays, look which worker went silent",
        "permanent",
        role="symptom",
        beside=r"Using FlashInfer GDN prefill kernel",
    ),
    Signature(
        "worker_silent",
        r"^TimeoutError$",
        "A worker did not answer in time: it hangs in a kernel or a collective operation, died, or a first compilation "
        "took long.",
        "look which worker went silent, and for a GPU at 100 % (nvidia-smi); start again; env: "
        "{VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS: 1800}",
        "again",
        role="symptom",
        inside=r"shm_broadcast\.py|multiproc_executor\.py",
    ),
    Signature(
        "rpc_timeout",
        r"RPC call to (?P<method>\w+) timed out|execute_model timed out|TimeoutError: .*(?:execute_model|sample_tokens)|"
        r"VLLM_EXECUTE_MODEL_TIMEOUT|AsyncEngineDeadError: .*[Tt]imed? ?out|Engine iteration timed out",
        "A worker did not answer in time: it hangs in a kernel or a collective operation, died, or the first compilation "
        "took long.",
        "look which worker went silent, and for a GPU at 100 % (nvidia-smi); start again; env: "
        "{VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS: 1800}; "
        "as a test vllm: {disable-custom-all-reduce: true, enforce-eager: true}",
        "again",
        role="symptom",
    ),
    Signature(
        "worker_failed_with",
        r"Worker failed with error [\"'](?P<words>[^\n]+?)[\"'], please check",
        "A worker ended with an exception: {words}.",
        "read its traceback above this line; as tests vllm: {enforce-eager: true} and another attention backend; a newer vLLM",
        "again",
        role="death",
        depth="worker",
    ),
    Signature(
        "torchrun_child",
        r"ChildFailedError|failed \(exitcode: (?P<code>\d+)\) local_rank: \d+",
        "A process that torchrun had started ended with an error of its own.",
        "read the exception above this line, or in that rank's own log",
        "again",
        role="echo",
    ),
    Signature(
        "worker_died",
        r"Worker(?: proc)? \S+(?: pid \d+)? died(?!, exit code: -15)|VllmWorker\S* .*died(?!, exit code: -15)|"
        r"died unexpectedly|Engine process \(pid \d+\) died|"
        r"ChildProcessError: worker died|"
        r"Worker \w+ terminated|"
        r"One of the worker processes|WorkerProc was terminated",
        "A worker process died without a word of its own.",
        "the lines before it, and sacct or dmesg of its node (memory used up?); start again",
        "again",
        role="death",
    ),
    Signature(
        "worker_init_failed",
        r"WorkerProc (?:initialization )?failed|Worker failed with error|Executor failed|"
        r"Ray workers have not started successfully|Worker \d+ failed to initialize|"
        r"Exception in worker|Error executing method",
        "A worker could not start or do its work; its own exception says why.",
        "read the worker's exception above this line",
        "again",
        role="echo",
    ),
    Signature(
        "disconnected",
        r"^(?!.*[Cc]onnection aborted).*ConnectionResetError|ConnectionRefusedError|BrokenPipeError|EOFError$|"
        r"Connection lost|ServerDisconnected|"
        r"BrokenProcessPool|"
        r"resource_tracker|leaked (?:semaphore|shared_memory)|Exception in thread|ConnectionAbortedError",
        "A process lost its connection to another one, which had ended.",
        "read what the other one said before",
        "again",
        role="echo",
    ),
    Signature(
        "engine_core_died",
        r"EngineDeadError|Engine core (?:proc|initialization).*(?:died|failed)|EngineCore (?:encountered|failed|hit)|"
        r"Engine (?:loop|process).*(?:died|failed|not running|already dead)|AsyncEngineDeadError|MQEngineDeadError|"
        r"MQLLMEngine is already dead|"
        r"Background loop (?:has errored|is stopped|did not)|Got fatal signal from worker|See (?:root cause|"
        r"stack trace).*(?:above|below)|"
        r"Application startup failed|Failed core proc",
        "The engine's core process died; the lines above it say why.",
        "read the log above this line",
        "again",
        role="echo",
    ),
)
