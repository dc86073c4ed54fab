"""Questions to Slurm, vLLM, the engine and the load, once a model has a place."""
