"""Signals: which ones stop a command that can be resumed, when, and how two of them are told from one."""

import signal
import subprocess
import sys

import pytest
from commands import python_process

from spikesim.runtime import stopping
from spikesim.runtime.stopping import SIGNALS, TOGETHER_SECONDS, stop_on_signals


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be changed."""
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("second", SIGNALS)
@pytest.mark.parametrize("first", SIGNALS)
def test_two_signals_within_a_second_are_one(first: int, second: int, clock: list[float]) -> None:
    requests: list[float] = []
    with stop_on_signals(lambda: requests.append(clock[0])):
        signal.raise_signal(first)
        for late in (0, 0.5, 0.999):
            clock[0] = 100 + late * TOGETHER_SECONDS
            signal.raise_signal(second)
    assert requests == [100.0]


def test_a_later_interrupt_ends_the_work(clock: list[float]) -> None:
    with stop_on_signals(lambda: None):
        signal.raise_signal(signal.SIGTERM)
        clock[0] += TOGETHER_SECONDS
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_on_signals(lambda: None):
        assert signal.getsignal(signal.SIGUSR1) not in before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def ended(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = python_process(code, *arguments)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def test_a_later_signal_ends_the_process_as_ever() -> None:
    result = ended(
        """
        import os, signal, time
        from spikesim.runtime import stopping
        stopping.TOGETHER_SECONDS = 0.0
        with stopping.stop_on_signals(lambda: print("asked", flush=True)):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        """
    )
    assert result.returncode == -signal.SIGTERM
    assert result.stdout == "asked\n"


BEFORE_ANYTHING = """
    import os, signal, sys
    from spikesim import __main__, cli

    def signalled(**options):
        os.kill(os.getpid(), getattr(signal, sys.argv.pop()))
        raise SystemExit(3)

    cli.main = signalled
    __main__.main()
"""


@pytest.mark.parametrize("command", ["train", "simulate"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_before_any_work_ends_with_75(command: str, number: signal.Signals) -> None:
    result = ended(BEFORE_ANYTHING, command, "--resume", number.name)
    assert result.returncode == 75
    assert result.stderr == f"Stopped by {number.name}; the same command with --resume continues from there.\n"


def test_a_signal_after_the_work_changes_nothing() -> None:
    result = ended(
        """
        import os, signal, sys
        from spikesim.runtime import stopping
        stopping.stop_early("train")
        with stopping.stop_on_signals(lambda: None):
            pass
        for number in stopping.SIGNALS:
            os.kill(os.getpid(), number)
        class Last:
            def __del__(self, kill=os.kill, own=os.getpid(), number=signal.SIGTERM):
                kill(own, number)  # while the interpreter ends
        sys.last = Last()
        raise SystemExit(75)
        """
    )
    assert result.returncode == 75


def test_commands_that_cannot_be_resumed_end_as_ever() -> None:
    assert ended(BEFORE_ANYTHING, "info", "SIGTERM").returncode == -signal.SIGTERM


def test_a_dry_run_ends_as_ever() -> None:
    result = ended(BEFORE_ANYTHING, "train", "--dry-run", "SIGTERM")
    assert result.returncode == -signal.SIGTERM and not result.stderr


def test_a_closed_standard_error_does_not_matter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; from spikesim.runtime.stopping import stop_early; import signal\n"
         "stop_early('train'); os.close(2); os.kill(os.getpid(), signal.SIGTERM)"],
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 75
