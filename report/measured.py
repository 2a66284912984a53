"""The README's table of measured results, from the JSON that the commands wrote."""

import json
from pathlib import Path

BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"

# File, the command that writes it, what a row says and which number it shows.
PRODUCT = "gradloom measure product"
ROWS = (
    ("dense", f"{PRODUCT} 512x512x512", "utilisation, whole command", "{utilisation:.2%}"),
    ("dense", f"{PRODUCT} 512x512x512", "utilisation, steady state", "{utilisation_steady:.2%}"),
    (
        "d25",
        f"{PRODUCT} 512x512x512 --density 0.25",
        "cycles of dense at a quarter of nonzeros",
        "{share_of_dense:.3f}",
    ),
    ("d125", f"{PRODUCT} 512x512x512 --density 0.125", "cycles of dense at an eighth", "{share_of_dense:.3f}"),
    (
        "m256",
        f"{PRODUCT} 512x512x256 --mask-density 0.5",
        "cycles of dense, half of 256 columns",
        "{share_of_dense:.3f}",
    ),
    ("m64", f"{PRODUCT} 512x512x64 --mask-density 0.5", "half of 64 columns", "{share_of_dense:.3f}"),
    ("m16", f"{PRODUCT} 512x512x16 --mask-density 0.5", "half of 16 columns", "{share_of_dense:.3f}"),
    (
        "dm256",
        f"{PRODUCT} 512x512x256 --density 0.5 --mask-density 0.5",
        "half of the nonzeros, half of 256 columns",
        "{share_of_dense:.3f}",
    ),
    ("speed", "gradloom measure speed", "native simulation, cycles a second", "{native_hz:,}"),
    ("speed", "gradloom measure speed", "native over cocotb", "{native_over_cocotb:.1f}"),
    ("speed", "gradloom measure speed", "golden product over NumPy's int64 sums", "{golden_over_int64:.0f}"),
    ("group", "gradloom synth --unit group --target ecp5-85k", "Fmax, MHz, speed grade 6", "{fmax_mhz:.1f}"),
    ("group", "gradloom synth --unit group --target ecp5-85k", "LUT4 a lane, Convert included", "{lut4_per_lane}"),
    ("demo", "gradloom demo", "accuracy, float64", "{accuracy_float:.4f}"),
    ("demo", "gradloom demo", "accuracy, RTL", "{accuracy_rtl:.4f}"),
    ("demo", "gradloom demo", "differing words, of those compared", "{differing_words} of {words_compared:,}"),
    ("demo", "gradloom demo", "wall time, s, two cores", "{seconds:.0f}"),
)


def commands() -> dict[str, str]:
    """File to the command that writes it, in the order of the table."""
    return {file: command for file, command, _, _ in ROWS}


def table(folder: Path) -> str:
    """Markdown; a row whose file is missing says that it was not measured."""
    lines = ["| what | measured | command |", "|---|---|---|"]
    for file, command, what, form in ROWS:
        path = folder / f"{file}.json"
        value = form.format(**json.loads(path.read_text())) if path.is_file() else "not measured"
        lines.append(f"| {what} | {value} | `{command}` |")
    return "\n".join(lines)


def update(page: Path, folder: Path) -> None:
    """Put the table between the marks of ``page``; raises ValueError where the marks are missing."""
    replace_between(page, BEGIN, END, table(folder))


def replace_between(page: Path, begin: str, end: str, text: str) -> None:
    """Write ``text`` between two marks of ``page``; raises ValueError where they are missing."""
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{page} has no {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
