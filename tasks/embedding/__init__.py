"""Tasks that judge sentence vectors: similarity of pairs, and what a linear classifier can read from them."""
