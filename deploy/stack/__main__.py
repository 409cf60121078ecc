"""`python3 deploy/stack COMMAND`: works from any folder, with any Python from 3.11 on, before anything is installed."""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older python3 meets first
    sys.exit(f"deploy/stack: needs Python 3.11 or newer, this is {sys.version.split()[0]}: apt-get install python3.11")
if not __package__:
    # Started by path: Python put this folder in front; the modules are addressed from the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from deploy.stack.cli import main

sys.exit(main())
