"""Why a network cannot be compiled for a chip."""


class DoesNotFit(ValueError):
    """Something is larger than the chip has room for; names the layer, what it is, and by how much it is too large."""

    def __init__(self, layer: int, what: str, needed: int, room: int, unit: str, chip: str):
        super().__init__(
            f"node {layer}: {what} takes {needed} {unit}, chip {chip} has {room}: {needed - room} {unit} too many"
        )
        self.layer, self.what, self.needed, self.room = layer, what, needed, room


class Unsupported(ValueError):
    """A layer that the machine's commands cannot express."""
