"""Shapes and texts of an SVG picture, and how numbers are written on it."""

from collections.abc import Sequence
from html import escape

GREY, DIM, PAPER, PANEL = "#ccccdc", "#8e8ea0", "#111217", "#181b1f"
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#96d98d", "#ffb357", "#ca95e5")
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "transparent": "none"}

Point = tuple[float, float]


def text(at: Point, what: str, *, size: float = 11, colour: str = GREY, anchor: str = "start") -> str:
    """A line of text whose base line begins, ends or is centred (`anchor`) at a point."""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(what)}</text>"
    )


def box(at: Point, size: Point, fill: str, *, opacity: float = 1.0, radius: float = 0.0) -> str:
    return (
        f'<rect x="{at[0]:.1f}" y="{at[1]:.1f}" width="{max(size[0], 0):.1f}" height="{max(size[1], 0):.1f}"'
        f' fill="{fill}" fill-opacity="{opacity:g}" rx="{radius:g}"/>'
    )


def line(points: Sequence[Point], colour: str, *, width: float = 1.2, dashes: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def area(points: Sequence[Point], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{path}" fill="{colour}" fill-opacity="0.25"/>'


def picture(size: Point, parts: Sequence[str]) -> str:
    """The whole file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}" width="{size[0]:g}"'
        ' font-family="Inter, Helvetica, Arial, sans-serif">'
    )
    return "\n".join([head, box((0, 0), size, PAPER), *parts, "</svg>", ""])


def figure(value: float, unit: str) -> str:
    """A number with its unit, as Grafana writes it: 1.5 kB/s, 250 ms, 3.2 min."""
    match unit:
        case "s":
            return _seconds(value)
        case "percentunit":
            return f"{100 * value:.3g} %"
        case "bytes" | "Bps":
            return _scaled(value, 1024 if unit == "bytes" else 1000) + ("B" if unit == "bytes" else "B/s")
        case "cps":
            return _scaled(value, 1000) + "/s"
    return _scaled(value, 1000).rstrip()


def _seconds(value: float) -> str:
    size = abs(value)
    for least, divisor, name in ((86400, 86400, "d"), (3600, 3600, "h"), (60, 60, "min"), (1, 1, "s"), (0, 1e-3, "ms")):
        if size >= least and size:
            return f"{value / divisor:.3g} {name}"
    return "0 s"


def _scaled(value: float, base: int) -> str:
    for power, name in ((3, "G"), (2, "M"), (1, "k")):
        if abs(value) >= base**power:
            return f"{value / base**power:.3g} {name}"
    return f"{value:.3g} "
