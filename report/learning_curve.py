"""The learning curves of a demo's result as a picture."""

from pathlib import Path
from typing import Any


def learning_curve(result: dict, picture: Path) -> Path:
    """Accuracy of the test samples after each epoch, one line for each run in ``result["history"]``.

    Written as PNG to ``picture``. Runs that hold identical words lie on each other: the RTL is drawn as marks.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, accuracies in result["history"].items():
        style: dict[str, Any] = {"linestyle": "none", "marker": "o", "fillstyle": "none"} if name == "rtl" else {}
        label = f"RTL, {result['lanes']} lanes" if name == "rtl" else name
        axes.plot(range(1, len(accuracies) + 1), accuracies, label=label, **style)
    axes.set(xlabel="epoch", ylabel="test accuracy", title=f"{result['data']}: trained on the generated machine")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=130)
    return picture
