"""How fast a kernel is at the size of a published comparison, and how exact: a task for each operation."""
