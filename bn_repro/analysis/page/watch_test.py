from bn_repro.analysis import testing
from bn_repro.analysis.page import watch
from bn_repro.errors import UserError
from bn_repro.run_folder import records


def test_what_could_not_be_drawn_is_tried_again_though_no_run_writes(
    tmp_path, monkeypatch, capsys
):
    testing.write_run(tmp_path / "run", steps=500)
    drawn, naps = [], []

    def draw(now):
        drawn.append(now)
        if len(drawn) == 1:
            raise UserError("the disk is full")
        return records.find_runs(tmp_path)

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(watch.os, "nice", lambda by: None)
    watch.watch(draw, tmp_path)
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.split("\n")]
    assert lines[:2] == [
        "nothing to draw yet: the disk is full",
        "1 runs: 1 finished",
    ]


def test_a_report_is_drawn_again_as_the_runs_go_on(tmp_path, monkeypatch, capsys):
    drawn, naps = [], []

    def draw(now):
        drawn.append(now)
        if not any(tmp_path.iterdir()):
            raise UserError("there is no run")
        return records.find_runs(tmp_path)

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 4:
            raise KeyboardInterrupt
        if len(naps) == 3:  # nothing new: nothing is drawn
            return
        status = ("running", "finished")[len(naps) - 1]
        testing.write_run(tmp_path / status, steps=500, status=status)

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(watch.os, "nice", lambda by: None)
    watch.watch(draw, tmp_path)
    assert len(drawn) == 3 and naps == 4 * [60]
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.split("\n")]
    assert lines[0] == "nothing to draw yet: there is no run"
    assert lines[1] == "1 runs: 1 running"
    assert lines[2] == "2 runs: 1 finished, 1 running"
