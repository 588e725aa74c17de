"""Stage draw_figure: one figure from the tables of a run."""

from pathlib import Path


def draw_figure(name: str, *, run: Path, png: Path | None = None, svg: Path | None = None) -> None:
    """Draw a figure of a collected run; the same tables give the same bytes.

    Parameters
    ----------
    name
        A file of metann/figures, such as mnn_heatmap.
    run
        Folder of the run, with its tables/.
    png
        Picture to write.
    svg
        The same, for print and for zooming.
    """
    from metann.errors import MetannError, unknown
    from metann.registry import figures

    if name not in figures():
        raise unknown("figure", name, figures(), "metann/figures/")
    wanted = {path: suffix for path, suffix in ((png, "png"), (svg, "svg")) if path is not None}
    if not wanted:
        raise MetannError("nothing to write; give --png, --svg or both")

    import matplotlib as mpl

    mpl.use("Agg")
    from metann.figures._file import save
    from metann.report.redraw import draw

    figure = draw(run, name)
    for path, suffix in wanted.items():
        save(figure, path, suffix)
