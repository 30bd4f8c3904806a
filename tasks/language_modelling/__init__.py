"""How probable a language model finds text, and whether it prefers the grammatical one."""
