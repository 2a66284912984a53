"""Sums of squares that the host asks for: norms of gradients, of columns."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from host.compiler.elementwise import emit_sums, record_shape
from host.compiler.scalars import unpack_sums
from host.program import Context, Label
from host.tensor import Tensor

if TYPE_CHECKING:
    from host.compiler.network import Network


def emit_squares(
    net: "Network",
    label: Label,
    tensor: Tensor,
    then: Callable[[Context, list[int]], None],
    reads: tuple[str, ...] = (),
    writes: tuple[str, ...] = (),
) -> None:
    """Exact sums of squares of every channel, and a step of the host that gets them; reads, writes : what it touches besides."""
    records = net.memory.add(f"squares.{label.layer}.{label.phase}", record_shape(net.chip, tensor.row_bricks))
    emit_sums(net.e, label, tensor, tensor, records)

    def host(context: Context) -> None:
        then(context, unpack_sums(net.chip, context.read(records.name), tensor.channels)[1])

    net.e.host(label, host, (records.name, *reads), writes)
