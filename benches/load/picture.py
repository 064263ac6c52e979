"""The costs of `summary` as bars in an SVG: for each work one bar a proxy, as multiples of the cheapest peer."""

from xml.sax.saxutils import escape

import summary

COLUMNS = 2
COLUMN, GAP, MARGIN = 440, 40, 24
NAME, FIGURE = 64, 70  # room left and right of the bars
BAR, STEP = 11, 15
TITLE, BETWEEN = 20, 16
HEADER, FOOTER = 64, 44
# What is longer is cut off, and its end says so.
LONGEST = 3.0

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #3b434b }
  .figure { stroke: #ffffff; stroke-width: 3; paint-order: stroke }
  .heading { font-size: 17px; font-weight: 600; fill: #14181c }
  .title { font-weight: 600; fill: #14181c }
  .note { font-size: 11px; fill: #66707a }
  .own { font-weight: 600; fill: #14181c }
  .end { text-anchor: end }
  .paper { fill: #ffffff }
  .peer { fill: #a9b4be }
  .sluice { fill: #0f8a7e }
  .cut { stroke: #ffffff; stroke-width: 2.5 }
  .one { stroke: #66707a; stroke-width: 1; stroke-dasharray: 2 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #b6c0ca }
    .heading, .title, .own { fill: #f0f4f8 }
    .note { fill: #8c98a4 }
    .paper { fill: #0d1117 }
    .figure { stroke: #0d1117 }
    .peer { fill: #4a5561 }
    .sluice { fill: #2fbfae }
    .cut { stroke: #0d1117 }
    .one { stroke: #8c98a4 }
  }
"""


def svg(result):
    groups = [group for group in (_group(aim, result) for aim in summary.AIMS) if group]
    # Down the first column, then the next; not everybody can do everything.
    rows = -(-len(groups) // COLUMNS)
    columns = [groups[first:first + rows] for first in range(0, len(groups), rows or 1)]
    width = 2 * MARGIN + COLUMNS * COLUMN + (COLUMNS - 1) * GAP
    total = HEADER + max((sum(map(_height, column)) for column in columns), default=0) + FOOTER
    facts = result["about"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}" '
        'role="img" aria-labelledby="heading">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{total}" rx="6"/>',
        _text(MARGIN, 32, "What it costs, as multiples of the cheapest peer", "heading", ' id="heading"'),
        _text(MARGIN, 50, "Shorter is better. The dashed line is the cheapest of the others; "
                          "figures are medians of interleaved rounds.", "note"),
    ]
    for place, column in enumerate(columns):
        top = HEADER
        for group in column:
            parts += _draw(MARGIN + place * (COLUMN + GAP), top, *group)
            top += _height(group)
    versions = "; ".join(facts["versions"].values())
    parts += [
        _text(MARGIN, total - 28, f"{facts['date']}; {facts['processor']}, Linux {facts['kernel']}", "note"),
        _text(MARGIN, total - 13, f"{versions}; access log: {facts['access_log']}", "note"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _height(group):
    _title, _unit, bars = group
    return TITLE + len(bars) * STEP + BETWEEN


def _group(aim, result):
    """Title, unit, and for each measured proxy its name, figure as text, and multiple of the cheapest peer."""
    best = summary.best_peer(aim, result)
    if not aim.drawn or best is None:
        return None
    one = summary.middle(aim, result, best)
    figures = [(proxy, summary.middle(aim, result, proxy)) for proxy in summary.TITLES]
    bars = [(proxy, f"{figure:.{aim.digits}f}", figure / one) for proxy, figure in figures if figure is not None]
    return (aim.title, aim.unit, bars) if one > 0 else None


def _draw(left, top, title, unit, bars):
    yield (f'<text x="{left}" y="{top + 12}"><tspan class="title">{escape(title)}</tspan>'
           f'<tspan class="note" dx="6">{escape(unit)}</tspan></text>')
    scale = (COLUMN - NAME - FIGURE) / LONGEST
    start, first = left + NAME, top + TITLE
    figures = []
    for place, (proxy, figure, multiple) in enumerate(bars):
        y = first + place * STEP
        own = proxy == "sluice"
        length = max(1.0, min(multiple, LONGEST) * scale)
        yield _text(start - 8, y + 9.5, summary.TITLES[proxy], "end own" if own else "end")
        yield (f'<rect class="{"sluice" if own else "peer"}" x="{start}" y="{y}" width="{length:.1f}" '
               f'height="{BAR}" rx="1.5"/>')
        if multiple > LONGEST:
            at = start + length - 14
            yield f'<line class="cut" x1="{at:.1f}" y1="{y + BAR + 1}" x2="{at + 5:.1f}" y2="{y - 1}"/>'
        figures.append(f'<text x="{start + length + 6:.1f}" y="{y + 9.5}" class="{"figure own" if own else "figure"}">'
                       f'{figure}<tspan class="note" dx="5">{multiple:.2f}×</tspan></text>')
    # Over the bars, under the figures.
    one = start + scale
    yield f'<line class="one" x1="{one:.1f}" y1="{first - 3}" x2="{one:.1f}" y2="{first + len(bars) * STEP}"/>'
    yield from figures


def _text(x, y, text, names="", more=""):
    return f'<text x="{x}" y="{y}" class="{names}"{more}>{escape(text)}</text>'
