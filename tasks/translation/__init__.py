"""Tasks that ask for the same sentence in another language."""
