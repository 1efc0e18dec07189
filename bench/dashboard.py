"""The case `dashboard`: runs dashboard_tasks.py, each part where nothing but loopback can be reached."""

import peers

PARTS = ("load", "events", "frames", "http", "sockets")


def of_all(work, folder, say):
    """The figures of every part."""
    figures = {}
    for part in PARTS:
        say(f"the dashboard: {part}")
        figures[part] = peers.measure_part("dashboard_tasks.py", part, work, folder)
        for outcome, words in (("missing", "is not measured"), ("failed", "FAILED")):
            if outcome in figures[part]:
                say(f"{part} {words}: {figures[part][outcome]}")
    return figures
