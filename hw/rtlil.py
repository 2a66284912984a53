"""RTLIL as text: names that read well, no memory contents, one module per distinct body.

RTLIL is Yosys' netlist language and what Amaranth writes. The functions here know its
line structure and nothing of what a design means.
"""

import re
from collections import Counter

NAME = re.compile(r"(?<=\\)[^\s\"\\]+")  # every public name follows one backslash
PRIVATE = re.compile(r"(?<![^\s{])\$\d+(?![^\s}])")  # `$12`, a wire or a cell that Amaranth numbered
PORT = re.compile(r"^  wire width (\d+) (input|output) (\d+) +(signed )? *\\(\S+)$", re.MULTILINE)
CELL = re.compile(r"^(  attribute .*\n)*  cell (\S+) \S+\n(    .*\n)*  end\n", re.MULTILINE)
MEMORY_CONTENTS = re.compile(r"^    connect \\DATA \d+'([01]*)$", re.MULTILINE)
MEMORY_NAME = re.compile(r'^    parameter \\MEMID "\\\\(\S+)"$', re.MULTILINE)
NEXT_STATE = re.compile(r"^    connect \\D (\$\d+) \[[\d:]+\]\n(?:    .*\n)*?    connect \\Q \\(\S+)$", re.MULTILINE)


LOCATION = re.compile(r'^ *attribute \\src ".*"\n', re.MULTILINE)
LOCATED = re.compile(
    r'^  attribute \\src "(?:[^"]*/)?((?:hw|spec)/[^"/]+:\d+)"\n(?:  attribute .*\n)*  wire width \d+ (?:\w+ (?:\d+ )?)*\\(\S+)$',
    re.MULTILINE,
)


class RtlilError(ValueError):
    """A netlist that cannot become readable Verilog; says which part and why."""


def split_modules(text: str) -> dict[str, str]:
    """Module name to body, attributes of the module dropped, in the order written."""
    return {match[1]: match[2] for match in re.finditer(r"^module \\(\S+)\n(.*?)^end$", text, re.MULTILINE | re.DOTALL)}


def join_modules(modules: dict[str, str]) -> str:
    """Inverse of :func:`split_modules`, the last module being the top."""
    top = list(modules)[-1]
    mark = "attribute \\top 1\n"
    return "\n".join(f"{mark * (name == top)}module \\{name}\n{body}end\n" for name, body in modules.items())


def ports(body: str) -> dict[str, dict[str, object]]:
    """Port name to ``direction``, ``width`` and ``signed``, in port order."""
    found = sorted(PORT.findall(body), key=lambda port: int(port[2]))
    return {
        name: {"direction": direction, "width": int(width), "signed": bool(signed)}
        for width, direction, _, signed, name in found
    }


def locations(body: str) -> dict[str, str]:
    """Signal to the place in ``hw`` that declares it, as in ``hw/lane.py:97``; names as :func:`plain_names` writes them."""
    return {_plain(name): place for place, name in LOCATED.findall(body)}


def drop_locations(text: str) -> str:
    """Without attributes that say where something comes from: equal units are then equal texts."""
    return LOCATION.sub("", text)


def order_ports(body: str, order: list[str]) -> str:
    """Number the ports as listed; every port of the module must be in the list."""
    order = [name for name in order if name in ports(body)]
    return PORT.sub(
        lambda port: f"  wire width {port[1]} {port[2]} {order.index(port[5]) + 1} {port[4] or ''}\\{port[5]}", body
    )


def drop_memory_contents(body: str) -> str:
    """Leave memories uninitialised. Raises :class:`RtlilError` where contents other than zero would be lost."""

    def check(cell: re.Match) -> str:
        if cell[2] != "$meminit_v2":
            return cell[0]
        contents = MEMORY_CONTENTS.search(cell[0])
        if contents and "1" in contents[1]:
            name = MEMORY_NAME.search(cell[0])[1]
            raise RtlilError(f"memory {name} has initial contents; memories start undefined")
        return ""

    return CELL.sub(check, body)


def name_next_states(body: str) -> str:
    """Call what a register ``x`` takes at the next clock edge ``x_next`` instead of a number."""
    taken = set(NAME.findall(body))
    renamed = {}
    for wire, register in NEXT_STATE.findall(body):
        if re.search(rf"^  wire width \d+ {re.escape(wire)}$", body, re.MULTILINE) and f"{register}_next" not in taken:
            renamed.setdefault(wire, f"\\{register}_next")
    return PRIVATE.sub(lambda match: renamed.get(match[0], match[0]), body)


