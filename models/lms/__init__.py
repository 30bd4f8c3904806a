"""Language-model adapters and the one runtime that drives them."""
