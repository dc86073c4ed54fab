"""What a model needs of a GPU's memory: its files and config.json, weights, KV cache."""
