"""Where a model can run: shapes, the limits of a cluster, and what its submission refuses."""
