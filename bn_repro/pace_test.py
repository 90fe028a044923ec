"""The time left is by the speed since all was compiled, which gives signs of life."""

import time

from bn_repro import pace


def test_the_time_left_knows_what_was_compiled(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    clock = pace.Pace(step=100)
    for what, seconds, steps in (("steps", 60.0, 10), ("evaluation", 30.0, 0)):
        with pace.first([clock], what, print, steps):
            now[0] += seconds
    assert clock.left(110, 200) == "compiled in 90 s"
    now[0] += 5.0
    assert clock.left(120, 200) == "0:00:40 left"  # 80 steps, half a second each


def test_what_compiles_gives_a_sign_of_life_the_first_time_only(monkeypatch):
    monkeypatch.setattr(pace, "EVERY", 0.01)
    clocks, told = [pace.Pace(0), pace.Pace(0)], []
    for again in (False, True):
        with pace.first(clocks, "steps", told.append):
            time.sleep(0.1)
        assert (len(told) == 0) if again else (len(told) >= 2)
        assert all(line == "compiling the steps: 0 s so far" for line in told)
        told.clear()
