"""What a run recorded: its curves, and the inputs to its nonlinearities."""

from pathlib import Path

from bn_repro.run_folder import records

RESULTS = Path(__file__).parents[2] / "results"

run = records.read_run(RESULTS / "mnist" / "bn_seed0")
steps, accuracy = run.series("test", "ema", "accuracy")
print(f"{run.name}: {accuracy[-1]:.2%} at step {steps[-1]:,}")
# All lines as a table: pandas.DataFrame(run.metrics)

layer = run.activations["layers"][-1]
percentiles = run.activations[layer]  # [T, P, units]
print(f"{layer}: {percentiles.shape[2]} units at {len(run.activations['steps'])} steps")

runs = records.find_runs(RESULTS / "mnist")
print(f"{len(runs)} runs, the first with {runs[0].config['model']['norm']}")
