"""seqharness: run any registered task against any registered model and decoder, and believe the numbers."""
