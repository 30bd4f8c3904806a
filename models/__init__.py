"""Sequence models, language models, decoders and their adapters: one registered method a file."""
