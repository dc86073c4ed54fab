"""Hours and SUs: the load, earlier runs, a model of throughput, and the range that follows."""
