"""What test_source.py carries from another module."""

TABLE = {"a": 1}


def helper(key):
    return TABLE[key] + 1
