"""The networks that gradloom knows by name; each is a function of the samples' shape and the number of classes."""

from collections.abc import Callable

from golden.nodes import Architecture, Builder, Shape


def mlp(shape: Shape, classes: int, hidden: tuple[int, ...] = (256, 64)) -> Architecture:
    """Dense layers with ReLU between them."""
    b = Builder(shape)
    b.flatten()
    for units in hidden:
        b.dense(units)
        b.relu()
    b.dense(classes)
    return b.build("mlp")


def cnn(shape: Shape, classes: int) -> Architecture:
    """Small, for 8 x 8 digits: two 3x3 convolutions with batch norm, the second around a residual, max-pool, dense."""
    b = Builder(shape)
    b.conv(16, 3, padding=1, bias=False)
    b.norm()
    first = b.relu()
    b.conv(16, 3, padding=1, bias=False)
    b.sum(b.norm(), first)
    b.relu()
    b.maxpool(2, 2)
    b.flatten()
    b.dense(classes)
    return b.build("cnn")


def lenet5(shape: Shape, classes: int) -> Architecture:
    """LeCun et al. 1998 as it is built today: ReLU and max-pool. Images of 28 or 32 (28 is padded to 32)."""
    b = Builder(shape)
    b.conv(6, 5, padding=2 if shape[0] == 28 else 0)
    b.relu()
    b.maxpool(2, 2)
    b.conv(16, 5)
    b.relu()
    b.maxpool(2, 2)
    b.flatten()
    for units in (120, 84):
        b.dense(units)
        b.relu()
    b.dense(classes)
    return b.build("lenet5")


def gupta_cnn(shape: Shape, classes: int) -> Architecture:
    """Gupta et al. 2015 for MNIST: 5x5x8, pool, 5x5x16, pool, 128, classes; no padding."""
    b = Builder(shape)
    for channels in (8, 16):
        b.conv(channels, 5)
        b.relu()
        b.maxpool(2, 2)
    b.flatten()
    b.dense(128)
    b.relu()
    b.dense(classes)
    return b.build("gupta-cnn")


def gupta_cifar(shape: Shape, classes: int) -> Architecture:
    """Gupta et al. 2015 for CIFAR-10: three 5x5x64, each with max-pool 3/2, classes. Padding keeps 32, 16, 8, 4 (ours)."""
    b = Builder(shape)
    for _ in range(3):
        b.conv(64, 5, padding=2)
        b.relu()
        b.maxpool(3, 2, padding=1)
    b.flatten()
    b.dense(classes)
    return b.build("gupta-cifar")


def resnet20(shape: Shape, classes: int) -> Architecture:
    """He et al. 2016 for 32 x 32: 16, 32, 64 channels, three blocks each, batch norm.

    Where the shape changes the shortcut is a 1x1 convolution of stride 2 with batch norm (their
    option B).
    """
    b = Builder(shape)
    b.conv(16, 3, padding=1, bias=False)
    b.norm()
    start = b.relu()
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            b.conv(channels, 3, stride, padding=1, bias=False, after=start)
            b.norm()
            b.relu()
            b.conv(channels, 3, padding=1, bias=False)
            body = b.norm()
            shortcut = start
            if stride == 2:
                b.conv(channels, 1, 2, bias=False, after=start)
                shortcut = b.norm()
            b.sum(body, shortcut)
            start = b.relu()
    b.avgpool()
    b.flatten()
    b.dense(classes)
    return b.build("resnet20")


def vgg11(shape: Shape, classes: int) -> Architecture:
    """Simonyan and Zisserman's configuration A for 32 x 32: eight 3x3 convolutions with batch norm, one dense layer."""
    b = Builder(shape)
    for channels, pooled in (
        (64, True), (128, True), (256, False), (256, True), (512, False), (512, True), (512, False), (512, True),
    ):  # fmt: skip
        b.conv(channels, 3, padding=1, bias=False)
        b.norm()
        b.relu()
        if pooled:
            b.maxpool(2, 2)
    b.flatten()
    b.dense(classes)
    return b.build("vgg11")


NETWORKS: dict[str, Callable[[Shape, int], Architecture]] = {
    "mlp": mlp,
    "cnn": cnn,
    "lenet5": lenet5,
    "gupta-cnn": gupta_cnn,
    "gupta-cifar": gupta_cifar,
    "resnet20": resnet20,
    "vgg11": vgg11,
}


def build(name: str, shape: Shape, classes: int) -> Architecture:
    """The named network; ValueError for an unknown name, or images that it cannot take."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known networks: {', '.join(NETWORKS)}")
    return NETWORKS[name](shape, classes)
