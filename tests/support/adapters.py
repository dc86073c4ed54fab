"""LoRA adapters made by hand: random matrices beside the projections of queries and values."""

import json
import random
import struct
from pathlib import Path
from typing import Any

LAYERS, HIDDEN, VALUES = 30, 576, 192  # of SmolLM2-135M


def make_adapter(folder: Path, seed: int = 0, rank: int = 4, size: float = 0.5, **settings: Any) -> Path:
    """An adapter of SmolLM2-135M as PEFT saves it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": rank,
        "lora_alpha": 4 * rank,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
        **settings,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    draw, tensors, data = random.Random(seed), {}, b""
    for layer in range(LAYERS):
        for name, width in (("q_proj", HIDDEN), ("v_proj", VALUES)):
            for side, shape in (("A", (rank, HIDDEN)), ("B", (width, rank))):
                values = [draw.gauss(0, size / 10) for _ in range(shape[0] * shape[1])]
                key = f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_{side}.weight"
                added = struct.pack(f"<{len(values)}f", *values)
                tensors[key] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(added)]}
                data += added
    header = json.dumps(tensors).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    return folder
