"""Decoding methods: one file each, driving any TokenModel."""
