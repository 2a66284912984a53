"""Options that several commands share."""

from collections.abc import Callable

import click

from spec.boards import BOARDS, Board, load_board
from spec.chip import CHIPS, Chip, load_chip

INTERRUPTED = 130  # status of a run that Ctrl-C ended

Command = Callable[..., None]


class ChipType(click.ParamType):
    """A named chip or a TOML file of its fields."""

    name = "name|file"

    def convert(self, value: str | Chip, param: click.Parameter | None, ctx: click.Context | None) -> Chip:
        return value if isinstance(value, Chip) else load_chip(value)


def chip_option(default: str) -> Callable[[Command], Command]:
    return click.option(
        "--chip",
        type=ChipType(),
        default=default,
        show_default=True,
        help=f"A named chip ({', '.join(CHIPS)}) or a TOML file of chip fields.",
    )


class BoardType(click.ParamType):
    """A named board."""

    name = "name"

    def convert(self, value: str | Board, param: click.Parameter | None, ctx: click.Context | None) -> Board:
        return value if isinstance(value, Board) else load_board(value)


def board_option(required: bool) -> Callable[[Command], Command]:
    return click.option(
        "--board",
        "on_board",
        type=BoardType(),
        required=required,
        help=f"One of {', '.join(BOARDS)}.",
    )


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Options as one decorator, in the order in which help tells them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


data_options = together(
    click.option("--data", default="digits", show_default=True, help="digits, mnist, fashion-mnist or cifar10."),
    click.option("--download", is_flag=True, help="Fetch a data set that is missing to build/data."),
)
net_option = click.option("--net", default="cnn", show_default=True, help="A network, as `gradloom train` names them.")
batch_option = click.option("--batch", type=click.IntRange(1), help="Samples of a step.  [default: the network's]")
network_options = together(data_options, net_option, batch_option)
memory_options = together(
    click.option("--latency", type=click.IntRange(1), default=50, show_default=True, help="Of a read of memory, in cycles."),
    click.option(
        "--bandwidth", type=click.FloatRange(0, 1 << 10), default=8.0, show_default=True, help="Of memory, in bytes a cycle; 0 for a beat a cycle each way."
    ),
)
json_option = click.option("--json", "json_to", metavar="FILE", help="Write the result as JSON; - for standard output.")
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
