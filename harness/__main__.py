"""How does `python -m harness` start? As `harness` does."""

import sys

from harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
