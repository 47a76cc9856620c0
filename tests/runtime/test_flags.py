import threading

import pytest

from graphkeras.debug import flags


def test_value_comes_from_context_then_set_then_environment_then_default(monkeypatch):
    assert flags.NUM_THREADS.value == 0
    monkeypatch.setenv("GRAPHKERAS_NUM_THREADS", "3")
    assert flags.NUM_THREADS.value == 3
    flags.NUM_THREADS.set(4)
    try:
        assert flags.NUM_THREADS.value == 4
        with flags.NUM_THREADS(5):
            with flags.NUM_THREADS(6):
                assert flags.NUM_THREADS.value == 6
            assert flags.NUM_THREADS.value == 5
        assert flags.NUM_THREADS.value == 4
    finally:
        flags.NUM_THREADS.reset()
    assert flags.NUM_THREADS.value == 3


def test_context_is_left_on_error_and_seen_by_this_thread_only():
    seen = []
    with pytest.raises(KeyError), flags.DEBUG(3):
        thread = threading.Thread(target=lambda: seen.append(flags.DEBUG.value))
        thread.start()
        thread.join()
        raise KeyError
    assert seen == [0] and flags.DEBUG.value == 0


@pytest.mark.parametrize("text, value", [("1", True), ("true", True), ("ON", True), ("0", False), ("no", False), ("", False)])
def test_truth(monkeypatch, text, value):
    monkeypatch.setenv("GRAPHKERAS_VERIFY", text)
    assert flags.VERIFY.value is value and bool(flags.VERIFY) is value


@pytest.mark.parametrize("name, text", [("NUM_THREADS", "-1"), ("DEBUG", "many"), ("VERIFY", "perhaps"), ("EXECUTION", "fast")])
def test_bad_value_says_what_was_expected_and_where(monkeypatch, name, text):
    monkeypatch.setenv("GRAPHKERAS_" + name, text)
    with pytest.raises(flags.FlagError) as error:
        flags.FLAGS[name].value  # noqa: B018 - reading it is what fails
    for part in ("got:", text, "expected:", "where:", "GRAPHKERAS_" + name, "mend:"):
        assert part in str(error.value)


def test_names_are_split():
    with flags.DISABLE_PASSES("cse, dce"):
        assert flags.DISABLE_PASSES.value == ("cse", "dce")


def test_only_marked_flags_enter_the_key():
    plain = flags.key_text()
    with flags.DEBUG(4), flags.VALIDATE(True):
        assert flags.key_text() == plain
    with flags.OPT_LEVEL(3):
        assert flags.key_text() != plain


def test_describe_has_a_line_for_every_flag():
    lines = flags.describe().splitlines()
    assert len(lines) == len(flags.FLAGS)
    assert all(flag.variable in line and flag.help in line for flag, line in zip(flags.FLAGS.values(), lines, strict=True))