def drop_aliases(body: str) -> str:
    """Remove wires that only repeat another under a name made up by Amaranth (``x$12``, ``x.field``)."""
    uses = Counter(NAME.findall(body))
    lines = []
    for line in body.splitlines(keepends=True):
        match = re.match(r"(?:  wire width \d+ (?:signed )?|connect )\\(\S+)(?=[ \n])", line)
        if match and re.search(r"[$.]", match[1]) and uses[match[1]] == 2 and f"\nconnect \\{match[1]} " in body:
            while lines and lines[-1].startswith("  attribute "):  # they would go to the next wire
                lines.pop()
            continue
        lines.append(line)
    return "".join(lines)


def _plain(name: str) -> str:
    return name.replace("$", "_").replace(".", "__")


def plain_names(body: str) -> str:
    """Write ``x$1`` as ``x_1`` and ``x.y`` as ``x__y``, unless two names would become one."""
    names = list(dict.fromkeys(NAME.findall(body)))
    plain = {name: _plain(name) for name in names}
    count = Counter(plain.values())
    return NAME.sub(lambda match: plain[match[0]] if count[plain[match[0]]] == 1 else match[0], body)


def widen_shifts(body: str) -> str:
    """Let a shift that keeps few of its bits give them all, and take the few from those.

    Verilog computes them all anyway, and Verilator warns where they are dropped in passing.
    """
    extra = []

    def widen(cell: re.Match) -> str:
        width, kept = (re.search(rf"^    parameter \\{name}_WIDTH (\d+)$", cell[0], re.MULTILINE) for name in "AY")
        if cell[2] not in {"$shr", "$sshr", "$shift"} or int(width[1]) <= int(kept[1]):
            return cell[0]
        target = re.search(r"^    connect \\Y (.*)$", cell[0], re.MULTILINE)
        wide = f"$shifted{len(extra)}"
        extra.append((wide, width[1], f"connect {target[1]} {wide} [{int(kept[1]) - 1}:0]\n"))
        text = cell[0].replace(kept[0], f"    parameter \\Y_WIDTH {width[1]}")
        return text.replace(target[0], f"    connect \\Y {wide}")

    body = CELL.sub(widen, body)
    wires = "".join(f"  wire width {width} {wide}\n" for wide, width, _ in extra)
    return wires + body + "".join(connect for _, _, connect in extra)


def fold_vacuous(body: str) -> str:
    """Replace ``x < 0`` and ``x >= 0`` of unsigned ``x``, which come from loops that start at 0."""

    def fold(cell: re.Match) -> str:
        against_zero = re.search(r"^    connect \\B (\d+'0+|\{  \})$", cell[0], re.MULTILINE)
        if cell[2] not in {"$lt", "$ge"} or not against_zero or "A_SIGNED 1" in cell[0]:
            return cell[0]
        target = re.search(r"^    connect \\Y (.*)$", cell[0], re.MULTILINE)
        return f"connect {target[1]} 1'{int(cell[2] == '$ge')}\n"

    return CELL.sub(fold, body)


def complete_cases(body: str) -> str:
    """End every choice between values with a default that does nothing.

    Chains of ``If`` and ``Elif`` test one bit each, as in ``1``, ``-1`` and ``1--``; they stay as they are.
    """
    lines, open_switches = [], []
    for line in body.splitlines(keepends=True):
        words = line.split()
        indent = line[: len(line) - len(line.lstrip())]
        if words[:1] == ["switch"]:
            open_switches.append([indent, False])
        elif open_switches and words[:1] == ["case"]:
            patterns = [word.rstrip(",").split("'")[1] for word in words[1:]]
            choice = any(pattern.count("1") != 1 or "0" in pattern for pattern in patterns)
            open_switches[-1][1] = bool(patterns) and (choice or open_switches[-1][1])
        elif open_switches and words == ["end"] and indent == open_switches[-1][0] and open_switches.pop()[1]:
            lines.append(f"{indent}  case\n")
        lines.append(line)
    return "".join(lines)


def clean(body: str) -> str:
    """All of the above that is about reading, for one module."""
    body = drop_aliases(name_next_states(drop_memory_contents(body)))
    body = complete_cases(widen_shifts(fold_vacuous(body)))
    return re.sub(r"\n{2,}", "\n", plain_names(body))
