"""Tasks that ask a model to repeat what stood in its context."""
