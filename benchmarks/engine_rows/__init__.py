"""The rows of benchmarks/engine.py, one file a subject."""
