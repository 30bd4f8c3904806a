"""Tasks that ask for the gist of a text."""
