"""Options that several commands share."""

from collections.abc import Callable

import click

from spec.boards import BOARDS, Board, load_board
from spec.chip import CHIPS, Chip, load_chip

INTERRUPTED = 130  # status of a run that Ctrl-C ended


class ChipType(click.ParamType):
    """A named chip or a TOML file of its fields."""

    name = "name|file"

    def convert(self, value: str | Chip, param: click.Parameter | None, ctx: click.Context | None) -> Chip:
        return value if isinstance(value, Chip) else load_chip(value)


def chip_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
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


def board_option(required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--board",
        "on_board",
        type=BoardType(),
        required=required,
        help=f"One of {', '.join(BOARDS)}.",
    )


json_option = click.option("--json", "json_to", metavar="FILE", help="Write the result as JSON; - for standard output.")
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
