"""`python -P -m trainer`: see `trainer.main`. `-P` keeps a `trainer.py` in the working folder from taking this one's place."""

from __future__ import annotations

import sys

from trainer.main import main

if __name__ == "__main__":
    sys.exit(main())
