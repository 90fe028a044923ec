"""What a sweep tells of its members while they run."""

from bn_repro.sweep.progress import last_line


def test_an_accuracy_is_told_with_the_step_that_it_is_of(tmp_path):
    log, step = tmp_path / "log.txt", "step     500 of 1,000  rate 1  0:00:04 left"
    assert last_line(log) == "starting"
    evaluated = "evaluated at step {}: test accuracy {} (ema)\n"
    log.write_text(evaluated.format(0, 0.1) + step + "\n")
    assert last_line(log) == f"{step}  at step 0: test accuracy 0.1 (ema)"
    log.write_text(log.read_text() + evaluated.format(500, 0.8))
    assert last_line(log) == f"{step}  at step 500: test accuracy 0.8 (ema)"
