"""The cluster as a plan needs to know it: partitions, GPUs, QoS, billing; read live, with a dated table behind it."""
