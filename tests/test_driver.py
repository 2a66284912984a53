"""A network in an emulated machine's memory: the words of golden's graph, whatever the chip; checks that find faults."""

from dataclasses import replace

import numpy as np
import pytest
from blobs import draw_blobs

from golden.checkpoint import Checkpoint
from golden.layers import PHASES, Formats, GoldenExecute
from golden.presets import preset
from golden.tally import Tally
from golden.trainer import train
from host.compiler import compile_predict
from host.driver import MEMORY, RING, Driver, NoRoom, without_masks
from host.machines import EmulatedMachine, MachineError
from host.program import Run
from spec.chip import CHIPS
from spec.isa import ErrorCode, Opcode, encode
from spec.number import Fixed

CHIP = CHIPS["tiny"]
CNN = replace(preset("cnn"), epochs=2, batch=16)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def blobs(seed):
    """Small images of three classes; the last batch of an epoch has four."""
    return draw_blobs(np.random.default_rng(seed), 36, 15)


def driver(blobs, config=CNN, chip=CHIP, check=False):
    return Driver(config.graph(blobs), EmulatedMachine(chip, MEMORY, RING), check)


def batch(blobs, some=slice(0, 16), config=CNN):
    return blobs.words(blobs.train_x[some], config.inputs), blobs.train_y[some]


def plans(graph, config=CNN):
    return [config.sgd.plan(formats, config.batch) for formats in graph.formats]


@pytest.mark.parametrize("net", ["cnn", "mlp"])
def test_training_leaves_goldens_words_in_memory(net, blobs):
    config = replace(CNN, net=net, hidden=(12,))
    golden = train(config, blobs, network=config.graph(blobs))
    on_machine = train(config, blobs, network=driver(blobs, config, check=True), execute=GoldenExecute())
    assert [log.digest for log in on_machine.history] == [log.digest for log in golden.history]
    assert [log.loss for log in on_machine.history] == [log.loss for log in golden.history]
    assert [log.accuracy for log in on_machine.history] == [log.accuracy for log in golden.history]
    assert (on_machine.differing_words, on_machine.first_difference) == (0, "")
    assert [log.density for log in on_machine.history] == [log.density for log in golden.history]


@pytest.mark.parametrize(
    "change", [{"lanes": 8, "groups": 3}, {"scratch_depth": 256}, {"bank_depth": 1024, "slots": 4}]
)
def test_chips_agree(change, blobs):
    config = replace(CNN, epochs=1)
    chip = replace(CHIP, name="other", **change)
    digests = [train(config, blobs, network=driver(blobs, config, c)).history[0].digest for c in (CHIP, chip)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("width", "acc_width"), [(8, 32), (12, 40), (18, 56)])
def test_words_of_other_widths(width, acc_width, blobs):
    def fixed(frac):
        return Fixed(width, max(1, frac + width - 16))

    fine, sums = fixed(13), fixed(8)
    formats = Formats(weights=fine, activations=fixed(10), deltas=fine, gradients=sums, velocity=sums)
    config = replace(CNN, epochs=1, inputs=fixed(8), formats=formats, sgd=replace(CNN.sgd, decay=0))
    d = driver(blobs, config, replace(CHIP, width=width, acc_width=acc_width), check=True)
    result = train(config, blobs, network=d, execute=GoldenExecute(width, acc_width))
    assert (result.differing_words, result.first_difference) == (0, "")
    assert result.words_compared > 50_000


def test_every_tensor_of_a_step_is_compared(blobs):
    d = driver(blobs, check=True)
    tally = Tally(GoldenExecute())
    d.step(tally, *batch(blobs), plans(d), CNN.rounding, 0)
    program, _ = d.last
    kinds = ("out", "places", "delta", "part", "gradient", "velocity", "weights")
    seen = {}
    d.graph.observe = seen.__setitem__
    d.graph.step(tally, *batch(blobs), plans(d), CNN.rounding, 1)
    named = {name for name in program.tensors if name.split(".")[0] in kinds}
    assert len(named) > 20
    assert named <= set(seen)
    assert tally.words_compared == sum(seen[name].size for name in named)


@pytest.mark.parametrize("name", ["out.0", "part.3.0.2", "gradient.4", "weights.9", "velocity.1"])
def test_one_wrong_word_is_found_and_named(name, blobs, monkeypatch):
    d = driver(blobs, check=True)
    tally = Tally(GoldenExecute())
    count = d._count

    def disturb(tally):
        words = d.read(name)
        words.reshape(-1)[-1] ^= 1
        d.write(name, words)
        count(tally)

    monkeypatch.setattr(d, "_count", disturb)
    d.step(tally, *batch(blobs), plans(d), CNN.rounding, 7)
    assert tally.differing_words == 1
    assert tally.first_difference.startswith(f"step 7, {name}[")


def test_a_wrong_logit_is_found(blobs, monkeypatch):
    d = driver(blobs, check=True)
    x, _ = batch(blobs, slice(3, 10))
    tally = Tally(GoldenExecute())
    d.predict(tally, x)
    assert (tally.words_compared, tally.differing_words) == (21, 0)
    monkeypatch.setattr(d.graph, "predict", lambda *_: d.read("out.9") + np.eye(7, 3, dtype=int))
    d.predict(tally, x)
    assert tally.differing_words == 3
    assert tally.first_difference.startswith("step 0, logits[0, 0]: ")


