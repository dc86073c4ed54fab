"""Slurm and Ray: where an allocation runs, how its nodes become one cluster, how it comes back after its walltime."""
