"""What Snakemake's main process does: the DAG's questions, the start and end of a run, jobs handed to Slurm."""
