"""Ray over the nodes of one allocation: it starts, watches and ends the agents that make one cluster of them."""
