"""Ctrl-C and SIGTERM end a long command where they find it, also where a library makes something else of them."""

from __future__ import annotations

import os
import signal

import click
import pytest

from commands.shared.interruption import Interrupted, Interruption


def test_what_a_library_makes_of_a_signal_is_the_signal_all_the_same() -> None:
    def lose_the_connection() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise click.ClickException("The connection was lost.") from error

    with pytest.raises(Interrupted) as interrupted, Interruption().listening():
        lose_the_connection()
    assert interrupted.value.exit_code == 143


def test_an_error_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(click.ClickException), Interruption().listening():
        raise click.ClickException("The connection was lost.")


def test_what_must_not_be_cut_in_two_is_finished_first() -> None:
    done: list[str] = []
    interruption = Interruption()

    def work() -> None:
        with interruption.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the batch")
        done.append("the next one")

    with pytest.raises(Interrupted), interruption.listening():
        work()
    assert done == ["the batch"]
