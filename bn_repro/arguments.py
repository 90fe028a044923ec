"""What a command line says that no flag took, lacks, or misspells, in plain words.

absl leaves words that belong to no flag aside without a word; each of them is a value
that the user believes to have set.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from bn_repro.errors import UserError

SWITCH, LIST, NUMBER, TEXT = "switch", "list", "number", "text"  # what a flag takes
FLAG = re.compile(r"--?(?=[A-Za-z])([^=]+)(=.*)?", re.DOTALL)


def strays(argv: list[str], flags: Mapping[str, str], keys: Iterable[str]) -> str:
    """Returns which words no flag takes, and what was meant by them; "" if none.

    `argv` are a command's words, `flags` flag -> what it takes, such as SWITCH, which
    takes no word after it, `keys` the configuration's dotted keys.
    """
    places = list(_stray_places(argv, flags))
    if not places:
        return ""
    named = " and ".join(dict.fromkeys(repr(argv[place]) for place in places))
    verb = "belongs" if len(places) == 1 else "belong"
    meant = _meant(argv, places, flags, set(keys))
    return f"{named} {verb} to no flag" + (f"; did you mean {meant}?" if meant else "")


def _stray_places(argv: list[str], flags) -> Iterator[int]:
    place = 0
    while place < len(argv):
        word = argv[place]
        if word == "--":
            yield from range(place + 1, len(argv))
            return
        if not (word.startswith("-") and word.strip("-")):
            yield place
        place += 2 if _takes_next(word, flags) else 1


def _takes_next(word: str, flags) -> bool:
    found = FLAG.fullmatch(word)
    switch = found and flags.get(found[1], SWITCH) == SWITCH
    return bool(found and found[2] is None and not switch)


def _meant(argv, places: list[int], flags, keys) -> str:
    """Returns the likeliest flag for the first stray word, or ""."""
    first = argv[places[0]]
    if not re.search(r"\w", first):  # of a variable that is not set, of a backslash
        return ""
    name, equals, value = first.partition("=")
    name = name.lstrip("-–—+").removeprefix("config.")  # dashes that an editor made
    if equals and name in keys:
        return f"--config.{name}={value}"
    if equals and name in flags:
        return f"--{name}={value}"
    if first.partition(":")[0].endswith(".py") and "config" in flags:
        return f"--config={first}"
    before = next((i for i in range(places[0])[::-1] if FLAG.fullmatch(argv[i])), None)
    flag, value = FLAG.fullmatch(argv[before]).groups() if before is not None else "  "
    takes = flags.get(flag, "")
    free = "workdir" in flags.keys() - given(argv).keys()
    if "/" in first and takes != LIST and free:
        return f"--workdir={first}"
    if takes == SWITCH and value is None:
        return f"--{flag}={first}"
    words = [(value or "")[1:], *argv[before + 1 : max(places) + 1]] if takes else []
    words = [word for word in words if word]
    if takes == LIST:
        return f"--{flag}={','.join(p for w in words for p in w.split(',') if p)}"
    if len(words) == 1:
        return f"--{flag}={words[0]}"
    return f'--{flag}="{" ".join(words)}"' if takes == TEXT else ""


def unknown(given: Iterable[str], flags: Mapping[str, str]) -> str:
    """Returns which flag there is not, and the nearest that there is; or ""."""
    negated = {f"no{name}" for name, takes in flags.items() if takes == SWITCH}
    names = [name for name in given if name not in flags and name not in negated]
    if not names or "undefok" in given:
        return ""
    near = nearest(names[0], flags)
    meant = f"; did you mean --{near}?" if near else ""
    return f"there is no flag --{names[0]}{meant}"


def without_value(argv: list[str], flags: Mapping[str, str]) -> str:
    """Returns which flag would take the next flag for its value, or ""."""
    place = 0
    while place < len(argv):
        if _takes_next(argv[place], flags):
            following = argv[place + 1 : place + 2]
            if not following or following[0].startswith("--"):
                return f"{argv[place]} has no value"
            place += 1
        place += 1
    return ""


def given(argv: list[str]) -> dict[str, list[str]]:
    """Returns flag -> the values written behind "=" for it ("" where there is none)."""
    found = {}
    for word in argv:
        if match := FLAG.fullmatch(word):
            found.setdefault(match[1], []).append((match[2] or "=")[1:])
    return found


def example(document: str | None, script: str = "") -> str:
    """Returns the first command of a script in its docstring on one line, or ""."""
    joined = (document or "").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.startswith("python ")]
    lines = [line for line in lines if script in line]
    return " ".join(lines[0].split()) if lines else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns the known name that a word may be a misspelling of, or "".

    Case, hyphens and a missing or wrong section before the last dot weigh little.
    """
    plain = {_plain(name): name for name in known}
    wanted = _plain(word)

    def likeness(name: str) -> tuple[float, float]:
        ratio = lambda a, b: difflib.SequenceMatcher(None, a, b).ratio()  # noqa: E731
        whole = ratio(wanted, name)
        return max(whole, ratio(_last(wanted), _last(name)) - 0.05), whole

    best = max(plain, key=likeness, default="")
    enough = 0.5 if len(wanted) < 4 else 0.7  # one letter of two may be wrong
    return plain[best] if best and likeness(best)[0] >= enough else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns "; did you mean NAME?", or "" where no known name is near."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def at_home(word: str) -> str:
    """Returns an argument with "~" expanded where a path begins; shells miss `=~`.

    Raises:
      UserError: there is no such home.
    """
    split = word.partition("=") if word.startswith("-") else ("", "", word)
    name, equals, value = split
    paths = [
        os.path.expanduser(path) if re.match(r"~[^/]*(/|$)", path) else path
        for path in value.split(",")
    ]
    if lost := [path for path in paths if re.match(r"~[^/]+/", path)]:
        home = lost[0].partition("/")[0]
        raise UserError(f"there is no home {home}; write ./{home} for a folder here")
    return f"{name}{equals}{','.join(paths)}"
