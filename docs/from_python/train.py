"""Trains a run from Python, in a folder that a second call resumes from."""

from bn_repro import config_files, loop
from bn_repro.run_folder import records

config = config_files.load("mnist:bn")
config.steps = 300
config.eval.every = config.probe.every = 100
config.optimizer.learning_rate = 0.1

workdir = "runs/train"
status = loop.run(config, workdir)
steps, accuracy = records.read_run(workdir).series("test", "ema", "accuracy")
print(status, dict(zip(steps.tolist(), accuracy.tolist(), strict=True)))
