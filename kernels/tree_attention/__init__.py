"""Softmax attention under a mask: causal, window, chunk, global, tree; rows of different lengths."""
