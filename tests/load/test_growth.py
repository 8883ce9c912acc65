from scalechat.load.growth import Growth


def test_what_grew_since_the_last_look_is_told_with_the_time_it_took() -> None:
    growth = Growth()
    assert growth.look(1_000, 5.0) is None
    assert growth.look(3_000, 7.5) == (2_000, 2.5)
    assert growth.look(4_000, 7.5) == (1_000, 0.0)


def test_a_counter_that_began_anew_is_no_negative_growth() -> None:
    """A server that was killed and started again has used no CPU yet."""
    growth = Growth()
    growth.look(0, 100.0)
    assert growth.look(1_000, 0.5) is None
    assert growth.look(2_000, 0.75) == (1_000, 0.25)


def test_what_was_forgotten_begins_no_stretch() -> None:
    growth = Growth()
    growth.look(0, 1.0)
    growth.forget()
    assert growth.look(1_000, 2.0) is None
