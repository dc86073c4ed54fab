"""Quantized weights and the kernels for them."""

from campaign.explain.signature import Signature

QUANTIZATION = (
    Signature(
        "quantization_split",
        r"is not divisible by min_thread_[nk]|is not divisible by tile_[nk]_size|not aligned with the quantized weight shape|"
        r"(?:output|input)_size(?:_per_partition)? ?[=:]? ?\d+ is not divisible by|weight quantization block_[nk]|"
        r"Group size \(\d+\) must evenly divide|divisible by (?:group_size|packed_factor|weight quantization block)|"
        r"intermediate_size_per_partition .* (?:not|must be) divisible|per tensor-parallel partition|"
        r"size_k must (?:be )?divisible by BLOCK_SIZE_K|Marlin not supported for this layer|(?:qweight|"
        r"scales?).{0,60}not divisible|in_features .* divisible|group_size.{0,60}(?:not divisible|must divide)",
        "A layer of the quantized weights does not fit the groups or tiles of their kernel: tensor_parallel cuts it "
        "in the middle, "
        "or, with tensor_parallel 1, the layer itself has such a width.",
        "lower tensor_parallel (and raise pipeline_parallel), or use weights quantized otherwise",
        "permanent",
        depth="worker",
    ),
    Signature(
        "quantization_deprecated",
        r"quantization method (?P<method>\S+) is deprecated and will be removed",
        "This vLLM takes the quantization {method} only when it is told to: it will be removed.",
        "vllm: {allow-deprecated-quantization: true}, or weights quantized otherwise",
        "permanent",
    ),
    Signature(
        "quantization_mismatch",
        r"Quantization method specified in the model config .* does not match|The quantization method .* does not match",
        "The weights are quantized otherwise than `quantization` says.",
        "leave `quantization` out: vLLM reads it from the weights",
        "permanent",
    ),
    Signature(
        "quantization_gpu_too_old",
        r"quantization method .* is not supported for the current GPU|"
        r"Quantization scheme is not supported for|"
        r"Min(?:imum)? capability: \d+\.?\W+Current capability: \d+|Marlin.{0,60}(?:not supported|only support|"
        r"requires).{0,60}(?:GPU|capability|SM)|"
        r"fp8.{0,40}(?:requires|only supported|not supported).{0,60}(?:capability|GPU|device|platform)|"
        r"(?:MXFP4|NVFP4|FP4|FP8|Int8).{0,40}(?:not supported|requires|only).{0,60}(?:capability|SM|sm_|GPU|device|"
        r"Blackwell|Hopper|platform)|"
        r"torch\._scaled_mm is only supported on",
        "This GPU has no kernel for the weights' quantization.",
        "use weights quantized otherwise (gptq and awq run from Turing on, fp8 wants Ada or Hopper, fp4 Blackwell), or "
        "another GPU",
        "permanent",
    ),
    Signature(
        "no_expert_kernel",
        r"No (?P<kind>\w+) MoE backend supports the deployment",
        "No kernel for quantized experts ({kind}) takes this model here: the GPU is too old, or the split over GPUs "
        "gives it a shape it does not take.",
        "another tensor_parallel, leave enable-expert-parallel out; weights quantized otherwise, or a newer GPU",
        "permanent",
        depth="worker",
    ),
    Signature(
        "bitsandbytes_missing",
        r"[Pp]lease install bitsandbytes|No module named 'bitsandbytes'|bitsandbytes.{0,60}(?:not (?:found|installed|"
        r"compiled)|requires|is required)",
        "The package bitsandbytes, which these weights need, is missing or does not fit.",
        "install bitsandbytes in the engine's environment, or use weights quantized otherwise",
        "permanent",
    ),
    Signature(
        "quantization_package",
        r"(?:amd-quark|compressed.tensors|auto.?gptq|gptqmodel|autoawq|torchao|hqq|nvidia-modelopt|aqlm|optimum|"
        r"fbgemm_gpu)\S*.{0,40}(?:is required|required to|not installed|not found|version)|"
        r"[Pp]lease (?:install|use|update) (?:amd-quark|compressed.tensors|auto.?gptq|gptqmodel|autoawq|torchao|hqq|"
        r"nvidia-modelopt|aqlm)|"
        r"No module named '(?:quark|auto_gptq|gptqmodel|awq|torchao|hqq|modelopt|aqlm|compressed_tensors)'",
        "A package that the weights' quantization needs is missing in the engine's environment, or has another version.",
        "install it there in the version the message names, or use weights quantized otherwise",
        "permanent",
    ),
    Signature(
        "no_quantization_config",
        r"Cannot find the config file for (?P<method>\w+)|Model quantization method is not specified in the config|"
        r"Cannot find any of .* in the model's quantization config|Found multiple config files for",
        "`quantization` is set, but the weights are not quantized that way: they bring no configuration of it, or several.",
        "leave `quantization` out, or name weights that are quantized (fp8 works on plain weights)",
        "permanent",
    ),
    Signature(
        "marlin_kernel",
        r"^(?!.*has no attribute).*(?:marlin_gemm|Invalid thread config)|"
        r"^(?!.*has no attribute).*marlin.{0,60}(?:failed|error|invalid)",
        "The Marlin kernel does not take the shape of these weights.",
        "lower tensor_parallel; quantization: gptq or awq takes the slower kernel; or weights quantized otherwise",
        "permanent",
        depth="worker",
    ),
    Signature(
        "cutlass_kernel",
        r"cutlass.{0,80}(?:[Ee]rror Internal|not supported|misaligned|invalid)|Error Internal.*cutlass|"
        r"^(?!.*has no attribute).*cutlass_scaled_mm|Expected \w+\.dtype\(\) == torch::k\w+ to be true|"
        r"CUTLASS.{0,40}[Ee]rror|grouped_gemm.{0,40}(?:fail|error)",
        "A matrix kernel (CUTLASS) does not run with these shapes on this GPU.",
        "a vLLM built for this GPU; env: {VLLM_DISABLED_KERNELS: CutlassFP8ScaledMMLinearKernel} or weights quantized "
        "otherwise",
        "permanent",
        depth="worker",
    ),
    Signature(
        "deep_gemm",
        r"(?:DeepGEMM|deep_gemm|DeepGemm|deepgemm).{0,100}(?:not|fail|miss|unavail|[Ee]rror|[Aa]ssert|requires)|"
        r"(?:No module named|[Aa]ssertion error|cannot import).{0,100}(?:deep_gemm|deepgemm|DeepGEMM)",
        "DeepGEMM, the kernel for block-quantized fp8 weights, is missing here or does not run.",
        "env: {VLLM_USE_DEEP_GEMM: 0} does without it; or install it for this CUDA; it compiles at start and needs nvcc",
        "permanent",
        depth="worker",
    ),
    Signature(
        "deep_gemm_failed",
        r"^(?:RuntimeError|AssertionError|ValueError|TypeError)\b.*",
        "DeepGEMM, the kernel for block-quantized fp8 weights, does not run with this model on this GPU.",
        "env: {VLLM_USE_DEEP_GEMM: 0} does without it; or the version of DeepGEMM that this vLLM wants",
        "permanent",
        inside=r"deep_gemm",
        role="symptom",
        depth="worker",
    ),
    Signature(
        "quantization_split_experts",
        r"^AssertionError\b",
        "The experts' quantized weights do not fit the groups or tiles of their kernel: tensor_parallel cuts a group in the "
        "middle.",
        "lower tensor_parallel (and raise pipeline_parallel), or use weights quantized otherwise",
        "permanent",
        inside=r"check_moe_marlin_supports_(?:config|layer)",
        depth="worker",
    ),
    Signature(
        "quantization_failed",
        r"^(?P<words>(?:KeyError|ValueError|AssertionError|NotImplementedError|AttributeError|RuntimeError)\b.*)",
        "vLLM's code for these quantized weights ends with an exception: {words}",
        "the vLLM version the model's page names, weights quantized otherwise, or tensor_parallel: 1 to see whether the "
        "split is at fault",
        "permanent",
        inside=r"layers/quantization/",
        role="symptom",
    ),
    Signature(
        "quantization_unsupported",
        r"quantization method .* is not supported|Unknown quantization method|Invalid quantization method|"
        r"Unsupported quantization|"
        r"Unsupported (?:num_bits|FusedMoe scheme|activation scheme|weight_bits)|no longer supports online quantization|"
        r"No compressed-tensors compatible scheme was found|Sparsity support has been removed|"
        r"Unsupported quantization config|Detected some but not all shards of .* are quantized|"
        r"Found different quantization schemes for the shards|actorder=|does not support BitsAndBytes|"
        r"BitAndBytes quantization with .* not supported|'\w+Linear' object has no attribute 'weight'|"
        r"only supports? .* quantization",
        "This vLLM cannot run the weights' quantization.",
        "leave `quantization` out, or use weights quantized otherwise, or the vLLM version the model's page names",
        "permanent",
    ),
)
