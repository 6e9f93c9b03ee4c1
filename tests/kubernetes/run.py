#!/usr/bin/env python3
"""Owns: running the tests of the chart: `run.py MOORLINE_BINARY [NAMES]`. Ends with how many have passed."""

import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    os.environ["MOORLINE"] = sys.argv[1]
    sys.path.insert(0, str(HERE))
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[2:]) if sys.argv[2:] else loader.discover(str(HERE))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = {case.id().split(" ")[0] for case, _ in result.failures + result.errors}
    print(f"chart: {result.testsRun - len(failed)} passed, {len(failed)} failed")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()
