"""The regression gate: accuracy against records, speed against another revision, one verdict a cell."""
