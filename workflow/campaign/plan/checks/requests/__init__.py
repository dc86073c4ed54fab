"""The requests of a campaign: what is written otherwise than meant, and what vLLM would refuse of them."""
