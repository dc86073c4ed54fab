"""Parts: a shard's answers as the user reads them."""
