"""`python -m openaffect` is the command line."""

import sys

from openaffect.cli import main

if __name__ == "__main__":
    sys.exit(main())
