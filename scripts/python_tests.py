"""Runs the unittest files below some folders and writes their counts.

usage: python_tests.py COUNTS_FILE FOLDER...     the file gets "PASSED FAILED SKIPPED"
"""

import pathlib
import sys
import unittest


def main() -> int:
    counts, folders = sys.argv[1], sys.argv[2:]
    passed = failed = skipped = 0
    for folder in sorted({path.parent for top in folders for path in pathlib.Path(top).rglob("test_*.py")}):
        if "node_modules" in folder.parts:
            continue
        suite = unittest.TestLoader().discover(str(folder), top_level_dir=str(folder))
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
        bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
        failed += bad
        skipped += len(result.skipped)
        passed += max(0, result.testsRun - bad - len(result.skipped))
    pathlib.Path(counts).write_text(f"{passed} {failed} {skipped}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
