"""What vLLM's own check of its flags and of the model says no to."""

from campaign.explain.signature import Signature

CONFIG = (
    Signature(
        "flag_value",
        r"[Ee]rror: argument --(?!dtype)(?P<flag>[\w.-]+)[^:]*: (?P<what>(?:invalid|expected|"
        r"Value .* cannot be converted|\d+ validation errors? for ).*)",
        "vLLM does not take this value of its flag {flag}: {what}.",
        "correct `{flag}` in `models.<name>.vllm`",
        "permanent",
    ),
    Signature(
        "unknown_flag",
        r"error: unrecognized arguments: ?(?P<flags>.*)|error: (?:ambiguous option|"
        r"the following arguments are required)|unexpected keyword argument '\w+'(?=[\s\S]*EngineArgs)|No such option|"
        r"EngineArgs(?:\.__init__)?\(\) got an unexpected keyword argument",
        "vLLM does not know a flag of `models.<name>.vllm`, or not with this value.",
        "correct it: .venv-engine/bin/python -m vllm.entrypoints.openai.api_server --help=all lists all flags",
        "permanent",
    ),
    Signature(
        "context_too_long",
        r"User-specified max_model_len .* is greater than the derived max_model_len|max_model_len .* is greater than",
        "max_model_len is longer than the model's own context.",
        "lower max_model_len, or leave it out",
        "permanent",
    ),
    Signature(
        "experts_not_divisible",
        r"(?:n_(?:physical|routed)_experts|num_experts|"
        r"[Nn]umber of experts)\D{0,20}(?P<experts>\d*).{0,40}divisible by \w+ ?=? ?(?P<ranks>\d*)",
        "The model's experts ({experts}) cannot be split evenly over the ranks ({ranks}).",
        "a tensor_parallel (times data_parallel) that divides them (2, 4, 8 ...), or leave enable-expert-parallel out",
        "permanent",
        depth="worker",
    ),
    Signature(
        "experts_uneven",
        r"EPLB local expert capacity mismatch",
        "This engine splits a model's experts over the ranks only evenly, and their number here does not divide them.",
        "a tensor_parallel (times data_parallel) that divides the experts (2, 4, 8 ...), or leave enable-expert-parallel out",
        "permanent",
        depth="worker",
    ),
    Signature(
        "heads_not_divisible",
        r"must be divisible by tensor parallel size|not divisible by (?:the )?(?:tensor.parallel|tp.size|TP)|"
        r"attention heads .* divisible|heads? .*(?:not|must be) divisible by|"
        r"is not divisible by \d+$|assert (?:self\.)?total_num_(?:kv_)?heads % |\b\d+ is not divisible by \d+",
        "tensor_parallel does not divide a dimension of the model (attention heads, vocabulary, a layer's width).",
        "choose a tensor_parallel that does (1, 2, 4 ...), and put the other GPUs into pipeline_parallel",
        "permanent",
    ),
    Signature(
        "pipeline_unsupported",
        r"Pipeline parallelism is not supported for this model|does not support pipeline parallel|"
        r"Sampler.*pipeline parallel|"
        r"pipeline.parallel.*(?:not supported|unsupported)",
        "The model cannot be split into pipeline stages.",
        "pipeline_parallel: 1 and a larger tensor_parallel",
        "permanent",
    ),
    Signature(
        "too_few_gpus",
        r"World size \(\d+\) is larger than the number of available GPUs|invalid device ordinal|"
        r"[Tt]ensor parallel size \(\d+\) cannot be larger than the number of available GPUs|"
        r"Tensor parallel size .* exceeds|device >= 0 && device < num_gpus|DP adjusted local rank \d+ is out of bounds|"
        r"is out of range for .* devices visible",
        "The model is split over more GPUs than this node shows.",
        "tensor_parallel x pipeline_parallel = nodes x gpus_per_node, and placement.gpus_per_node what a node has; "
        "do not set CUDA_VISIBLE_DEVICES",
        "permanent",
    ),
    Signature(
        "dtype_mixed",
        r"expected (?:mat1 and mat2|m1 and m2|scalar type).*(?:Half|BFloat16|Float)",
        "Two parts of the model are in different dtypes: the dtype that is set is not the one its weights or their "
        "quantization are made for.",
        "leave dtype out (auto), or set the one of the model's config.json; a newer vLLM",
        "permanent",
    ),
    Signature(
        "dtype_unsupported",
        r"Bfloat16 is only supported on GPUs with compute capability|torch\.bfloat16.*is not supported|"
        r"(?:The model type|dtype) .* does not support|Unknown dtype|error: argument --dtype|does not support float16|"
        r"torch\.float(?:16|32) is not supported for quantization|not implemented for '(?:Half|BFloat16)'",
        "The device, the model or its quantization cannot compute in this dtype.",
        "set dtype: float16 (older GPUs) or dtype: bfloat16 (CPU, Gemma, most quantized models)",
        "permanent",
    ),
    Signature(
        "transformers_too_new",
        r"is already used by a Transformers config, pick another name",
        "transformers is newer than this vLLM: it has a model's config by now that vLLM brings itself.",
        "a newer vLLM, or an older transformers (the version this vLLM asks for): make engine",
        "permanent",
    ),
    Signature(
        "transformers_too_old",
        r"but Transformers does not recognize this architecture|"
        r"Transformers version .* (?:is required|or (?:later|higher))|"
        r"requires transformers ?[><=]|transformers.{0,30}(?:is too old|upgrade)",
        "The transformers package in the engine's environment does not know the model: it is older than it, or the "
        "model brings its "
        "own code.",
        "upgrade transformers (or vllm) in the engine's environment; for a model with its own code vllm: "
        "{trust-remote-code: true}",
        "permanent",
    ),
    Signature(
        "no_architectures",
        r"No model architectures are specified",
        "The model's config.json names no architecture: the folder holds no whole model (a tokenizer, a codec, an adapter, a "
        "part of one), or its config.json is incomplete.",
        "`source`: the folder or repository that holds the model itself; where its page says so, vllm: {hf-overrides: "
        '\'{"architectures": ["NAME"]}\'}',
        "permanent",
    ),
    Signature(
        "inspect_failed",
        r"Model architectures? \[?.*\]? failed to be inspected",
        "The model's code in vLLM cannot be imported (a package is missing or another version); the lines above say which.",
        "make the engine's environment again: make engine; look at the ImportError above it",
        "permanent",
        role="symptom",
    ),
    Signature(
        "remote_code_module",
        r"No module named 'transformers_modules",
        "The model's own Python code (trust-remote-code), which transformers copies into a folder, is not found by "
        "another process or node.",
        "a folder that all nodes see: env: {HF_MODULES_CACHE: folder}; the model folder's name without dots; a newer vLLM",
        "permanent",
    ),
    Signature(
        "remote_code_version",
        r"^(?P<words>(?:ImportError: cannot import name|AttributeError: (?!'(?:NoneType|\w*Config)' object)).*)",
        "The model's own Python code (trust-remote-code) was written for another version of transformers or vLLM: {words}",
        "leave trust-remote-code out where vLLM knows the model by itself; else the versions that the model's page names, in "
        "the engine's environment",
        "permanent",
        inside=r"transformers_modules/|in _finalize_model_loading\b",
    ),
    Signature(
        "remote_code_pickle",
        r"PicklingError: Can't pickle <class 'transformers_modules",
        "The model's own Python code (trust-remote-code) cannot be handed to the processes of several GPUs.",
        "a newer vLLM, or tensor_parallel: 1 and pipeline_parallel: 1",
        "permanent",
    ),
    Signature(
        "unsupported_architecture",
        r"Model architectures? \[?.*\]? (?:are|is) not supported|is not supported for now\. Supported architectures|"
        r"Cannot find model module|Unknown (?:\w+|\{modality\}) model type: |"
        r"has no vLLM implementation and the Transformers implementation is not compatible|"
        r"TransformersForCausalLM.*not (?:compatible|supported)",
        "This vLLM does not know the model's architecture.",
        "use a newer vLLM in the engine's environment, or another model",
        "permanent",
    ),
    Signature(
        "wrong_runner",
        r"does not support `--runner|Model .* does not support any (?:pooling|generation) tasks|does not support (?:task|"
        r"the Embeddings|Completions|Chat)|"
        r"`--task \w+` is not supported|This model does not support '\w+' task|does not support the '\w+' task|"
        r"Unsupported task|object has no attribute 'pooler'",
        "The model is not made for this kind of question (generation against embedding or score).",
        "for embeddings vllm: {runner: pooling} and the matching endpoint; for text a generative model",
        "permanent",
    ),
    Signature(
        "rope_scaling",
        r"rope_scaling.*(?:must|should|KeyError|invalid)|Unknown RoPE scaling type|KeyError: 'rope_(?:type|scaling|theta|"
        r"parameters)'|"
        r"KeyError: '(?:factor|original_max_position_embeddings)'|`?rope_parameters`?",
        "The position encoding in the model's config.json is not one this vLLM or transformers knows.",
        "use the vLLM and transformers versions the model's page names; correct hf-overrides if the config sets one",
        "permanent",
    ),
    Signature(
        "rope_scaling_read",
        r"^(?:AssertionError|KeyError|TypeError)\b.*",
        "vLLM does not find what it expects in the position encoding of the model's config.json: vLLM, transformers and "
        "the model do not fit each other.",
        "use the vLLM and transformers versions the model's page names; correct hf-overrides if the config sets one",
        "permanent",
        inside=r"in get_rope\b|_get_and_verify_max_len|in rope_scaling\b|rope_(?:scaling|parameters)\[|patch_rope|"
        r"rope_scaling_validation",
        role="symptom",
    ),
    Signature(
        "model_config_attribute",
        r"AttributeError: '(?P<config>\w*Config)' object has no attribute '(?P<attribute>\w+)'",
        "vLLM wants {attribute} of the model's config.json ({config}), which is not there: vLLM, transformers and the "
        "model do not fit.",
        "use the vLLM and transformers versions the model's page names; trust-remote-code where it brings its own code",
        "permanent",
    ),
)

# Of any of its checks, so they stand behind those that have a name (features.py has more).
CONFIG_REFUSED = (
    Signature(
        "model_config_json",
        r"validation errors? for \w*Config\b[\s\S]*?Value error, (?:Expecting|Extra data|Unterminated|Invalid control)",
        "A JSON file of the model (config.json, preprocessor_config.json, params.json ...) is empty or broken.",
        "copy or download the model again",
        "permanent",
    ),
    Signature(
        "config_refused",
        r"validation errors? for \w*(?:Config|Args)\b[\s\S]*?Value error, (?P<words>(?!Model architectures)[^\n\[]+)",
        "vLLM refuses its configuration: {words}",
        "correct the key it names in models.<name> (max_model_len, tensor_parallel, quantization, dtype, or a flag below vllm)",
        "permanent",
    ),
    Signature(
        "config_type",
        r"validation errors? for \w*(?:Config|Args)\b[\s\S]*?\n(?P<words>[^\n]*\n[^\n\[]*)",
        "vLLM refuses its configuration: {words}",
        "correct the key it names in models.<name>, or the flag below vllm",
        "permanent",
    ),
)
