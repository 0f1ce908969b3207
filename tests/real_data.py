"""Where the real data lie, beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("STRIATE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
CASES = DATA.parent / "cases"  # small inputs that failed for users of other tools
