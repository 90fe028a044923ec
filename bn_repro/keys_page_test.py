"""docs/keys.md has every key, with what it means and accepts."""

from bn_repro import keys_page
from bn_repro.keys import KEYS


def test_the_page_is_what_the_code_says():
    """If not: python -m bn_repro.keys_page."""
    assert keys_page.PAGE.read_text() == keys_page.page()


def test_every_key_has_a_default_and_a_meaning():
    found = {key: (default, text) for key, default, text in documented()}
    assert found.keys() == KEYS.keys()
    for key, (default, text) in found.items():
        assert default and text, key


def documented():
    return keys_page.documented(keys_page.SOURCE.read_text())


def test_comments_behind_and_above_a_key():
    source = """
def get_config():
    config = dict()
    config.seed = 0  # of all | none
    config.bn = batch_norm()
    return config

def batch_norm():
    # a long
    config.batch = "global"
    config.biased = False
"""
    assert [*keys_page.documented(source)] == [
        ("seed", "0", "of all | none"),
        ("bn.batch", "'global'", "a long"),
        ("bn.biased", "False", ""),
    ]
