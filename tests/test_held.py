"""What is made on demand: once, whoever asks."""

from __future__ import annotations

import pickle
import threading

import pytest

from orchkit.held import Held


def test_many_threads_get_what_one_of_them_made():
    made, begun = [], threading.Barrier(8)

    def make():
        made.append(threading.get_ident())
        return object()

    held, found = Held(make), []

    def ask():
        begun.wait(30)
        found.append(held.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(made) == 1
    assert len(set(map(id, found))) == 1


def test_what_could_not_be_made_is_tried_again():
    answers = iter([ValueError("not yet"), None])

    def make():
        answer = next(answers)
        if answer is not None:
            raise answer
        return 7

    held = Held(make)
    with pytest.raises(ValueError, match="not yet"):
        held.get()

    assert held.get() == 7


def test_a_copy_in_another_process_has_the_value():
    assert pickle.loads(pickle.dumps(Held(lambda: [1, 2]))).get() == [1, 2]
