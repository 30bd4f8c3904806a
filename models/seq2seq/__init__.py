"""Encoder-decoder models trained here by the one loop in harness.models._training."""
