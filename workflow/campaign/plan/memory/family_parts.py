"""What some families of models have beside attention and MLPs of one width: further embeddings, further matrices. Pure."""

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]

ENCODERS = frozenset({"bert", "roberta", "xlm-roberta"})  # with a table of positions

# Parameters of the towers for pictures and sound that are loaded with Gemma 3n: what its files hold (5.44 and 7.85 billion for
# E2B and E4B) less the language model.
_GEMMA_3N_TOWERS = 0.98e9


# What published config.json files of these families leave out, since it is the default of their class (transformers 5.19,
# configuration_gemma3.py): gemma-3-4b-it names neither heads nor vocabulary.
_LEFT_OUT: dict[str, dict[str, Any]] = {
    "gemma3_text": {
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
}


def completed(config: Config) -> Config:
    """A config with what its family's class has by default."""
    if config.get("model_type") == "falcon":
        return {**_of_falcon(config), **config}
    if config.get("model_type") == "nemotron-nas":
        return {**config, **_of_nemotron_nas(config)}
    return {**_LEFT_OUT.get(str(config.get("model_type")), {}), **config}


def _of_falcon(config: Config) -> dict[str, Any]:
    """Falcon's own words (configuration_falcon.py): KV heads of its newer form, one for all in the older; a wide MLP."""
    heads = int(config["num_attention_heads"])
    shared = 1 if config.get("multi_query", True) else heads
    return {
        "intermediate_size": int(config.get("ffn_hidden_size") or 4 * int(config["hidden_size"])),
        "num_key_value_heads": int(config.get("num_kv_heads") or heads) if config.get("new_decoder_architecture") else shared,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    }


def _of_nemotron_nas(config: Config) -> dict[str, Any]:
    """Each layer as a search found it (vLLM 0.32, nemotron_nas.py): the width of its MLP, and whether it attends (mixers)."""
    hidden, blocks = int(config["hidden_size"]), config["block_configs"]
    shared = max(int(block["attention"].get("n_heads_in_group") or 0) for block in blocks)
    return {
        "num_key_value_heads": int(config["num_attention_heads"]) // shared,
        "intermediate_size": [_searched_width(block["ffn"], hidden) for block in blocks],
    }


def _searched_width(part: Config, hidden: int) -> int:
    if part.get("no_op"):
        return 0
    width = part.get("intermediate_size")
    return int(width) if width else -(-int(2 * float(part["ffn_mult"]) * hidden / 3) // 256) * 256


def widest(width: Any) -> int:
    """The largest of widths that may be one for each layer."""
    return max(map(int, width)) if isinstance(width, list) else int(width or 0)


def dense_width(config: Config, number: int) -> int:
    """Width of the MLP of a layer without experts."""
    kind = config.get("model_type")
    if kind == "granitemoehybrid":
        return int(config["shared_intermediate_size"])
    width = config.get("intermediate_size_mlp") or config["intermediate_size"]
    if isinstance(width, list):
        return int(width[number])
    if kind == "lfm2" and config.get("block_auto_adjust_ff_dim", True):
        step = int(config.get("block_multiple_of") or 256)
        adjusted = int(float(config.get("block_ffn_dim_multiplier") or 1) * int(2 * int(width) / 3))
        return -(-adjusted // step) * step
    return int(width)


def beside_embedding(config: Config) -> int:
    """Parameters that are loaded with the embedding and belong to no layer."""
    kind, hidden = str(config.get("model_type", "")), int(config["hidden_size"])
    if kind in ENCODERS:  # positions, kinds of token, the pooler with its bias, and the bias of the norm
        return hidden * (int(config.get("max_position_embeddings") or 0) + int(config.get("type_vocab_size") or 0) + hidden + 2)
    if not kind.startswith("gemma3n"):
        return 0
    layered = int(config["num_hidden_layers"]) * int(config["hidden_size_per_layer_input"])
    altup = 2 * (int(config["altup_num_inputs"]) - 1) * hidden * hidden
    towers = int(_GEMMA_3N_TOWERS) if config.get("vision_config") else 0
    return layered * (int(config["vocab_size_per_layer_input"]) + hidden) + altup + towers


def beside_layer(config: Config) -> int:
    """Parameters of a layer beside attention, MLP and the usual norms."""
    if config.get("model_type") in ENCODERS:  # biases of four projections, the MLP and the norms
        return 7 * int(config["hidden_size"]) + int(config["intermediate_size"])
    if not str(config.get("model_type", "")).startswith("gemma3n"):
        return 0
    hidden, inputs = int(config["hidden_size"]), int(config["altup_num_inputs"])
    altup = inputs * hidden + inputs**3 + inputs**2 + 2 * hidden
    laurel = 2 * hidden * int(config["laurel_rank"]) + hidden
    return altup + laurel + 2 * hidden * int(config["hidden_size_per_layer_input"]) + hidden


def tower(config: Config) -> int:
    """Parameters of the tower for pictures and of what joins it to the language model (SigLIP, CLIP, Pixtral, Qwen-VL)."""
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping) or str(config.get("model_type", "")).startswith("gemma3n"):
        return 0
    width = int(vision.get("embed_dim") or vision.get("hidden_size") or 0)
    layers = int(vision.get("num_hidden_layers") or vision.get("depth") or 0)
    inner = int(vision.get("intermediate_size") or width * float(vision.get("mlp_ratio") or 4))
    patch, image = int(vision.get("patch_size") or 14), vision.get("image_size")
    matrices = 3 if vision.get("model_type") in ("pixtral", "qwen2_5_vl") else 2
    layer = 4 * width * (width + 1) + matrices * width * inner + inner + width + 4 * width  # biases and two norms with them
    positions = (int(image) // patch) ** 2 * width if isinstance(image, int) else 0
    return layers * layer + 3 * patch * patch * width + positions + 3 * width + width * int(config["hidden_size"])
