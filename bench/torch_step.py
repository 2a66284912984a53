"""Golden's training step against float32 PyTorch's on the same CPU, in one run.

usage: python bench/torch_step.py [NET] [BATCH] [ROUNDS]     (default resnet20 32 15; needs the extra `torch`)

Both take the same architecture, a batch of random 32x32x3 images and one step of SGD with momentum and weight decay: forward, backward,
update. They take turns of TURN steps, so that other work on the machine meets both; the first step of a turn does not count, because the
other's threads may still be spinning and its data lie in the caches. Two turns each warm up. Printed are the best and the median step
of each, threads, and the load of the machine before: with other work on it, PyTorch's threads wait for each other.
`taskset -c 0` before the command gives both one core.
"""

import os
import sys
import time

import numpy as np
import torch
from torch import nn

from golden.graph import Graph
from golden.layers import GoldenExecute
from golden.networks import build
from golden.nodes import SAMPLES, Architecture, AvgPoolNode, BatchNormNode, ConvNode, DenseNode, MaxPoolNode, ReluNode
from golden.presets import preset
from golden.workers import cores

SHAPE, CLASSES = (32, 32, 3), 10
TURN, WARM = 4, 2  # steps in a turn, turns that warm up


class FloatNetwork(nn.Module):
    """The architecture in PyTorch's own layers, NCHW."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        shapes = architecture.shapes
        self.layers = nn.ModuleList()
        for node in architecture.nodes:
            below = architecture.input if node.reads[0] == SAMPLES else shapes[node.reads[0]]
            match node:
                case ConvNode():
                    layer = nn.Conv2d(below[2], node.channels, node.kernel, node.stride, node.padding, bias=node.bias)
                case DenseNode():
                    layer = nn.Linear(below[0], node.units)
                case BatchNormNode():
                    layer = nn.BatchNorm2d(below[-1])
                case ReluNode():
                    layer = nn.ReLU()
                case MaxPoolNode():
                    layer = nn.MaxPool2d(node.kernel, node.stride, node.padding)
                case AvgPoolNode():
                    layer = nn.AvgPool2d(node.kernel or below[0], node.stride)
                case _:
                    layer = nn.Identity()  # flatten and add are written out in `forward`
            self.layers.append(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tensors = []
        for node, layer in zip(self.architecture.nodes, self.layers, strict=True):
            reads = [x if i == SAMPLES else tensors[i] for i in node.reads]
            out = reads[0] + reads[1] if len(reads) == 2 else layer(reads[0])
            tensors.append(out.flatten(1) if type(node).__name__ == "FlattenNode" else out)
        return tensors[-1]


def main(net: str, batch: int, rounds: int) -> None:
    architecture = build(net, SHAPE, CLASSES)
    config = preset(net)
    graph = Graph(architecture, config.inputs, config.formats)
    plans = [config.sgd.plan(formats, batch) for formats in graph.formats]
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (batch, int(np.prod(SHAPE))))
    labels = rng.integers(0, CLASSES, batch)

    model = FloatNetwork(architecture)
    sgd = config.sgd
    optimizer = torch.optim.SGD(model.parameters(), lr=sgd.rate, momentum=sgd.momentum, weight_decay=sgd.decay)
    images = torch.tensor(x.reshape(-1, *SHAPE) / 256, dtype=torch.float32).permute(0, 3, 1, 2)
    images = images.contiguous(memory_format=torch.channels_last)
    model = model.to(memory_format=torch.channels_last)
    targets = torch.tensor(labels)

    def torch_step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), targets).backward()
        optimizer.step()

    def golden_step() -> None:
        graph.step(GoldenExecute(), x, labels, plans, config.rounding, 0)

    load = os.getloadavg()[0]
    times: dict[str, list[float]] = {"golden": [], "torch": []}
    for turn in range(WARM + rounds):
        for name, run in (("golden", golden_step), ("torch", torch_step)):
            for step in range(TURN):
                start = time.perf_counter()
                run()
                if turn >= WARM and step:
                    times[name].append(time.perf_counter() - start)
    print(f"{net}, batch {batch}, {rounds} rounds, load {load:.1f} before")
    print(f"golden, {cores()} threads: best {min(times['golden']):.3f} s, median {np.median(times['golden']):.3f} s")
    print(f"float32 PyTorch {torch.__version__}, {torch.get_num_threads()} threads: "
          f"best {min(times['torch']):.3f} s, median {np.median(times['torch']):.3f} s")  # fmt: skip
    print(f"golden at {min(times['torch']) / min(times['golden']):.2f} of its speed by the best steps, "
          f"{np.median(times['torch']) / np.median(times['golden']):.2f} by the medians")  # fmt: skip


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "resnet20",
        int(sys.argv[2]) if len(sys.argv) > 2 else 32,
        int(sys.argv[3]) if len(sys.argv) > 3 else 15,
    )
