"""The file format of a program image, defined once: a program with its memory, for a processor without Python.

An image is words of 32 bits, lowest byte first. It begins with the words of :data:`HEADER`; tables are arrays of records,
each record a word for each of its names. Places in the image (``*_at``) count bytes from its first, places in memory
(``*_address``) bytes from the first of the machine's memory, wherever that lies. The C structures of ``gradloom_image.h``
and docs/program-image.md derive from here.
"""

from enum import IntEnum

MAGIC = int.from_bytes(b"GLpr", "little")
FORMAT = 1
WORD = 4  # bytes
ALIGNMENT = 128  # of tensors and of the ring in memory, and of where memory itself begins


class Purpose(IntEnum):
    """What a program of an image does."""

    STEP = 1  # a training step: forward, loss, backward, update
    PREDICT = 2  # logits


class Op(IntEnum):
    """What the processor does, one after the other, to carry out a program."""

    COPY = 1  # a: place in the image, b: address, c: bytes
    RUN = 2  # a: first descriptor in the ring; start the machine there and wait for its end
    LOSS = 3  # softmax cross-entropy, a: logits, b: their fraction bits, c: gradient, d: its fraction bits, e: its key's id
    NORM = 4  # batch norm's scalars, a: number of the record, b: :class:`NormPart`


class NormPart(IntEnum):
    """Which of batch norm's small computations."""

    FORWARD = 0  # from the batch's sums to the forward affine's scalars
    FROZEN = 1  # the same from running statistics
    BACKWARD = 2  # from the gradient's sums to the backward affine's scalars, and the gradients of gamma and beta
    RUNNING = 3  # running statistics move toward the batch's


Layout = dict[str, str]  # name of a word and what it says

HEADER: Layout = {
    "magic": "`GLpr`",
    "format": "of the image; this page describes 1",
    "bytes": "of the image",
    "chip": "digest of the chip it is for, as register `chip` gives it",
    "memory_bytes": "of tensors, from address 0",
    "state_address": "where the processor keeps what outlives a step; the machine never reads it",
    "ring_address": "where descriptors go; a multiple of 128",
    "ring_bytes": "of the longest program's descriptors",
    "batch": "samples of a step and of a prediction",
    "classes": "",
    "height": "lines of a sample; 1 where samples are flat",
    "width": "positions of a line",
    "channels": "words of a position",
    "taps": "positions that lie side by side in one position of memory: channel `k * channels + c` at x is channel c at x + k - `padding`",
    "padding": "positions of zeros before and behind a line; memory has `width + 2 * padding - taps + 1` positions of it",
    "rounding": "mode of every tensor, as in commands: 0 floor, 1 nearest, 2 stochastic",
    "seed": "makes the keys of rounding, together with the step",
    "step": "steps taken before the first; makes the keys too",
    "programs_at": "table of programs",
    "programs": "records in it",
    "first_at": "table of blocks that are copied once, before the first step: parameters",
    "firsts": "records in it",
    "norms_at": "table of batch norms",
    "norms": "records in it",
    "batches_at": "samples and labels of some batches, one behind the other",
    "batches": "how many",
    "batch_bytes": "of one: samples as they lie in memory, then a label of 16 bits for each, then padding to a word",
}
PROGRAM: Layout = {
    "purpose": "1 a training step, 2 a prediction",
    "ops_at": "table of what the processor does, in order",
    "ops": "records in it",
    "descriptors_at": "128 bytes each, as they go into the ring; those of all runs, each run closed by END",
    "descriptors": "how many",
    "keys_at": "table of words of descriptors that are keys and change with the step",
    "keys": "records in it",
    "shifts_at": "table of shifts that batch norm finds",
    "shifts": "records in it",
    "tensors_at": "table of tensors",
    "tensors": "records in it",
    "x_address": "samples",
    "x_bytes": "",
    "logits_address": "",
}
BLOCK: Layout = {"at": "place in the image", "address": "in memory", "bytes": ""}
OP: Layout = {"code": "1 copy, 2 run, 3 loss, 4 batch norm", "a": "", "b": "", "c": "", "d": "", "e": ""}
KEY: Layout = {
    "word": "of the program's descriptors, counted from the first of all",
    "id": "the key is hash(hash(seed, step), id)",
}
SHIFT: Layout = {"word": "", "lsb": "of six bits in it", "symbol": "twice the number of the batch norm; one more: backward"}
TENSOR: Layout = {
    "name_at": "text, closed by a zero byte",
    "address": "",
    "rows": "all axes but the last",
    "channels": "the last axis; a row is padded to a multiple of eight words",
}
NORM: Layout = {
    "number": "among the network's batch norms: twice that is its forward shift's symbol",
    "channels": "",
    "count": "positions: samples, lines and places",
    "x_frac": "fraction bits of what it reads",
    "weights_frac": "of gamma and beta",
    "activations_frac": "of what it gives",
    "deltas_frac": "of the gradient of what it gives",
    "gradients_frac": "of the gradients of gamma and beta",
    "below_frac": "of the gradient of what it reads",
    "key_id": "of the gradients of gamma and beta",
    "parameters_address": "gamma over beta",
    "sums_address": "records of sums of x and of x*x",
    "forward_address": "scalars of the forward affine",
    "products_address": "records of sums of the gradient and of its products with x",
    "backward_address": "scalars of the backward affine",
    "gradient_address": "of gamma over beta",
    "running_address": "running means, then variances, 64 bits each",
}
RECORDS: dict[str, Layout] = {
    "header": HEADER,
    "program": PROGRAM,
    "block": BLOCK,
    "op": OP,
    "key": KEY,
    "shift": SHIFT,
    "tensor": TENSOR,
    "norm": NORM,
}
