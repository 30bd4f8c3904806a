"""Prompts for measuring decoders: speed, acceptance and, where there is one, the right answer."""
