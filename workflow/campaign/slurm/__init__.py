"""Slurm's programs, as functions: jobs, submissions, accounting, what an allocation asks for."""
