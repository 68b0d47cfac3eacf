"""`python -m sweep.mirror`."""

import sys

from sweep.mirror.process import main

sys.exit(main())
