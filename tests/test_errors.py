import errno

import pytest

from metann import cli
from metann.errors import meant, one_of, unknown


def test_known_names_in_their_order() -> None:
    assert one_of({10, 9, 2}) == "2, 9, 10"
    assert one_of([0.5, 0.05, 1]) == "0.05, 0.5, 1"
    assert one_of(["b", "a", "10", "9"]) == "10, 9, a, b"
    assert one_of(["b", None, 3]) == "3, None, b"
    assert one_of([]) == ""
    assert one_of(range(50)).endswith("38, 39, ... (50 in all)")
    assert str(unknown("seed", 3, {10, 9})) == "unknown seed '3'; known: 9, 10"


def test_a_key_that_is_meant_is_named_and_a_strange_one_not() -> None:
    known = ["epochs", "batch_size", "learning_rate"]
    assert meant("Epoch", known) == " (did you mean 'epochs'?)"
    assert meant("learning_rates", known) == " (did you mean 'learning_rate'?)"
    assert meant("colour", known) == meant("", known) == meant("epochs", []) == ""


@pytest.mark.bad_input
def test_a_file_that_the_system_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stage meets it; a fault of the program has no file."""

    def app(error: OSError) -> None:
        raise error

    monkeypatch.setattr(cli, "app", lambda _: app(PermissionError(errno.EACCES, "Permission denied", "photos/ant")))
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code != 0
    assert capsys.readouterr().err == "metann: error: cannot read photos/ant: it may not be read; give permission\n"
    monkeypatch.setattr(cli, "app", lambda _: app(OSError("nothing that we know")))
    with pytest.raises(OSError, match="nothing that we know"):
        cli.main([])
