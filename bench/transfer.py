"""The case `transfer`: runs transfer_tasks.py, each part where nothing but loopback and its own links can be reached."""

import peers

PARTS = ("loopback", "transports", "small", "refresh", "large", "holders", "delay")


def of_all(work, folder, say):
    """The figures of every part."""
    figures = {}
    for part in PARTS:
        say(f"files from one to another: {part}")
        figures[part] = peers.measure_part("transfer_tasks.py", part, work, folder)
        for outcome, words in (("missing", "is not measured"), ("failed", "FAILED")):
            if outcome in figures[part]:
                say(f"{part} {words}: {figures[part][outcome]}")
    return figures
