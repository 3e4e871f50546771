"""Bar charts as SVG, without a library: a figure that a browser shows and a person can read in a diff."""

import html
import math

COLOURS = ("#2f6f4f", "#7f9fbf", "#bf9f5f", "#bf7f7f", "#8f7fbf", "#7f7f7f")
WIDTH, LEFT, BAR, GAP = 860, 190, 16, 18


def bars(title, names, groups):
    """Horizontal bars on a logarithmic axis: `groups` are (label, {name: value}), values above 0."""
    values = [value for _, figures in groups for value in figures.values()]
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    scale = (WIDTH - LEFT - 90) / max(high - low, 1)
    top = 40 + 18 * len(names)
    height = top + len(groups) * (BAR * len(names) + GAP) + 30
    shapes = [f'<text x="10" y="22" font-size="15" font-weight="bold">{html.escape(title)}</text>']
    for at, name in enumerate(names):
        y = 34 + 18 * at
        shapes.append(f'<rect x="10" y="{y}" width="12" height="12" fill="{COLOURS[at % len(COLOURS)]}"/>')
        shapes.append(f'<text x="28" y="{y + 11}">{html.escape(name)}</text>')
    for power in range(low, high + 1):
        x = LEFT + (power - low) * scale
        shapes.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - 25}" stroke="#dddddd"/>')
        shapes.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{10.0**power:g}</text>')
    y = top + GAP / 2
    for label, figures in groups:
        middle = y + BAR * len(names) / 2 + 4
        shapes.append(f'<text x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{html.escape(label)}</text>')
        for at, name in enumerate(names):
            length = max((math.log10(figures[name]) - low) * scale, 1)
            colour = COLOURS[at % len(COLOURS)]
            shapes.append(f'<rect x="{LEFT}" y="{y:.1f}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            shapes.append(f'<text x="{LEFT + length + 4:.1f}" y="{y + BAR - 4:.1f}">{figures[name]:.3g}</text>')
            y += BAR
        y += GAP
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
