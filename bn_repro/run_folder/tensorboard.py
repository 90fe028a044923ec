"""Summaries for TensorBoard, beside the run folder's own records.

Only with `config.tensorboard`: clu's writer needs TensorFlow, seconds to import. A run
that resumes writes another file; TensorBoard shows the later one from there on.
"""

import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder import configuration, records

FOLDER = "tensorboard"  # in the run folder
_VALUES = 1_000  # that a histogram is handed over as


class Summaries:
    """Writes the records of one run as summaries."""

    def __init__(self, workdir):
        """Opens a file below workdir; UserError if TensorFlow is not installed."""
        try:
            from clu import metric_writers
        except ImportError as error:
            raise UserError(
                f"tensorboard is on, which needs {error.name}: pip install "
                f"tensorflow-cpu tensorboard, or set --config.tensorboard=False"
            ) from error
        self._writer = metric_writers.SummaryWriter(str(workdir / FOLDER))

    def configuration(self, config) -> None:
        """Writes the resolved configuration as hyper-parameters."""
        flat = configuration.flatten(config.to_dict())
        plain = (bool, int, float, str)
        self._writer.write_hparams(
            {k: v if isinstance(v, plain) else str(v) for k, v in flat.items()}
        )

    def metrics(self, step: int, split: str, statistics: str, values: dict) -> None:
        """Writes one line of metrics.jsonl as scalars, such as test/ema/accuracy."""
        scalars = {f"{split}/{statistics}/{k}": v for k, v in values.items()}
        self._writer.write_scalars(step, scalars)

    def activations(self, step: int, probe: dict) -> None:
        """Writes what `probe.Probe` measured: histograms, and each number a layer."""
        layers = list(probe["layer_arrays"])
        for which in ("input", "output"):
            histograms = {
                f"{layer}/{which}": _values(shares, ends)
                for layer, shares, ends in zip(
                    layers,
                    probe[f"{which}_histogram"],
                    probe[f"{which}_range"],
                    strict=True,
                )
            }
            self._writer.write_histograms(step, histograms)
        for field in (name for name in probe if name in records.PROBE_FIELDS):
            if np.ndim(probe[field]) > 1:
                continue
            names = ["network"] if field in records.OF_NETWORK else layers
            named = zip(names, probe[field], strict=True)
            scalars = {f"{field}/{name}": float(v) for name, v in named}
            self._writer.write_scalars(step, scalars)

    def close(self) -> None:
        """Writes what is still in memory."""
        self._writer.close()


def _values(shares, ends) -> np.ndarray:
    """Returns values that have a histogram's shares, at the middle of each bin."""
    edges = np.linspace(*map(float, ends), len(shares) + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    counts = np.round(np.asarray(shares, np.float64) * _VALUES).astype(int)
    return np.repeat(middles, counts)
