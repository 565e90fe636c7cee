"""A pytest plugin: clients that run statements all the time and check that each reply is theirs.

Under transaction pooling the server connections thus change hands between any two
transactions of a test, as they do under real load.
"""

import threading

import psycopg
import pytest


class Neighbours:
    def __init__(self, clients=2):
        self._stop = threading.Event()
        self._failures = []
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        try:
            with psycopg.connect(autocommit=True) as conn:
                count = 0
                while not self._stop.wait(0.004):
                    count += 1
                    text = f"neighbour {number} says {count}"
                    got = conn.execute("SELECT %s::text", (text,)).fetchone()[0]
                    assert got == text, f"{got!r} instead of {text!r}"
        except Exception as failure:  # reported by stop(), in the main thread
            self._failures.append(failure)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._failures, f"a neighbour failed: {self._failures}"


@pytest.fixture(scope="session", autouse=True)
def neighbours():
    neighbours = Neighbours()
    yield
    neighbours.stop()
