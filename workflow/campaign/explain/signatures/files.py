"""Model files, the hub, tokenizers, disks and file systems."""

from campaign.explain.signature import Signature

FILES = (
    Signature(
        "proxy",
        r"ProxyError|Tunnel connection failed|407 Proxy Authentication Required",
        "A proxy stands in the way, and does not let the connection through.",
        "correct http_proxy and https_proxy, or take them out of the environment; env: {no_proxy: '*'} for what stays inside",
        "permanent",
    ),
    Signature(
        "hub_gated",
        r"GatedRepoError|Access to model .* is restricted|gated repo|"
        r"awaiting a review from the repo authors|Cannot access gated repo",
        "The model is gated: the hub wants a token of a user who accepted its licence.",
        "accept the licence on the model's page and set HF_TOKEN, or stage the model by hand",
        "permanent",
    ),
    Signature(
        "hub_unauthorized",
        r"401 Client Error.*(?:huggingface|hf\.co)",
        "The hub does not show this model without a right: it is gated or private, it does not exist, or the token is "
        "not valid.",
        "check the name in models.<name>.source; accept the licence on the model's page and set HF_TOKEN; or stage the "
        "model by hand",
        "permanent",
        role="symptom",
    ),
    Signature(
        "hub_token",
        r"Invalid (?:user )?token|token .* (?:is )?(?:invalid|expired)|401 Unauthorized.*huggingface\.co|"
        r"Invalid credentials in Authorization header",
        "The hub refuses the token.",
        "make a new one on huggingface.co/settings/tokens and set HF_TOKEN",
        "permanent",
        inside=r"huggingface_hub|transformers|hub",
    ),
    Signature(
        "no_model_folder",
        r"(?P<path>/[^\s'`]+)['`]? is not a local folder and is not a valid model identifier|"
        r"Repo id must[^\n]*: '(?P<other>/[^']+)'",
        "There is no folder {path}{other} on this node, or it has no config.json, so it was taken for a name of the hub.",
        "correct models.<name>.source, or put the model where every compute node sees it",
        "permanent",
    ),
    Signature(
        "hub_no_such_model",
        r"RepositoryNotFoundError|is not a local folder and is not a valid model identifier|RevisionNotFoundError|"
        r"is not a valid git identifier|Revision Not Found",
        "The hub knows no such model or revision (or shows it only to those who may see it).",
        "correct models.<name>.source and revision; a private model needs HF_TOKEN",
        "permanent",
    ),
    Signature(
        "hub_rate_limit",
        r"429 Client Error.*(?:huggingface|hf\.co)|Too Many Requests for url: https://huggingface|rate limit.*huggingface",
        "The hub limits the number of requests.",
        "set HF_TOKEN, and wait some minutes; a staged model asks nothing of the hub",
        "again",
    ),
    Signature(
        "tls_certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "The certificate of the other side is not trusted here: mostly a proxy of the site stands between and signs with "
        "its own.",
        "name the site's certificates: env: {SSL_CERT_FILE: file, REQUESTS_CA_BUNDLE: file}; or stage the model by hand",
        "permanent",
    ),
    Signature(
        "hub_unavailable",
        r"5\d\d Server Error.*(?:huggingface|hf\.co)|(?:huggingface|hf\.co).*Read timed out",
        "The model hub (or the way to it) did not answer in time.",
        "start again later; a staged model asks nothing of the hub",
        "again",
    ),
    Signature(
        "hub_offline",
        r"outgoing traffic has been disabled|LocalEntryNotFoundError|OfflineModeIsEnabled|"
        r"(?:couldn't|could not|can't) connect to 'https://huggingface|HF_HUB_OFFLINE=1|"
        r"Cannot find the requested files in the (?:disk|local) cache|Cannot reach https://huggingface|"
        r"(?:Max retries exceeded|Name or service not known|Temporary failure in name resolution|"
        r"Network is unreachable).*huggingface|"
        r"huggingface\.co.*(?:Max retries exceeded|Name or service not known|Network is unreachable)",
        "The server wanted to download from the model hub, which it may not (or cannot) while it is billed.",
        "stage the whole model first, tokenizer, chat template and draft model included, and name its folder in `source`",
        "permanent",
    ),
    Signature(
        "tiktoken_download",
        r"openaipublic\.blob\.core\.windows\.net|HarmonyError: error downloading or loading vocab file|"
        r"tiktoken.*(?:download|Connection)",
        "The tokenizer's vocabulary is downloaded at start (tiktoken, openai-harmony), and there is no way out from here.",
        "download o200k_base.tiktoken and cl100k_base.tiktoken once into a folder and name it: "
        "env: {TIKTOKEN_ENCODINGS_BASE: folder, TIKTOKEN_RS_CACHE_DIR: folder}",
        "permanent",
    ),
    Signature(
        "no_weights_of_format",
        r"Cannot find any (?:safetensors )?(?:model )?weights with",
        "The model's folder holds no weights in the format that is read: none at all, or others than load-format allows "
        "(only .bin, .pt or GGUF files, say).",
        "leave load-format out (auto) or convert the weights; else copy or download the model again: `source` must name "
        "the folder with all *.safetensors that its index lists",
        "permanent",
    ),
    Signature(
        "no_weights",
        r"No such file or directory.*(?:\.safetensors|pytorch_model[\w.-]*\.bin)\b|"
        r"does not appear to have (?:a file|files) named .*(?:pytorch_model|model\.safetensors|\.safetensors|\.bin)|"
        r"no file named (?:pytorch_model\.bin|model\.safetensors)|Weight files referenced in index but missing|"
        r"Could not find checkpoint files|No \.?safetensors",
        "The model's folder lacks weight files, all or some.",
        "copy or download the model again; `source` must name the folder with all *.safetensors that its index lists",
        "permanent",
    ),
    Signature(
        "no_model_config",
        r"Invalid repository ID or local directory specified|does not appear to have a file named config\.json|"
        r"Should have a `model_type` key|Unrecognized model in|Can't load the configuration of|"
        r"can't load the configuration|HFValidationError: Repo id must|Repo id must (?:be in the form|use alphanumeric)|"
        r"Incorrect path_or_model_id|FileNotFoundError.*config\.json",
        "The model's folder has no usable config.json, or there is no such folder.",
        "`source` must name a Hugging Face model folder: config.json, tokenizer and *.safetensors",
        "permanent",
    ),
    Signature(
        "broken_weights",
        r"SafetensorError(?!: Error while serializing)|HeaderTooLarge|MetadataIncompleteBuffer|InvalidHeaderDeserialization|"
        r"Error while deserializing header|PytorchStreamReader failed|invalid load key, '|"
        r"unexpected EOF, expected \d+ more bytes|"
        r"[Ff]ile is not a zip file|storage has wrong byte size|incomplete metadata, file not fully covered",
        "A weight file is cut off or broken, or only a git-lfs pointer.",
        "copy or download the model again (git lfs pull); check that the disk was not full: campaign stages whole files only",
        "permanent",
        depth="worker",
    ),
    Signature(
        "mmap_not_there",
        r"No such device \(os error 19\)",
        "The file system of the weights does not let files be mapped into memory (mmap), which some network and FUSE "
        "mounts do not.",
        "weights on a file system that does (local disk, Lustre, NFS), or read instead of mapped: vllm: "
        "{safetensors-load-strategy: eager}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "weights_of_mistral",
        r"KeyError: '(?:layers\.\d+\.(?:attention\.w[qkvo]|feed_forward|attention_norm|ffn_norm)|"
        r"tok_embeddings)[\w.]*'",
        "The weights carry Mistral's (or Meta's) own names: a consolidated.safetensors beside Hugging Face's files is "
        "read too, or alone.",
        "take consolidated*.safetensors out of the folder where model-*.safetensors stand beside it; else vllm: "
        "{load-format: mistral, config-format: mistral, tokenizer-mode: mistral}",
        "permanent",
        depth="worker",
    ),
    Signature(
        "weights_of_bitsandbytes",
        r"KeyError: '[\w.]+\.(?:absmax|nested_absmax|quant_map|nested_quant_map|quant_state[\w.]*)'",
        "The weights are quantized by bitsandbytes, and they are loaded as if they were not.",
        "vllm: {load-format: bitsandbytes} and quantization: bitsandbytes, or plain weights; an older vLLM takes no such "
        "weights for some models",
        "permanent",
        depth="worker",
    ),
    Signature(
        "weights_do_not_fit_model",
        r"There is no module or parameter named|Following weights were not initialized from checkpoint|"
        r"Attempted to load weight .* into parameter|size mismatch for |KeyError: '(?:model|transformer|language_model|"
        r"lm_head|layers|visual|vision)[\w.]*'|"
        r"Missing key\(s\) in state_dict|Missing keys .* in loaded state|param_data\.shape == loaded_weight\.shape|"
        r"loaded_weight\.shape|Unexpected key\(s\) in state_dict",
        "The weights are not those this vLLM's model expects: another version, another quantization, or an adapter.",
        "use a vLLM that knows this model (the model's page says from which version on); `source` must be the whole model, "
        "not a "
        "LoRA adapter, and `quantization` what the weights say",
        "permanent",
        depth="worker",
    ),
    Signature(
        "weights_shape",
        r"^(?:AssertionError|KeyError|IndexError|RuntimeError: (?:The size of tensor|The expanded size|shape|start \()|"
        r"ValueError: .*shape|AttributeError: .*(?:weight_loader|has no attribute 'data'))",
        "A weight has not the shape or name that vLLM's layer expects.",
        "use a vLLM that knows this model; leave `quantization` out; try tensor_parallel: 1 to see whether the split is at "
        "fault",
        "permanent",
        inside=r"weight_loader|load_weights",
    ),
    Signature(
        "broken_model_config",
        r"It looks like the config file at .* is not a valid JSON file|json\.decoder\.JSONDecodeError",
        "A JSON file of the model is broken.",
        "copy or download the model again",
        "permanent",
        inside=r"config|tokeniz|transformers|^$",
    ),
    Signature(
        "trust_remote_code",
        r"[Pp]lease pass the argument `?trust_remote_code=True`?|contains custom code which must be executed|"
        r"set the option `trust_remote_code=True`|"
        r"requires you to execute the configuration file|loading .* requires .*trust_remote_code",
        "The model brings Python code of its own, which is not run unless it is allowed.",
        "read it; then vllm: {trust-remote-code: true}",
        "permanent",
    ),
    Signature(
        "tokenizer_dependency",
        r"requires? the (?:SentencePiece|sentencepiece|protobuf|tiktoken|blobfile) library|(?:SentencePiece|"
        r"Tiktoken).* failed, if a converter|"
        r"Converting from (?:SentencePiece|Tiktoken)|`?(?:tiktoken|sentencepiece|blobfile|mistral.common)`? is (?:required|"
        r"not installed)|"
        r"No module named '(?:sentencepiece|tiktoken|blobfile|mistral_common)'|You need to install sentencepiece",
        "The model's tokenizer cannot be read: a tokenizer file or the package for it is missing.",
        "copy tokenizer.json, tokenizer.model and tokenizer_config.json of the model; install sentencepiece, tiktoken and "
        "protobuf in the engine's environment",
        "permanent",
    ),
    Signature(
        "mistral_tokenizer",
        r"'Mistral(?:Common)?Tokenizer(?:Backend)?' object has no attribute|[Tt]okenizer.mode.{0,20}mistral|tekken\.json",
        "Mistral's own tokenizer was chosen (or is missing), and the model's files are in the other format.",
        "vllm: {tokenizer-mode: mistral, config-format: mistral, load-format: mistral} for Mistral's own files "
        "(tekken.json, params.json), "
        "none of the three for Hugging Face's",
        "permanent",
    ),
    Signature(
        "mistral_tokenizer_missing",
        r"Make sure that a Mistral tokenizer is present|Found 0 files matching the pattern: .*tekken",
        "vllm: {tokenizer-mode: mistral} wants the tokenizer's file in Mistral's format, and the model has none.",
        "leave tokenizer-mode out (it then takes Hugging Face's files), or fetch tekken.json or tokenizer.model.v3 as well",
        "permanent",
    ),
    Signature(
        "tokenizer_too_new",
        r"data did not match any variant of untagged enum|Tokenizer class \w+ does not exist or is not currently imported|"
        r"'?TokenizersBackend'?|has no attribute 'all_special_tokens_extended'|"
        r"(?:Tokenizer|tokenizer).{0,40}has no attribute",
        "The tokenizer was written by another version of transformers than the engine's environment has.",
        "use the transformers version the model's page names (a newer one for new models, transformers<5 for old vLLM), or "
        "copy "
        "the tokenizer files of the original model",
        "permanent",
    ),
    Signature(
        "tokenizer_config_newer",
        r"'list' object has no attribute 'keys'|unhashable type: 'dict'|KeyError: 'extra_special_tokens'",
        "The tokenizer's config was written by another version of transformers than the engine's environment has.",
        "use the transformers version the model's page names, or copy tokenizer_config.json of the original model",
        "permanent",
        inside=r"tokeniz",
    ),
    Signature(
        "no_tokenizer",
        r"Can't load tokenizer for|is the correct path to a directory containing all relevant files for a \w*Tokenizer|"
        r"Couldn't instantiate the backend tokenizer|Error loading tokenizer|No tokenizer file found in|"
        r"not a string$|TypeError: not a string|Found no tokenizer|stat: path should be string.*NoneType",
        "The model's folder has no usable tokenizer.",
        "copy the tokenizer files of the model it was made from into the folder, or name them: vllm: {tokenizer: folder}",
        "permanent",
        inside=r"token|^$",
    ),
    Signature(
        "no_processor",
        r"Can't load (?:image processor|feature extractor|processor) for|preprocessor_config\.json|"
        r"Unrecognized (?:image )?processor in",
        "The model's folder lacks the files of its image or audio processor.",
        "copy preprocessor_config.json and processor_config.json of the original model; text alone: "
        "vllm: {limit-mm-per-prompt: '{\"image\": 0}'}",
        "permanent",
    ),
    Signature(
        "processor_failed",
        r"Failed to apply \w*Processor on data|Failed to load \w*[Pp]rocessor",
        "The model's image or audio processor does not work with this version of transformers, or with its own files.",
        "the transformers version the model's page names; for text alone vllm: {limit-mm-per-prompt: '{\"image\": 0}'}",
        "permanent",
        role="symptom",
    ),
    Signature(
        "no_chat_template",
        r"default chat template is no longer allowed|chat template.*(?:is not set|not found|must provide)|"
        r"does not have a default chat template|tokenizer\.chat_template is not set|"
        r"looks like a file path, but it failed to be opened|"
        r"supplied chat template .* (?:is a|looks like)",
        "The model has no chat template (it is a base model), or the named file cannot be read.",
        "use endpoint: completions in the dataset, or give one: vllm: {chat-template: file.jinja}",
        "permanent",
    ),
    Signature(
        "gguf",
        r"GGUF (?:model with architecture|file).*not supported|gguf.*(?:not supported|Unknown|unknown)|"
        r"No module named 'gguf'|"
        r"Cannot find the config file for gguf",
        "vLLM cannot serve this GGUF file.",
        "use the model's safetensors weights, or a quantization of them (awq, gptq, fp8)",
        "permanent",
    ),
    Signature(
        "triton_cache_permission",
        r"Permission denied: '(?P<path>[^']*(?:\.triton|triton)[^']*)'",
        "Triton's kernel cache {path} cannot be written by this user.",
        "name a folder of your own: env: {TRITON_CACHE_DIR: folder}; or mend the folder's owner",
        "permanent",
    ),
    Signature(
        "temporary_folder_of_other",
        r"Permission denied: '(?P<path>[^']*/tvm-debug-mode-tempdirs[^']*)'",
        "The folder {path} belongs to another user of this node: the program (TVM, TileLang) uses one name for all.",
        "env: {TMPDIR: folder of your own}, a short path on a local disk; or run on another node",
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
        "disk_full",
        r"^(?!.*inotify).*No space left on device|Disk quota exceeded|\[Errno 122\]|StorageFull|QuotaExceeded|"
        r"not enough disk space|"
        r"Insufficient disk space",
        "A disk or quota is full.",
        "free some space; df -h shows where; caches: env: {VLLM_CACHE_ROOT: folder}",
        "permanent",
        depth="worker",
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
        r"\[Errno 5\] Input/output error|Input/output error \(os error 5\)|EIO\b|\[Errno 121\] Remote I/O error",
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
        "file_lock",
        r"\[Errno 37\] No locks available|flock.*(?:not supported|Function not implemented)|"
        r"\[Errno 524\]",
        "A file system gives no locks.",
        "put caches on one that does: env: {HF_HOME: folder, VLLM_CACHE_ROOT: folder, TRITON_CACHE_DIR: folder} below "
        "local scratch",
        "permanent",
    ),
    Signature(
        "hub_download_interrupted",
        r"Consistency check failed: file should be of size|IncompleteRead\(|ChunkedEncodingError|Connection broken: |"
        r"File reconstruction error|CAS (?:service )?error|cas-server|hf_xet.*[Ee]rror|hf_transfer.*[Ee]rror",
        "The download of the model broke off: the connection, a proxy, or the hub's storage service.",
        "start again, it goes on where it was; as a test HF_HUB_DISABLE_XET=1",
        "again",
    ),
)
