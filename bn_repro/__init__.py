"""Batch Normalization (Ioffe & Szegedy 2015), reproduced in JAX and Flax.

Public, and kept stable within a minor version:

- `batch_norm`: Algorithms 1 and 2 as pure functions of arrays;
- `layers.BatchNorm`: in the place of `flax.linen.BatchNorm`;
- `models.build`, `models.MODELS`, `models.NORMS`: the networks, what normalises them;
- `loop.run`: trains the run of a configuration in a run folder;
- `sweep.members`, `sweep.run`: all runs of a config file;
- `run_folder.records.read_run`, `run_folder.records.find_runs`: what a run recorded;
- `inference.members.load`: a trained network, read back;
- `analysis.report.write_report`: figures and tables from run folders.
"""

__version__ = "0.1.0"
