"""Which record is due, counted from what `fit` tells its callbacks."""

from __future__ import annotations

SAMPLES_PER_INTERVAL = 32


class Clock:
    """Counts batches over epochs and fits.

    With `steps_per_execution=k` the hooks come once in k batches, with the index of the last one: so batches
    are counted from the index.

    Args:
        interval: batches between records; None for a record at the end of each epoch.
    """

    def __init__(self, interval: int | None) -> None:
        self.interval = interval
        self.steps = 0
        self.epoch = 0
        self.epochs_before = 0  # epochs of earlier fits that began again at 0
        self._last = -1
        self._last_of_epoch = -1  # of the epoch before
        self._sampled = 0
        self._epoch_begin = 0
        self.announced: int | None = None  # batches of an epoch, if Keras knows
        self._epoch_length: int | None = None

    def begin_fit(self, epoch_length: int | None) -> None:
        """A fit begins, with so many batches an epoch; None if nobody knows."""
        self.announced = epoch_length
        self._epoch_length = epoch_length or self._epoch_length
        self._last = self._last_of_epoch = -1
        self._epoch_begin = self.steps

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins."""
        self.epoch = epoch
        self._last_of_epoch, self._last = self._last, -1
        self._epoch_begin = self.steps

    def set_steps(self, steps: int) -> None:
        """Go on from so many batches."""
        self.steps = self._sampled = self._epoch_begin = steps

    def tick(self, batch: int) -> bool:
        """Batches up to number `batch` of this epoch are done; whether that makes a record due."""
        if self.announced and self._last + 1 < self.announced <= batch:
            batch = self.announced - 1  # the last execution of an epoch may be short of batches
        # A loop of the user's own may count on over epochs, or begin again without a word.
        counts_on = self._last < 0 and batch == self._last_of_epoch + 1
        done = 1 if counts_on else batch - self._last if batch > self._last else batch + 1
        self._last = batch
        before, self.steps = self.steps, self.steps + done
        return self.interval is not None and self.steps // self.interval > before // self.interval

    def sample_due(self) -> bool:
        """Whether the mean over the interval wants another sample: at most about 32 in it."""
        length = self.interval or self._epoch_length or 1
        stride = -(-length // SAMPLES_PER_INTERVAL)
        due = self.steps // stride > self._sampled // stride
        self._sampled = self.steps
        return due

    def end_epoch(self) -> None:
        """The epoch is over: its length is known."""
        self._epoch_length = self.steps - self._epoch_begin or self._epoch_length
        self._epoch_begin = self.steps

    @property
    def epoch_time(self) -> float:
        """Epochs done when the present one ends, those of earlier fits included."""
        return float(self.epochs_before + self.epoch + 1)
