"""Settings that each network trains with, by name."""

from dataclasses import replace
from typing import Any

from golden.layers import Formats
from golden.networks import NETWORKS
from golden.optimizer import Sgd
from golden.trainer import DEMO, Config
from spec.number import Fixed

# Sums over a batch of 100 gradients whose mean would be <2,14>: eight bits more to the left.
_SUMS = Fixed(16, 8)

CNN = Config(
    net="cnn",
    epochs=5,
    sgd=Sgd(rate=0.05, momentum=0.8, decay=1e-4),
    rate_drops=((3, 0.3), (4, 0.3)),
    formats=Formats(gradients=_SUMS, velocity=_SUMS),
)


def _gupta(net: str, rate: float, outputs: Fixed, drops: tuple[tuple[int, float], ...], epochs: int) -> Config:
    """Gupta et al. 2015, section 4: weights and errors with 14 fraction bits of 16, layer outputs in ``outputs``."""
    fine = Fixed(16, 14)
    return Config(
        net=net,
        epochs=epochs,
        batch=100,
        sgd=Sgd(rate=rate, momentum=0.9, decay=5e-4),
        rate_drops=drops,
        formats=Formats(weights=fine, activations=outputs, deltas=fine, gradients=_SUMS, velocity=_SUMS),
    )


def _updates(config: Config, deltas: int, updates: int) -> Config:
    """``config`` with so many fraction bits of errors, and of gradients and velocity."""
    assert isinstance(config.formats, Formats)
    of = Fixed(16, updates)
    return replace(config, formats=replace(config.formats, deltas=Fixed(16, deltas), gradients=of, velocity=of))


_PRESETS = {
    "mlp": DEMO,
    "cnn": CNN,
    # 0.1 * 0.95**epoch. Errors of the mean loss and updates have the 14 bits: of sums over 100 samples 7, and before the rate
    # of 0.1 is applied 4.
    "gupta-cnn": _updates(
        _gupta("gupta-cnn", 0.1, Fixed(16, 10), tuple((epoch, 0.95) for epoch in range(1, 200)), 20),
        deltas=7,
        updates=4,
    ),
    # 0.01, halved after 50, 75 and 100 epochs; momentum and decay are not given there, these are the other network's
    "gupta-cifar": _gupta("gupta-cifar", 0.01, Fixed(16, 12), ((50, 0.5), (75, 0.5), (100, 0.5)), 125),
}


def settings_of(net: str, **settings: Any) -> Config:
    """The named network's settings with those that are given; None leaves the network's own."""
    return replace(preset(net), **{name: value for name, value in settings.items() if value is not None})


def preset(net: str) -> Config:
    """The settings of the named network: its own, or those of the small cnn. ValueError for an unknown name."""
    if net not in NETWORKS:
        raise ValueError(f"unknown network {net!r}; known networks: {', '.join(NETWORKS)}")
    return _PRESETS.get(net) or replace(CNN, net=net)
