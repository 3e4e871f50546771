"""Charts as SVG, without a library: figures that a browser shows and a person can read in a diff.

`bars` and `lines` each make a chart; `page` puts charts below each other.
"""

import html
import math

COLOURS = ("#2f6f4f", "#7f9fbf", "#bf9f5f", "#bf7f7f", "#8f7fbf", "#7f7f7f", "#3f9f9f")
WIDTH, LEFT, RIGHT, BAR, GAP = 860, 250, 90, 16, 18
PLOT_LEFT, PLOT_HEIGHT = 90, 240


def text(x, y, content, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(str(content))}</text>'


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def head(title, names):
    """The headline, and what the colours stand for; the height of both."""
    shapes = [text(10, 22, title, ' font-size="15" font-weight="bold"')]
    for at, name in enumerate(names):
        y = 34 + 18 * at
        shapes.append(f'<rect x="10" y="{y}" width="12" height="12" fill="{COLOURS[at % len(COLOURS)]}"/>')
        shapes.append(text(28, y + 11, name))
    return shapes, 40 + 18 * len(names)


def powers(values):
    """The powers of ten around values above 0."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)


def bars(title, names, groups):
    """Horizontal bars on a logarithmic axis: `groups` are (label, {name: value}), values above 0."""
    low, high = powers([value for _, figures in groups for value in figures.values()])
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    shapes, top = head(title, names)
    height = top + len(groups) * (BAR * len(names) + GAP) + 30
    for power in range(low, high + 1):
        x = LEFT + (power - low) * scale
        shapes.append(line(x, top, x, height - 25))
        shapes.append(text(x, height - 8, f"{10.0**power:g}", ' text-anchor="middle"'))
    y = top + GAP / 2
    for label, figures in groups:
        shapes.append(text(LEFT - 8, y + BAR * len(names) / 2 + 4, label, ' text-anchor="end"'))
        for at, name in enumerate(names):
            length = max((math.log10(figures[name]) - low) * scale, 1)
            colour = COLOURS[at % len(COLOURS)]
            shapes.append(f'<rect x="{LEFT}" y="{y:.1f}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            shapes.append(text(LEFT + length + 4, y + BAR - 4, f"{figures[name]:.3g}"))
            y += BAR
        y += GAP
    return shapes, height


def lines(title, x_name, y_name, series):
    """Lines over two logarithmic axes: `series` is {name: [(x, y), ...]}, all above 0."""
    points = [point for values in series.values() for point in values]
    (left, right), (low, high) = powers([x for x, _ in points]), powers([y for _, y in points])
    shapes, top = head(title, series)
    bottom = top + 10 + PLOT_HEIGHT
    x_of = lambda x: PLOT_LEFT + (math.log10(x) - left) * (WIDTH - PLOT_LEFT - 30) / (right - left)  # noqa: E731
    y_of = lambda y: bottom - (math.log10(y) - low) * PLOT_HEIGHT / (high - low)  # noqa: E731
    for power in range(left, right + 1):
        x = x_of(10.0**power)
        shapes.append(line(x, bottom - PLOT_HEIGHT, x, bottom))
        shapes.append(text(x, bottom + 16, f"{10.0**power:g}", ' text-anchor="middle"'))
    for power in range(low, high + 1):
        y = y_of(10.0**power)
        shapes.append(line(PLOT_LEFT, y, WIDTH - 30, y))
        shapes.append(text(PLOT_LEFT - 6, y + 4, f"{10.0**power:g}", ' text-anchor="end"'))
    shapes.append(text((PLOT_LEFT + WIDTH) / 2, bottom + 32, x_name, ' text-anchor="middle"'))
    middle = bottom - PLOT_HEIGHT / 2
    turned = f' text-anchor="middle" transform="rotate(-90 16 {middle:.1f})"'
    shapes.append(text(16, middle, y_name, turned))
    for at, values in enumerate(series.values()):
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in values)
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in values:
            shapes.append(f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>')
    return shapes, bottom + 50


def page(charts):
    """The charts below each other, as one picture."""
    groups, y = [], 0
    for shapes, height in charts:
        groups.append(f'<g transform="translate(0 {y:.0f})">\n' + "\n".join(shapes) + "\n</g>")
        y += height
    body = "\n".join(groups)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0f}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
