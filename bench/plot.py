"""Horizontal bars as an SVG of our own: readable on light and on dark ground, with every figure written out."""

import math
from html import escape

WIDTH, LEFT, RIGHT, ROW, TITLE = 880, 250, 210, 20, 44
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .small { font-size: 11px; fill: #57606a; }
  .group { font-weight: 600; }
  .ground { fill: #ffffff; }
  .line { stroke: #d0d7de; stroke-width: 1; }
  .tail { stroke: #57606a; stroke-width: 1.5; }
  .ours { fill: #0969da; }
  .verified { fill: #8250df; }
  .other { fill: #8c959f; }
  .floor { fill: #2da44e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .ground { fill: #0d1117; }
    .line { stroke: #30363d; }
    .tail { stroke: #9198a1; }
    .ours { fill: #4493f8; }
    .verified { fill: #ab7df8; }
    .other { fill: #6e7681; }
    .floor { fill: #3fb950; }
  }"""


def written(tick):
    return f"{tick:,.0f}" if tick == int(tick) else f"{tick:g}"


class Panel:
    """A chart: groups of bars on one axis. `logarithmic` where the values differ by more than a figure or two."""

    def __init__(self, title, axis, logarithmic=True):
        self.title, self.axis, self.logarithmic, self.rows = title, axis, logarithmic, []

    def group(self, name):
        self.rows.append((name, None, "", "group", None))

    def bar(self, label, value, words, kind, tail=None):
        """`tail`: where a thin line beyond the bar ends, such as the 99th percentile."""
        if value and value > 0:
            self.rows.append((label, value, words, kind, tail))

    def height(self):
        return TITLE + ROW * len(self.rows) + 34

    def draw(self, top):
        values = [value for row in self.rows for value in (row[1], row[4]) if value]
        if self.logarithmic:
            low = 10.0 ** math.floor(math.log10(min(values)) - 0.2)
            high = 10.0 ** math.ceil(math.log10(max(values)))
            ticks = [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
        else:
            step = 10.0 ** math.floor(math.log10(max(values)))
            step = next(part for part in (step / 4, step / 2, step, step * 2) if max(values) / part <= 6)
            low, high = 0.0, step * math.ceil(max(values) / step)
            ticks = [round(step * i, 6) for i in range(round(high / step) + 1)]

        def x(value):
            part = math.log10(value / low) / math.log10(high / low) if self.logarithmic else value / high
            return LEFT + max(0.0, part) * (WIDTH - LEFT - RIGHT)

        bottom = top + TITLE + ROW * len(self.rows)
        yield f'<text class="title" x="12" y="{top + 24}">{escape(self.title)}</text>'
        for tick in ticks:
            yield f'<line class="line" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top + TITLE - 6}" y2="{bottom + 2}"/>'
            yield f'<text class="small" x="{x(tick):.1f}" y="{bottom + 15}" text-anchor="middle">{written(tick)}</text>'
        yield f'<text class="small" x="{WIDTH - 12}" y="{bottom + 15}" text-anchor="end">{escape(self.axis)}</text>'
        for i, (label, value, words, kind, tail) in enumerate(self.rows):
            y = top + TITLE + ROW * i
            if value is None:
                yield f'<text class="group" x="12" y="{y + 14}">{escape(label)}</text>'
                continue
            end = x(value)
            yield f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
            yield f'<rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{max(1.0, end - LEFT):.1f}" height="{ROW - 6}" rx="2"/>'
            if tail:
                yield f'<line class="tail" x1="{end:.1f}" x2="{x(tail):.1f}" y1="{y + ROW / 2}" y2="{y + ROW / 2}"/>'
                end = max(end, x(tail))
            yield f'<text class="small" x="{end + 6:.1f}" y="{y + 14}">{escape(words)}</text>'


def svg(panels, caption):
    """The panels, one below the other; those without bars are left out."""
    panels = [panel for panel in panels if any(row[1] for row in panel.rows)]
    height = sum(panel.height() for panel in panels) + 28
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(caption)}</title>",
        f"<style>{STYLE}\n</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
    ]
    top = 0
    for panel in panels:
        parts += panel.draw(top)
        top += panel.height()
    parts.append(f'<text class="small" x="12" y="{height - 10}">{escape(caption)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
