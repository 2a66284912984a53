"""A step on a machine whose predictor of gradients has lanes of its own, from the times of one that has not."""

from collections.abc import Sequence

from host.timeline import Row

PREDICT = "predict"


def exposed(rows: Sequence[Row], awaited: bool) -> int:
    """Cycles that the predictor adds to a step, where it has a machine beside the one that works on the layers (ADA-GP's MAX).

    Both carry out their commands in the order in which one machine did, each as long as there. The predictor waits for what its layer has
    done; ``awaited`` : in a predicted batch, a layer's update waits for its prediction. A step ends when both have. Each is taken to have a
    memory port of its own.
    """
    layers = predictor = 0
    said: dict[int, int] = {}
    for row in rows:
        if row.phase == PREDICT:
            predictor = max(predictor, layers) + row.cycles
            said[row.label.layer] = predictor
            continue
        if awaited and row.phase == "update":
            layers = max(layers, said.get(row.label.layer, 0))
        layers += row.cycles
    return max(layers, predictor) - sum(row.cycles for row in rows if row.phase != PREDICT)
