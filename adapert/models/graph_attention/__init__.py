"""Graph-attention layers: parameters are those of PyTorch Geometric, a CPU has a kernel of its own."""
