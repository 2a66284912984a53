"""The bare-metal driver that goes with a machine, and the C structures of a program image."""

from pathlib import Path

from host.image_layout import FORMAT, MAGIC, RECORDS, NormPart, Op, Purpose
from spec.version import VERSION

SOURCES = Path(__file__).with_name("driver")


def driver_files() -> dict[str, str]:
    """Names and texts, besides ``machine.h`` which they include."""
    files = {path.name: path.read_text() for path in sorted(SOURCES.glob("*.[ch]"))}
    return files | {"gradloom_image.h": image_header()}


def image_header() -> str:
    """The text of ``gradloom_image.h``; every record is from :mod:`host.image_layout`."""
    lines = [
        f"/* gradloom {VERSION}: a program image, words of 32 bits, lowest byte first. Generated. */",
        "#ifndef GRADLOOM_IMAGE_H",
        "#define GRADLOOM_IMAGE_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define GRADLOOM_IMAGE_MAGIC {MAGIC}",
        f"#define GRADLOOM_IMAGE_FORMAT {FORMAT}",
        *(f"#define GRADLOOM_IMAGE_PURPOSE_{member.name} {int(member)}" for member in Purpose),
        *(f"#define GRADLOOM_IMAGE_OP_{member.name} {int(member)}" for member in Op),
        *(f"#define GRADLOOM_IMAGE_NORM_{member.name} {int(member)}" for member in NormPart),
    ]
    for record, layout in RECORDS.items():
        lines += ["", f"struct gradloom_image_{record} {{"]
        lines += [f"    uint32_t {name};" + (f" /* {doc} */" if doc else "") for name, doc in layout.items()]
        lines += ["};"]
    return "\n".join([*lines, "", "#endif"]) + "\n"
