"""One thing at a time beside the caller, and every error reaches it."""

import threading

import pytest

from bn_repro.errors import UserError
from bn_repro.run_folder.background import Background


def fail():
    raise UserError("the disk is full")


def test_the_caller_goes_on_and_the_next_waits():
    background, go, seen = Background(), threading.Event(), []
    background.start(lambda: (go.wait(10), seen.append(1)))
    background.look()
    assert not seen  # under way, and nobody waited
    threading.Timer(0.05, go.set).start()
    background.start(lambda: seen.append(2))
    assert seen[0] == 1
    background.wait()
    assert seen == [1, 2]


@pytest.mark.parametrize("how", ["start", "wait", "look"])
def test_an_error_is_raised_by_the_next_call_and_once(how):
    background = Background()
    background.start(fail)
    while not background._under_way.done():
        pass
    call = getattr(background, how)
    with pytest.raises(UserError, match="disk is full"):
        call(lambda: None) if how == "start" else call()
    background.wait()
