"""The life of one allocation: bring_up, ready, infer, benchmark, tear_down; how it comes back after its walltime."""
