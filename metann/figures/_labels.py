"""Names beside points that keep out of each other's way."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox, IdentityTransform

from metann.figures._style import GREY, HALO

# Where a name may stand, in points from its point, the best first: (x, y, horizontal, vertical alignment).
_PLACES = (
    (6, -4, "left", "center"),
    (6, 5, "left", "center"),
    (-6, -4, "right", "center"),
    (-6, 5, "right", "center"),
    (0, 8, "center", "bottom"),
    (0, -8, "center", "top"),
    *(
        (side * 14, step, align, "center")
        for step in (12, -12, 20, -20, 28, -28, 38, -38, 50, -50)
        for side, align in ((1, "left"), (-1, "right"))
    ),
)
_NEAR = 12  # points: from there on a thin line says whose name it is
_MARK = 4  # points: half of what a mark takes


class Name(Annotation):
    """The name of a point; `spread` finds its place when the axes have theirs.

    Attributes:
        clear: (x, y) of other marks that it must not cover, in data coordinates.
    """

    clear: tuple[tuple[float, float], ...] = ()


def name_points(
    axes: Axes, points: Iterable[tuple[float, float, str]], clear: Iterable[tuple[float, float]] = (), fontsize: float = 6.5
) -> None:
    """Write names beside points.

    Args:
        points: (x, y, name) in data coordinates.
        clear: (x, y) of marks without a name that shall be seen too.
        fontsize: in points.
    """
    clear = tuple(clear)
    for x, y, text in points:
        style = {"textcoords": "offset points", "fontsize": fontsize, "color": GREY, "path_effects": HALO, "annotation_clip": True}
        name = Name(text, (x, y), _PLACES[0][:2], **style, zorder=8)
        name.set_transform(IdentityTransform())
        name.set_in_layout(False)
        name.clear = clear
        axes.add_artist(name)


def spread(figure: Figure) -> None:
    """Give every name the first of its places in which it covers least: other names, marks, what lies beyond its axes."""
    scale = figure.dpi / 72
    for axes in figure.axes:
        names = [name for name in axes.get_children() if isinstance(name, Name)]
        points = [tuple(axes.transData.transform(name.xy)) for name in names]
        marks = points + [tuple(axes.transData.transform(point)) for point in sorted({point for name in names for point in name.clear})]
        taken = [_around(x, y, 0, 0, 2 * _MARK * scale, 2 * _MARK * scale, "center", "center") for x, y in marks]
        # From above to below; pixels are rounded, so that the last bits of a layout decide nothing.
        for (x, y), name in sorted(zip(points, names, strict=True), key=lambda pair: (-round(pair[0][1]), round(pair[0][0]))):
            size = Text.get_window_extent(name)
            boxes = [_around(x, y, dx * scale, dy * scale, size.width, size.height, *align) for dx, dy, *align in _PLACES]
            covered = [round(sum(_shared(box, other) for other in taken) + _outside(box, axes.bbox)) for box in boxes]
            best = covered.index(min(covered))
            dx, dy, horizontal, vertical = _PLACES[best]
            name.set(position=(dx, dy), horizontalalignment=horizontal, verticalalignment=vertical)
            taken.append(boxes[best])
            if max(abs(dx), abs(dy)) >= _NEAR:
                line = {"arrowstyle": "-", "linewidth": 0.5, "color": GREY, "shrinkA": 0, "shrinkB": 2}
                axes.annotate("", name.xy, (dx, dy), textcoords="offset points", arrowprops=line, annotation_clip=True, zorder=7)


def _around(x: float, y: float, dx: float, dy: float, width: float, height: float, horizontal: str, vertical: str) -> Bbox:
    """A box of pixels beside a point, aligned as a text is."""
    left = x + dx - {"left": 0.0, "center": width / 2, "right": width}[horizontal]
    low = y + dy - {"bottom": 0.0, "center": height / 2, "top": height}[vertical]
    return Bbox.from_bounds(left, low, width, height)


def _shared(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height


def _outside(box: Bbox, axes: Bbox) -> float:
    return box.width * box.height - _shared(box, axes)