def test_a_small_memory_takes_samples_in_several_runs(blobs, monkeypatch):
    """What has no room is found out once, and where not even one sample has room that is said."""
    graph, (x, _) = CNN.graph(blobs), batch(blobs)
    ring = driver(blobs).program(4, None).memory_bytes
    compiled = []

    def noted(graph, chip, samples, **how):
        compiled.append(samples)
        return compile_predict(graph, chip, samples, **how)

    monkeypatch.setattr("host.driver.compile_predict", noted)
    d = Driver(graph, EmulatedMachine(CHIP, ring + MEMORY - RING, ring))
    for _ in range(2):
        np.testing.assert_array_equal(d.predict(Tally(GoldenExecute()), x), graph.predict(GoldenExecute(), x))
    assert compiled == [16, 8, 4]
    with pytest.raises(NoRoom, match="for 1 samples tensors take "):
        Driver(graph, EmulatedMachine(CHIP, 128 + MEMORY - RING, 128)).predict(Tally(GoldenExecute()), x)


def test_prediction_is_goldens_with_running_statistics(blobs):
    d, graph = driver(blobs), CNN.graph(blobs)
    for step in range(3):
        for learner in (d, graph):
            learner.step(Tally(GoldenExecute()), *batch(blobs), plans(graph), CNN.rounding, step)
    x, _ = batch(blobs, slice(3, 10))
    np.testing.assert_array_equal(d.predict(Tally(GoldenExecute()), x), graph.predict(GoldenExecute(), x))
    assert d.digest() == graph.digest()
    for name, words in graph.state().items():
        np.testing.assert_array_equal(d.state()[name], words)
    np.testing.assert_array_equal(d.read("weights.0", d.program(7, None)), graph.weights[0])
    with pytest.raises(KeyError, match="no tensor 'wieghts'"):
        d.read("wieghts")


def test_a_run_on_a_machine_goes_on_from_a_checkpoint_on_golden_and_back(blobs, tmp_path):
    whole = train(CNN, blobs)
    kept = []
    train(CNN, blobs, network=driver(blobs), steps=2, keep=kept.append)
    kept[-1].save(tmp_path / "run")
    train(CNN, blobs, resume=Checkpoint.load(tmp_path / "run"), steps=4, keep=kept.append)
    last = train(CNN, blobs, network=driver(blobs), resume=kept[-1])
    assert last.network.digest() == whole.network.digest()


@pytest.mark.parametrize("last", [4, 6, 10])
def test_a_step_that_is_interrupted_does_not_count(last, blobs):
    d = driver(blobs)
    run = d.backend.run
    calls = []

    def interrupted(descriptors):
        calls.append(len(descriptors))
        if len(calls) == last:
            raise KeyboardInterrupt
        run(descriptors)

    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(d.backend, "run", interrupted)
        assert train(CNN, blobs, network=d, keep=kept.append).interrupted
    assert kept[-1].steps < 2
    for name, words in kept[-1].state.items():
        np.testing.assert_array_equal(d.state()[name], words)
    assert train(CNN, blobs, resume=kept[-1], network=d).network.digest() == train(CNN, blobs).network.digest()


def test_counts_and_rows_are_those_of_the_commands(blobs):
    d, tally, golden = driver(blobs), Tally(GoldenExecute()), Tally(GoldenExecute())
    d.step(tally, *batch(blobs), plans(d), CNN.rounding, 0)
    CNN.graph(blobs).step(golden, *batch(blobs), plans(d), CNN.rounding, 0)
    for phase in PHASES:
        mine, want = tally.phases[phase], golden.phases[phase]
        assert mine.macs_done > 0
        assert mine.saturations == want.saturations
    # Bias rows of a weight gradient are no product on the machine.
    assert tally.phases["BP"].macs_done == golden.phases["BP"].macs_done
    assert tally.phases["FP"].macs_done == golden.phases["FP"].macs_done
    assert tally.phases["FP"].nonzero == golden.phases["FP"].nonzero
    rows = d.trace()
    assert {row.phase for row in rows} == {"FP", "BP", "WG", "update"}
    program, _ = d.last
    read = sum(row.bytes_read for row in rows)
    assert read > program.tensors["x"].size + program.tensors["out.9"].size
    with pytest.raises(ValueError, match=r"^no step has been taken yet$"):
        driver(blobs).trace()


def test_without_skipping_and_without_masks_the_words_are_the_same(blobs):
    found = []
    for skip in (True, False):
        for graph in (CNN.graph(blobs), without_masks(CNN.graph(blobs))):
            d, tally = Driver(graph, EmulatedMachine(CHIP, MEMORY, RING), check=True, skip=skip), Tally(GoldenExecute())
            d.step(tally, *batch(blobs), plans(d), CNN.rounding, 0)
            assert tally.differing_words == 0
            products = [
                c for part in d.stepped[0].parts if isinstance(part, Run) for c in part.commands if c.opcode == 5
            ]
            assert {c.fields["skip"] for c in products} == {int(skip)}
            found.append((d.digest(), sum(c.fields.get("masked", 0) for c in products)))
    assert len({digest for digest, _ in found}) == 1
    assert [masked > 0 for _, masked in found] == [True, False, True, False]


def test_a_machine_that_stops_says_where():
    machine = EmulatedMachine(CHIP, 1 << 16, 1 << 15)
    end = encode(Opcode.END)
    with pytest.raises(MachineError, match=r"^descriptor 1: read_bus: load at 0x20000$") as caught:
        machine.run(end.replace(b"\x01", b"\x02", 1) + encode(Opcode.LOAD, address=1 << 17) + end)
    assert (caught.value.code, caught.value.index) == (ErrorCode.READ_BUS, 1)


def test_networks_that_do_not_fit_are_refused(blobs):
    with pytest.raises(ValueError, match=r"^node \d+: .* too many$"):
        driver(blobs, chip=replace(CHIP, scratch_banks=1, scratch_depth=16)).predict(
            Tally(GoldenExecute()), batch(blobs)[0]
        )
