"""Files of a model that are missing, broken or not for this vLLM."""

from campaign.explain.signature import Signature

MODEL_FILES = (
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
        r"can't load the configuration|HFValidationError: Repo id must|"
        r"^(?!Error retrieving ).*Repo id must (?:be in the form|use alphanumeric)|"
        r"Incorrect path_or_model_id|FileNotFoundError.*config\.json",
        "The model's folder has no usable config.json, or there is no such folder.",
        "`source` must name a Hugging Face model folder: config.json, tokenizer and *.safetensors; a folder with "
        "adapter_config.json goes into models.<name>.adapters, and a GGUF file wants vllm: {hf-config-path: folder}",
        "permanent",
    ),
    Signature(
        "broken_weights",
        r"SafetensorError(?!:\s+Error while serializing)|HeaderTooLarge|MetadataIncompleteBuffer|"
        r"InvalidHeaderDeserialization|"
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
        "no_score_head",
        r"not initialized from checkpoint: \{[^}]*\b(?:score|classifier)\.weight",
        "The weights have no head for scores: the model is a text model that answers with words (yes, no), or was not "
        "trained to score.",
        "the hf-overrides that the model's page names; of Qwen3-Reranker vllm: {hf-overrides: '{\"architectures\": "
        '["Qwen3ForSequenceClassification"], "classifier_from_token": ["no", "yes"], '
        '"is_original_qwen3_reranker": true}\'}',
        "permanent",
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
        "draft_weights",
        r"^(?:AssertionError|KeyError|IndexError|RuntimeError: (?:The size of tensor|The expanded size|shape|start \()|"
        r"ValueError: .*shape|AttributeError: .*(?:weight_loader|has no attribute 'data'))",
        "A weight of the draft model (speculative decoding) has not the shape or name that vLLM's layer expects.",
        "leave speculative-config out, or name a draft model made for this model and this vLLM",
        "permanent",
        inside=r"spec_decode/(?s:.*)(?:weight_loader|load_weights)",
    ),
    Signature(
        "weights_shape",
        r"^(?:AssertionError|KeyError|IndexError|RuntimeError: (?:The size of tensor|The expanded size|shape|start \()|"
        r"ValueError: .*shape|AttributeError: .*(?:weight_loader|has no attribute 'data'))",
        "A weight has not the shape or name that vLLM's layer expects.",
        "use a vLLM that knows this model; leave `quantization` out; try tensor_parallel: 1 to see whether the split is at "
        "fault",
        "permanent",
        inside=r"weight_loader|load_weights|in _assert_and_load\b",
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
        r"Converting from (?:SentencePiece|Tiktoken)|Cannot instantiate this tokenizer from a slow version|"
        r"Failed to load the tokenizer\.|`?(?:tiktoken|sentencepiece|blobfile|mistral.common)`? is (?:required|"
        r"not installed)|"
        r"No module named '(?:sentencepiece|tiktoken|blobfile|mistral_common)'|You need to install sentencepiece",
        "The model's tokenizer cannot be read: a tokenizer file or the package for it is missing.",
        "copy tokenizer.json, tokenizer.model and tokenizer_config.json of the model; install sentencepiece, tiktoken and "
        "protobuf in the engine's environment",
        "permanent",
    ),
    Signature(
        "mistral_config_missing",
        r"^(?:AssertionError|ValueError|OSError|FileNotFoundError)\b",
        "vllm: {config-format: mistral} wants params.json, the config in Mistral's format, and the model has none.",
        "leave config-format, tokenizer-mode and load-format out (they then take Hugging Face's files), or fetch "
        "Mistral's own files",
        "permanent",
        inside=r"in load_params_config",
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
        r"'?TokenizersBackend'?|has no attribute 'all_special_tokens_extended'|Non-consecutive added token|"
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
        "multimodal_cache",
        r"Expected a cached item for mm_hash",
        "The caches of images and sounds in vLLM's server and in its engine disagree: a fault of vLLM with many such requests "
        "at once.",
        "vllm: {mm-processor-cache-gb: 0} does without the cache; or a newer vLLM",
        "permanent",
        depth="worker",
    ),
    Signature(
        "multimodal_tokens",
        r"Attempted to assign .*multimodal tokens to \d+ placeholders|prompt placeholders corresponding to \d+ \w+ items?",
        "The tokens of an image, video or sound do not match their places in the prompt: its chat template or the prompt "
        "has other placeholders, or the processor is of another version.",
        "the model's own chat template, no placeholder tokens in the prompt's text, the transformers version the model's "
        "page names; a newer vLLM",
        "permanent",
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
        r"Unknown gguf model_type|[Ff]ailed to map GGUF parameters|"
        r"GGUF (?:model with architecture|file).*not supported|gguf.*(?:not supported|Unknown|unknown)|"
        r"No module named 'gguf'|"
        r"Cannot find the config file for gguf",
        "vLLM cannot serve this GGUF file.",
        "use the model's safetensors weights, or a quantization of them (awq, gptq, fp8)",
        "permanent",
    ),
)
