"""The time limit counts the time in which the process could run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from parity.conformance import worker

JOB = """
import runpy, sys, time

def job():
    print("started", flush=True)
    for _ in range(5):
        time.sleep(0.2)

runpy.run_path(sys.argv[1])["run"](job, 2.0)
print("finished", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process cannot be stopped here")
def test_a_process_that_stood_still_has_not_used_up_its_time() -> None:
    with subprocess.Popen([sys.executable, "-c", JOB, worker.__file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "finished\n"


def test_an_error_of_the_job_is_raised_here() -> None:
    def job() -> None:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        worker.run(job, 5.0)
