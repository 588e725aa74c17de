"""Figure hypernetwork_loss: loss over steps of moving z alone beside moving the whole network."""

import pandas as pd
from matplotlib.figure import Figure

from metann.figures._hypernetwork import arms_in_order, chosen_parts, grid_lines, hypernetwork_facts, look
from metann.figures._style import new_figure, no_figure, styled

CAPTION = """
Cross entropy over the steps of adaptation, on the support images (above) and on test images (below), of moving the task vector alone
(z_adapt) beside arms that move the whole network or the generator, with the most images per class. All arms take equally many steps. The
published claim is that z alone reaches the same level; the lower row is where it counts.
"""
TABLES = ("hypernetwork_curves", "hypernetwork_generators")
WHOLE = ("z_adapt", "finetune_net", "scratch_net", "full_generator", "repo_bug")
_ROWS = (("support_loss", "loss on support images"), ("test_loss", "loss on test images"))


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Means over held-out tasks, draws and seeds; one column for each experiment."""
    curves = tables["hypernetwork_curves"]
    parts = chosen_parts(tables["hypernetwork_generators"], curves[curves["arm"].isin(WHOLE) & (curves["shots"] > 0)])
    if not parts:
        return no_figure("Loss over steps", "Neither z_adapt nor an arm that moves the whole network was run.")
    most = max(part["shots"].max() for part in parts.values())
    footnote = f"{hypernetwork_facts(curves)}; {most:,} images per class; cross entropy in nats; mean over held-out tasks and draws."
    title = "Moving z alone against moving the whole network"
    figure = new_figure(max(3.4 * len(parts) + 1.6, 5.6), 5.4, title, footnote)
    grid = figure.subplots(2, len(parts), squeeze=False, sharex="col", sharey="row")
    for column, (name, part) in enumerate(parts.items()):
        mine = part[part["shots"] == part["shots"].max()]
        for row, (value, label) in enumerate(_ROWS):
            axes = grid[row, column]
            for arm in arms_in_order(mine):
                line = mine[mine["arm"] == arm].groupby("step")[value].mean()
                style = {key: setting for key, setting in look(arm).items() if key != "marker"}
                axes.plot(line.index, line, label=arm, **style)
            axes.set_ylim(bottom=0)
            grid_lines(axes)
            if column == 0:
                axes.set_ylabel(label)
        grid[0, column].set_title(name)
        grid[1, column].set_xlabel("step")
    grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
