import pytest

from keras_koopman.callbacks.clock import Clock


def ticks(clock, *epochs):
    """Batches seen when a record was due, over epochs of such hook indices."""
    due = []
    for epoch, hooks in enumerate(epochs):
        clock.begin_epoch(epoch)
        due += [clock.steps for hook in hooks if clock.tick(hook)]
        clock.end_epoch()
    return due


@pytest.mark.parametrize(
    ("interval", "epochs", "expected"),
    [
        (1, [range(3)] * 2, [1, 2, 3, 4, 5, 6]),
        (4, [range(5)] * 3, [4, 8, 12]),
        (7, [range(3)] * 3, [7]),
        (4, [[3, 7]] * 2, [4, 8, 12, 16]),  # four batches an execution
        (3, [[1, 3, 5]] * 2, [4, 6, 10, 12]),  # two an execution: when Keras calls next
        (1, [[3, 7]], [4, 8]),  # one record a call
        (None, [range(3)], []),
    ],
)
def test_records_are_due(interval, epochs, expected):
    clock = Clock(interval)
    assert ticks(clock, *epochs) == expected
    assert clock.steps == sum(hooks[-1] + 1 for hooks in epochs)


@pytest.mark.parametrize(("length", "steps"), [(None, 24), (10, 20), (12, 24)])
def test_last_execution_of_an_epoch_may_be_short(length, steps):
    clock = Clock(4)
    clock.begin_fit(length)
    ticks(clock, [3, 7, 11], [3, 7, 11])
    assert clock.steps == steps


def test_loops_of_ones_own():
    counting_on, beginning_again, both = Clock(4), Clock(4), Clock(4)
    for batch in range(12):
        counting_on.tick(batch)
        beginning_again.tick(batch % 6)
    assert counting_on.steps == beginning_again.steps == 12
    assert ticks(both, range(6), range(6, 12), range(12, 18)) == [4, 8, 12, 16]
    assert both.steps == 18


def test_a_fit_after_a_shorter_one():
    clock = Clock(2)
    clock.begin_fit(1)
    ticks(clock, [0])
    clock.begin_fit(4)
    ticks(clock, [1, 3])  # not a count that goes on
    assert clock.steps == 5


@pytest.mark.parametrize(
    ("length", "samples"), [(1, 1), (31, 31), (32, 32), (33, 16), (64, 32), (100, 25), (1000, 31)]
)
@pytest.mark.parametrize("unit", ["epoch", "batch"])
def test_samples_of_an_interval(length, samples, unit):
    clock = Clock(length if unit == "batch" else None)
    clock.begin_fit(length)
    for epoch in range(3):
        clock.begin_epoch(epoch)
        taken = [clock.steps for i in range(length) if [clock.tick(i), clock.sample_due()][1]]
        assert abs(len(taken) - samples) <= (epoch > 0)  # where the stride does not divide the interval
        clock.end_epoch()


def test_length_of_an_epoch_is_learnt():
    clock = Clock(None)
    counts = []
    for epoch in range(3):
        clock.begin_epoch(epoch)
        counts.append(sum([clock.tick(i), clock.sample_due()][1] for i in range(320)))
        clock.end_epoch()
    assert counts == [320, 32, 32]


def test_epoch_time():
    clock = Clock(None)
    clock.begin_epoch(4)
    assert clock.epoch_time == 5
    clock.epochs_before = 10
    assert clock.epoch_time == 15
