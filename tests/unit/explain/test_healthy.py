"""Lines that sound like failures, in logs of programs that were well: none of them raises an alarm."""

import pytest

from campaign.explain import findings, site_signatures

# As vLLM, Ray, NCCL, torch and Slurm print them when nothing is wrong.
HEALTHY = {
    "processes of other users, which hidepid closes": """\
Traceback (most recent call last):
  File "/e/site-packages/psutil/_pslinux.py", line 1650, in wrapper
    return fun(self, *args, **kwargs)
  File "/e/site-packages/psutil/_common.py", line 470, in open_binary
    return open(fname, "rb", buffering=FILE_READ_BUFFER_SIZE)
PermissionError: [Errno 13] Permission denied: '/proc/1/stat'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/e/site-packages/ray/dashboard/modules/reporter/reporter_agent.py", line 900, in _get_workers
    for child in parent.children():
psutil.AccessDenied: (pid=1, name='slurmd')
""",
    "a process of another user": """\
Traceback (most recent call last):
  File "/e/site-packages/psutil/_common.py", line 470, in open_binary
    return open(fname, "rb", buffering=FILE_READ_BUFFER_SIZE)
PermissionError: [Errno 13] Permission denied: '/proc/1/stat'
""",
    "a Ray that idles": """2026-01-01 10:00:00,123\tINFO usage_lib.py:449 -- Usage stats collection is disabled.
2026-01-01 10:00:02,000\tINFO scripts.py:913 -- Local node IP: 10.0.0.1
2026-01-01 10:00:05,000\tSUCC scripts.py:949 -- --------------------
Ray runtime started.
[2026-01-01 10:00:07,123 E 123 456] (raylet) file_system_monitor.cc:116: /tmp/ray/session_x is over 95% full, available space: 1.2 GB; capacity: 99 GB. Object creation will fail if spilling is required.
[2026-01-01 10:00:07,123 E 123 456] core_worker_process.cc:837: Failed to establish connection to the metrics exporter agent. Metrics will not be exported. Exporter agent status: RpcError: Running out of retries to initialize the metrics agent. rpc_code: 14
[2026-01-01 10:00:09,123 W 123 456] (raylet) metric_exporter.cc:105: [1] Export metrics to agent failed: RpcError: RPC Error message: failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:57001: Failed to connect to remote host: Connection refused; RPC Error details: rpc_code: 14. This won't affect Ray, but you can lose metrics from the cluster.
(autoscaler +12s) Tip: use `ray status` to view detailed cluster status.
(autoscaler +12s) Warning: The following resource request cannot be scheduled right now: {'GPU': 1.0}. This is likely due to all cluster resources being claimed by actors.
""",
    "libraries at start": """E0000 00:00:1733 1234 cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN when one has already been registered
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
2026-01-01 10:00:00.123456: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:477] Unable to register cuFFT factory: Attempting to register factory for plugin cuFFT when one has already been registered
[W1126 02:29:21.381469669 socket.cpp:755] [c10d] The client socket cannot be initialized to connect to [c3]:29500 (errno: 97 - Address family not supported by protocol).
[W1126 02:29:21.381469669 ProcessGroupNCCL.cpp:4115] [PG ID 0 PG GUID 0 Rank 0]  using GPU 0 to perform barrier as devices used by this process are currently unknown. This can potentially cause a hang if this rank to GPU mapping is incorrect.
[Gloo] Rank 0 is connected to 0 peer ranks. Expected number of connected peer ranks is : 0
""",
    "a server that was stopped": """(APIServer pid=71) INFO:     Application startup complete.
(APIServer pid=71) INFO:     10.0.0.7:1 - "POST /v1/chat/completions HTTP/1.1" 200 OK
(APIServer pid=71) INFO 10-21 09:10:31 [launcher.py:110] Shutting down FastAPI HTTP server.
[rank0]:[W1126 02:29:21.38 ProcessGroupNCCL.cpp:1538] Warning: WARNING: destroy_process_group() was not called before program exit, which can leak resources.
(EngineCore_DP0 pid=2) ERROR 10-21 09:11:47 [multiproc_executor.py:230] Worker proc VllmWorker-1 died unexpectedly, shutting down executor.
/usr/lib/python3.12/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 leaked shared_memory objects to clean up at shutdown
  warnings.warn('resource_tracker: There appear to be %d '
(APIServer pid=71) INFO:     Waiting for application shutdown.
(APIServer pid=71) INFO:     Application shutdown complete.
Traceback (most recent call last):
  File "x", line 1, in f
asyncio.exceptions.CancelledError
nanobind: leaked 2 instances!
""",
    "steps of a job": """srun: job 123 queued and waiting for resources
srun: job 123 has been allocated resources
srun: Job 123 step creation temporarily disabled, retrying (Requested nodes are busy)
srun: Step created for StepId=123.1
srun: Job step aborted: Waiting up to 32 seconds for job step to finish.
slurmstepd: error: *** STEP 123.1 ON c3 CANCELLED AT 2026-01-01T00:00:00 ***
srun: error: c3: task 0: Terminated
srun: Force Terminated StepId=123.1
Lmod has detected the following: module gcc is loaded
""",
    "sbatch": "Submitted batch job 17\n",
    "requests that were refused": """(APIServer pid=1) INFO:     Application startup complete.
(APIServer pid=1) ERROR 10-21 09:11:47 [serving_chat.py:237] Error in preprocessing prompt inputs
(APIServer pid=1) ERROR 10-21 09:11:47 [serving_chat.py:237] Traceback (most recent call last):
(APIServer pid=1) ERROR 10-21 09:11:47 [serving_chat.py:237]   File "/x/serving_chat.py", line 5, in f
(APIServer pid=1) ERROR 10-21 09:11:47 [serving_chat.py:237] ValueError: This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.
(APIServer pid=1) INFO:     10.0.0.7:1 - "POST /v1/chat/completions HTTP/1.1" 400 Bad Request
(APIServer pid=1) ERROR 10-21 09:11:48 [hermes_tool_parser.py:5] Error in extracting tool call from response.
(APIServer pid=1) ERROR 10-21 09:11:48 [hermes_tool_parser.py:5] Traceback (most recent call last):
(APIServer pid=1) ERROR 10-21 09:11:48 [hermes_tool_parser.py:5]   File "/x.py", line 5, in f
(APIServer pid=1) ERROR 10-21 09:11:48 [hermes_tool_parser.py:5] json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)
""",
    "a server that falls back": """INFO 10-21 09:10:31 [importing.py:53] Triton module has been replaced with a placeholder.
WARNING 10-21 09:10:31 [interface.py:171] Failed to import from vllm._C: ModuleNotFoundError("No module named 'vllm._C'")
ERROR 10-21 09:10:32 [fa_utils.py:57] Cannot use FA version 3 is not supported due to FA3 is only supported on devices with compute capability >= 8 excluding 8.6 and 8.9
(Worker_TP0 pid=5) WARNING 10-21 09:10:33 [custom_all_reduce.py:137] Custom allreduce is disabled because your platform lacks GPU P2P capability or P2P test failed. To silence this warning, specify disable_custom_all_reduce=True explicitly.
(Worker_TP0 pid=5) WARNING 10-21 09:10:33 [symm_mem.py:66] SymmMemCommunicator: Device capability 8.9 not supported, communicator is not available.
(Worker_TP0 pid=5) WARNING 10-21 09:10:34 [fused_moe.py:888] Using default MoE config. Performance might be sub-optimal! Config file not found at ['/x/E=64.json']
(EngineCore_DP0 pid=3) INFO 10-21 09:11:33 [shm_broadcast.py:501] No available shared memory broadcast block found in 60 seconds. This typically happens when some processes are hanging or doing some time-consuming work (e.g. compilation)
(EngineCore_DP0 pid=3) WARNING 10-21 09:11:34 [cudagraph_dispatcher.py:106] cudagraph dispatching keys are not initialized. No cudagraph will be used.
(APIServer pid=1) INFO:     Application startup complete.
""",
    "a batch that went well": """INFO 10-21 09:10:31 [llm.py:1] Loading
ERROR 10-21 09:10:32 [fa_utils.py:57] Cannot use FA version 3 is not supported due to FA3 is only supported on devices
Processed prompts: 100%|██████████| 4/4 [00:01<00:00,  3.2it/s, est. speed input: 1 toks/s]
""",
    "NCCL that falls back": """c1:1:1 [0] NCCL INFO NCCL_SOCKET_IFNAME set by environment to ib0
c1:1:1 [0] NCCL INFO NET/IB : No device found.
c1:1:1 [0] NCCL INFO NET/Plugin: Could not find: libnccl-net.so. Using internal net plugin.
c1:1:1 [0] NCCL INFO Failed to initialize NET plugin IB
c1:1:1 [0] misc/cudawrap.cc:36 NCCL WARN Cuda failure 'operation not supported'
c1:1:1 [0] NCCL INFO comm 0x5 rank 0 nranks 2 cudaDev 0 busId 1000 - Abort COMPLETE
""",
    "our supervisor": """2026-11-26 05:00:00,123 INFO engine 1 starts at http://127.0.0.1:1, log logs/x-engine-1.log
2026-11-26 05:00:10,123 INFO engine 1 is up
2026-11-26 06:00:10,123 INFO stopped: asked to stop
""",
    "Snakemake": """Assuming unrestricted shared filesystem usage.
Building DAG of jobs...
Using shell: /usr/bin/bash
3 of 3 steps (100%) done
Complete log(s): /x/.snakemake/log/2026.snakemake.log
""",
    "pip": """ERROR: pip's dependency resolver does not currently take into account all the packages that are installed. This behaviour is the source of the following dependency conflicts.
vllm 0.11.0 requires torch==2.8.0, but you have torch 2.7.0 which is incompatible.
""",
    "other programs": """Error in cpuinfo: prctl(PR_SVE_GET_VL) failed
/bin/sh: 1: nvidia-smi: not found
[transformers] `torch_dtype` is deprecated! Use `dtype` instead!
Special tokens have been added in the vocabulary, make sure the associated word embeddings are fine-tuned or trained.
Skipping import of cpp extensions due to incompatible torch version 2.9.1+cu128 for torchao version 0.15.0
(EngineCore pid=5) INFO 11-26 02:29:12 [x.py:1] Model config: error_class failed
WARNING:root:Cannot import JAX
""",
    "a step that waited for its turn, and an old Slurm's swapping": """srun: Job 23547409 step creation temporarily disabled, retrying (Requested nodes are busy)
srun: Job 23547409 step creation still disabled, retrying (Requested nodes are busy)
srun: Step created for StepId=23547409.1
slurmstepd: error: Exceeded step memory limit at some point. Step may have been partially swapped out to disk.
slurmstepd: error: task/cgroup: unable to add task[pid=123] to memory cg '(null)'
""",
    "packages on another file system": """Resolved 32 packages in 552ms
warning: Failed to hardlink files; falling back to full copy. This may lead to degraded performance.
         If the cache and target directories are on different filesystems, hardlinking may not be supported.
         If this is intentional, set `export UV_LINK_MODE=copy` or use `--link-mode=copy` to suppress this warning.
DEBUG Failed to reflink `/scratch/cache/archive-v0/x/six.py` to `/scratch/.venv/lib/python3.14/site-packages/six.py`: Resource temporarily unavailable (os error 11), falling back
""",
    "locks that mamba does without": """error    libmamba Could not set lock (Resource temporarily unavailable)
warning  libmamba Cannot lock '/home/u/.mamba/proc'
error    Could not open lockfile '/home/u/ro/pkgs/cache/mamba.lock'
warning  LockFile creation for path '/home/u/ro/pkgs/cache' failed, continuing without it
error    libmamba Could not lock non-existing path '/home/u/.mamba/pkgs'
""",
    "a container inside a container": """INFO:    underlay of /usr/bin/nvidia-smi required more than 50 (751) bind mounts
INFO:    underlay of /etc/OpenCL/vendors required more than 50 (153) bind mounts
WARNING: skipping mount of /var/apptainer/mnt/session/data-images/0/work: stat /var/apptainer/mnt/session/data-images/0/work: no such file or directory
INFO:    Cleanup error: while unmounting /var/apptainer/mnt/session/final directory: device or resource busy
INFO:    Converting SIF file to temporary sandbox...
""",
    "errors that the hardware corrected": """[1086487.613065] pcieport 0000:00:01.1: AER: Corrected error received: 0000:00:00.0
[1086487.613071] pcieport 0000:00:01.1: AER: PCIe Bus Error: severity=Corrected, type=Data Link Layer, (Receiver ID)
[May19 19:57] CMCI storm detected: switching to poll mode
[  +0.000127] mce: [Hardware Error]: Machine check events logged
[1084456.887] EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#0_DIMM#0 (channel:0 slot:0 page:0x1 offset:0x0 grain:32 syndrome:0x0)
ERROR [1514002:1514004] [[Health]] Detected a WARNING in health system Thermal: 'Detected clocks event due to thermal violation in GPU 2. Verify that the cooling on this machine is functional, including external, thermal material interface, fans, and any other components.
""",
    "layouts that srun mends itself": """srun: Warning: can't honor --ntasks-per-node set to 40 which doesn't match the requested tasks 90 with the number of requested nodes 3. Ignoring --ntasks-per-node.
srun: Warning: can't run 1 processes on 4 nodes, setting nnodes to 1
srun: Warning: can't run 6 processes on 11 nodes, setting nnodes to 6
""",
    "plugins of Slurm that are optional": """sbatch: error: spank: x11.so: Plugin file not found
Submitted batch job 238871
srun: error: plugin_load_from_file: dlopen(spanknccldebug.so): spanknccldebug.so: cannot open shared object file: No such file or directory
[2023-11-09T22:49:00.525] error: Node configuration differs from hardware: CPUs=2:4(hw) Boards=1:1(hw) SocketsPerBoard=1:1(hw) CoresPerSocket=2:2(hw) ThreadsPerCore=1:2(hw)
""",
    "a download that goes on": r"""{"timestamp":"2025-07-25T13:09:21.112501Z","level":"WARN","fields":{"message":"Reqwest(reqwest::Error { kind: Request, source: hyper_util::client::legacy::Error(Connect, ConnectError(\"tcp connect error\", 52.4.65.99:443, Os { code: 110, kind: TimedOut, message: \"Connection timed out\" })) }). Retrying..."},"filename":"/home/runner/work/xet-core/xet-core/cas_client/src/http_client.rs","line_number":242}
{"timestamp":"2025-07-25T13:09:21.112508Z","level":"WARN","fields":{"message":"Retry attempt #2. Sleeping 4.323182874s before the next attempt"}}
Error while downloading from https://huggingface.co/a/b/resolve/6d05/model-00003-of-00020.gguf: The read operation timed out
Trying to resume download...
""",
    "a Snakemake that guesses and waits": """localrules directive specifies rules that are not present in the Snakefile:
No SLURM account given, trying to guess.
Unable to guess SLURM account. Trying to proceed without.
You are running snakemake in a SLURM job context. This is not recommended, as it may lead to unexpected behavior. If possible, please run Snakemake directly on the login node.
Waiting at most 60 seconds for missing files.
Finished job 3.
""",
    "jobs that wait": """             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)
   2145_[4-190%2]   compute   EP_108      opc PD       0:00     10 (JobArrayTaskLimit)
           8724937         gpu_titanrtx                sleep  u PENDING     0:00      5:00      1     689129  2022-02-01T18:32:40   (ReqNodeNotAvail, May be reserved for other job)
           8724938         gpu  sleep  u PD  0:00  1 (ReqNodeNotAvail, UnavailableNodes:)
           8724939         gpu  sleep  u PD  0:00  1 (Priority)
           8724940         gpu  sleep  u PD  0:00  1 (Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions)
""",
    "a site that tells where a job goes": """salloc: lua: Submitted to partition gpu, as none was given
salloc: Granted job allocation 4711
""",
    "a grammar that a request left": """(APIServer pid=1) INFO:     Application startup complete.
(EngineCore_0 pid=2) ERROR 08-08 02:53:13 [backend_xgrammar.py:160] Failed to advance FSM for request resp_2 for tokens 410. Please file an issue.
(EngineCore_0 pid=2) ERROR 08-08 02:53:13 [scheduler.py:900] Unexpected: grammar rejected tokens [4754] for request x. Terminating request.
(APIServer pid=1) INFO:     127.0.0.1:34650 - "POST /v1/chat/completions HTTP/1.1" 200 OK
""",
    "a message that was cut off": """(APIServer pid=1) ERROR 08-06 23:25:57 [serving_chat.py:1001] Error in chat completion stream generator.
(APIServer pid=1) ERROR 08-06 23:25:57 [serving_chat.py:1001] Traceback (most recent call last):
(APIServer pid=1) ERROR 08-06 23:25:57 [serving_chat.py:1001]   File "/e/openai_harmony/__init__.py", line 627, in process
(APIServer pid=1) ERROR 08-06 23:25:57 [serving_chat.py:1001] openai_harmony.HarmonyError: unexpected tokens remaining in message header: ["commentary"]
(APIServer pid=1) INFO:     127.0.0.1:34650 - "POST /v1/chat/completions HTTP/1.1" 200 OK
""",
    "a parser without marks": """(APIServer pid=347690) WARNING 07-22 01:25:59 [vllm.py:1486] Auto-initialization of reasoning token IDs failed. Please check whether your reasoning parser has implemented the `reasoning_start_str` and `reasoning_end_str`.
""",
    "weights that are loaded anew": """WARNING 04-24 01:50:53 [layerwise.py:230] MMEncoderAttention: Failed to load weights
""",
    "images that may be too many": """WARNING 03-31 16:53:06 [model_runner.py:1296] Computed max_num_seqs (min(64, 16384 // 32768)) to be less than 1. Setting it to the minimum value of 1.
WARNING 03-31 16:53:11 [profiling.py:222] The sequence length used for profiling (max_num_batched_tokens / max_num_seqs = 16384) is too short to hold the multi-modal embeddings in the worst case (32768 tokens in total). This may cause certain multi-modal inputs to fail during inference, even when the input text is short.
""",
    "a cache without its manager": """(EngineCore_DP0 pid=251) WARNING 03-04 12:47:30 [kv_cache_utils.py:1170] Hybrid KV cache manager is disabled for this hybrid model, This means we do not enable any optimizations for saving KV cache memory (e.g., dropping the KV cache outside the sliding window).
""",
    "tokenizers that were forked": """huggingface/tokenizers: The current process just got forked, after parallelism has already been used. Disabling parallelism to avoid deadlocks...
To disable this warning, you can either:
	- Avoid using `tokenizers` before the fork if possible
	- Explicitly set the environment variable TOKENIZERS_PARALLELISM=(true | false)
""",
    "kernels that are not taken": """(Worker_TP0 pid=46) DEBUG 05-08 11:11:02 [oracle/nvfp4.py:283] NvFp4 MoE backend 'FLASHINFER_TRTLLM' does not support the deployment configuration since kernel does not support current device cuda.
(Worker_TP0 pid=46) INFO 05-08 11:11:02 [nvfp4.py:280] Using 'FLASHINFER_CUTLASS' NvFp4 MoE backend out of potential backends: ['FLASHINFER_TRTLLM', 'FLASHINFER_CUTEDSL']
""",
    "a tokenizer with another pattern": """(EngineCore_DP0 pid=141) The tokenizer you are loading from '/models/GLM' with an incorrect regex pattern: https://huggingface.co/x. This will lead to incorrect tokenization. You should set the `fix_mistral_regex=True` flag when loading this tokenizer to fix this issue.
""",
    "variables nobody knows": """(APIServer pid=8707) WARNING 08-19 18:30:11 [envs.py:2128] Unknown vLLM environment variable detected: VLLM_MODEL
(APIServer pid=8707) Warning: You are sending unauthenticated requests to the HF Hub. Please set a HF_TOKEN to enable higher rate limits and faster downloads.
""",
    "graphs that are captured": """(VllmWorkerProcess pid=507) INFO 04-12 08:22:02 [model_runner.py:1456] Capturing cudagraphs for decoding. This may lead to unexpected consequences if the model is not static. To run the model in eager mode, set 'enforce_eager=True' or use '--enforce-eager' in the CLI. If out-of-memory error occurs during cudagraph capture, consider decreasing `gpu_memory_utilization` or switching to eager mode.
""",
    "RCCL on a node without iommu=pt": """g1064:11143:11143 [0] /long/src/init.cpp:120 NCCL WARN Missing "amd_iommu=on" from kernel command line which can lead to system instablity or hang!
node [0] NCCL INFO NET/IB : No device found.
node [0] NCCL INFO NET/Plugin: Could not find: libnccl-net.so.
""",
    "experts without data parallelism": """WARNING 08-16 18:11:53 [config.py:440] MoE DP setup unable to determine quantization scheme or unsupported quantization type. This model will not run with DP enabled.
(EngineCore_0 pid=1) INFO 08-16 [x.py:1] Using ExllamaLinearKernel for CompressedTensorsWNA16
""",
    "InfiniBand without ECE": """a:1639:1915 [0] NCCL INFO Call to ibv_set_ece failed with error Operation not supported errno 95
""",
    "torch without NCCL": """/e/torch/distributed/distributed_c10d.py:613: UserWarning: Attempted to get default timeout for nccl backend, but NCCL support is not compiled
  warnings.warn("Attempted to get default timeout for nccl backend, but NCCL support is not compiled")
""",
    "a store that was closed": """[W523 21:36:39.228028808 TCPStore.cpp:125] [c10d] recvValue failed on SocketImpl(fd=77, addr=[localhost]:39258, remote=[localhost]:38371): failed to recv, got 0 bytes
""",
    "Triton without a driver": """WARNING 10-21 09:10:31 [importing.py:53] Triton is installed but 0 active driver(s) found (expected 1). Disabling Triton to prevent runtime errors.
""",
    "kernels of Triton that are not there": """ERROR 04-01 11:21:57 [config.py:29] Failed to import Triton kernels. Please make sure your triton version is compatible. Error: No module named 'triton_kernels.matmul_ogs'
ERROR 04-01 11:21:57 [gpt_oss_triton_kernels_moe.py:61] Failed to import Triton kernels. Please make sure your triton version is compatible. Error: No module named 'triton_kernels.swiglu'
""",
    "a scheduler that steps back": """WARNING 04-01 [vllm.py:1] Async scheduling is not compatible with prefix caching for Mamba models and will be disabled.
""",
    "platforms that are looked for": """DEBUG 03-31 16:14:34 [__init__.py:76] Exception happens when checking CUDA platform: NVML Shared Library Not Found
DEBUG 03-31 16:14:34 [__init__.py:114] ROCm platform is not available because: No module named 'amdsmi'
""",
    "NVLink errors that are not fatal": """[81.5] NVRM: Xid (PCI:0018:01:00): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409a0c2 0x00000008)
""",
    "a switch that recovered": """nvidia-nvswitch1: SXid (PCI:0000:aa:00.0): 22013, Non-fatal, Link 44 AN1 Heartbeat Timeout Error
""",
    "a model in another format": """ERROR 07-18 10:29:03 [config.py:130] Error retrieving safetensors: 'mistralai/Voxtral-Mini-3B-2507' is not a safetensors repo. Couldn't find 'model.safetensors.index.json' or 'model.safetensors' files., retrying 1 of 2
ERROR 07-18 10:29:06 [config.py:128] Error retrieving safetensors: 'mistralai/Voxtral-Mini-3B-2507' is not a safetensors repo. Couldn't find 'model.safetensors.index.json' or 'model.safetensors' files.
INFO 07-18 10:29:06 [config.py:3368] Downcasting torch.float32 to torch.bfloat16.
""",
    "a GGUF file that is no name of the hub": """ERROR 08-21 08:11:49 [config.py:131] Error retrieving safetensors: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/small.Q4_K_M.gguf'. Use `repo_type` argument if needed.
INFO 08-21 08:11:49 [config.py:3440] Downcasting torch.float32 to torch.bfloat16.
""",
    "workers that are ended with their batch": """Processed prompts: 100%|██████████| 1/1 [00:01<00:00,  1.2s/it]
INFO 07-04 23:23:23 multiproc_worker_utils.py:123] Killing local vLLM worker processes
ERROR 07-04 23:23:23 multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 3283517 died, exit code: -15
""",
    "extensions that are not loaded": """WARNING[XFORMERS]: xFormers can't load C++/CUDA extensions. xFormers was built for:
    PyTorch 2.1.1+cu121 with CUDA 1201 (you have 2.3.0.dev20240123+rocm5.7)
    Python  3.10.13 (you have 3.10.13)
  Please reinstall xformers (see https://github.com/facebookresearch/xformers#installing-xformers)
  Memory-efficient attention, SwiGLU, sparse and more won't be available.
""",
    "a matrix library that is not taken": """/e/vllm/model_executor/layers/linear.py:135: UserWarning: Attempting to use hipBLASLt on an unsupported architecture! Overriding blas backend to hipblas (Triggered internally at ../aten/src/ATen/Context.cpp:296.)
  return F.linear(x, layer.weight, bias)
""",
    "an attention kernel that is not taken": """(VllmWorkerProcess pid=530898) INFO 10-10 11:12:03 selector.py:227] Cannot use FlashAttention-2 backend for FP8 KV cache.
(VllmWorkerProcess pid=530898) WARNING 10-10 11:12:03 selector.py:229] Please use FlashInfer backend with FP8 KV Cache for better performance by setting environment variable  VLLM_ATTENTION_BACKEND=FLASHINFER
""",
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_log_raises_no_alarm(name: str) -> None:
    assert findings(HEALTHY[name], site_signatures()) == []
