"""The beginning of the small networks that shortcuts are tried on."""

from golden.nodes import Builder


def beginning(channels: int = 8) -> Builder:
    """Two convolutions of maps of 6 x 6 x 4, the second of stride 2 with batch norm."""
    b = Builder((6, 6, 4))
    b.conv(channels, 3, padding=1)
    b.relu()
    b.conv(channels, 3, 2, padding=1, bias=False)
    b.norm()
    b.relu()
    return b
