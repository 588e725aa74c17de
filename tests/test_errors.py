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
