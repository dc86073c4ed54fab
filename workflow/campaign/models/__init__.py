"""Model folders: where the weights are, whether they are whole, and which answers they stand for."""
