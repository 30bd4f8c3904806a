"""Dilated causal convolution with a streaming state."""
