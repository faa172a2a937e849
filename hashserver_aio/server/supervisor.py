"""Worker processes: forked, watched, replaced when they die, and stopped together.

Only a process without threads and event loop may fork: whoever supervises has neither, ever.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import CannotStart

log = logging.getLogger(__name__)

ON_SIGNALS = (signal.SIGTERM, signal.SIGINT)

LIVED_S = 1.0
"""Who was ready for so long is replaced at once: one such death a second storms nothing."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Between starts that fail one after the other; each pause is twice the one before."""

_ENDED = "ended"
_READY = b"+"
_READ_BYTES = 4096


@dataclass(frozen=True)
class Link:
    """What a worker has of its supervisor."""

    number: int
    """Which of the workers this is; a replacement has the number of the one it replaces."""

    leash: int
    """A descriptor that comes to its end when the worker is to stop, or the supervisor is dead."""

    voice: int

    def ready(self) -> None:
        """Tell that the worker does its work."""
        self._tell(_READY)

    def failed(self, why: str) -> None:
        """Tell in a sentence why the worker can't start."""
        self._tell(why.encode())

    def _tell(self, what: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody supervises: the leash says so too
            os.write(self.voice, what[:_READ_BYTES])


@dataclass
class _Worker:
    """A worker that lives; `ear` is the other end of its voice, and ends when it does.

    It `missed_reload` if it was not ready for one.
    """

    number: int
    pid: int
    ear: int
    said: bytes = b""
    ready_s: float | None = None
    missed_reload: bool = False


@dataclass
class _Vacancy:
    """A worker that is to be started at a moment."""

    number: int
    due_s: float


class Supervisor:
    """Keeps `count` workers at work.

    A first SIGTERM or SIGINT ends `watch`; a second one ends everything at once. SIGHUP is handed on.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Link], int],
        bury: Callable[[int], None],
        reload: Callable[[], bool] | None = None,
    ) -> None:
        """`work` is called in each worker, for its exit code; `bury` here, with a dead one's number.

        `reload` is called here on SIGHUP; if that went well workers that are ready get the signal too.
        Those that are forked later have what it left. With None SIGHUP keeps the meaning it has.
        """
        self._count, self._work, self._buried, self._reload = count, work, bury, reload
        self._workers: dict[int, _Worker] = {}
        self._vacancies: list[_Vacancy] = []
        self._failures: Counter[int] = Counter()
        self._signals = 0
        self._is_reload_due = False
        self._leash, self._leash_held = os.pipe()
        self._selector = selectors.PollSelector()  # no descriptor that workers would share
        self._signal_reader, self._signal_writer = os.pipe()
        for descriptor in (self._signal_reader, self._signal_writer):
            os.set_blocking(descriptor, False)
        self._selector.register(self._signal_reader, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._signal_writer, warn_on_full_buffer=False)
        for number in ON_SIGNALS if reload is None else (*ON_SIGNALS, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # what counts is the byte in the pipe
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody can be waited for

    # -- for the supervising process -------------------------------------------------------------

    def start(self) -> None:
        """Start all workers, and wait until all are ready.

        Raises: CannotStart, if one of them is not; KeyboardInterrupt, on a signal.
        """
        for number in range(self._count):
            try:
                self._fork(number)
            except OSError as error:
                raise CannotStart(f"no more than {number} workers can run: {error.strerror}") from None
        while not all(worker.ready_s is not None for worker in self._workers.values()):
            for worker, end in self._look(None):
                raise CannotStart(
                    worker.said.decode(errors="replace") or f"a worker {end} before it was ready"
                )
            if self._signals:
                raise KeyboardInterrupt

    def watch(self, rest_s: Callable[[], float | None]) -> None:
        """Replace workers that die, until a signal or until no rest is left.

        `rest_s`: in how many seconds to ask again; 0 to end, None never to.
        """
        while not self._signals:
            if self._is_reload_due:
                self._reload_all()
            rests = [rest_s(), *(vacancy.due_s - time.monotonic() for vacancy in self._vacancies)]
            if rests[0] is not None and rests[0] <= 0:
                return
            for worker, end in self._look(min((rest for rest in rests if rest is not None), default=None)):
                self._replace(worker, end)
            if not self._signals:  # sent to the whole group it ends the workers as well
                self._fill_vacancies()

    def stop(self, within_s: float) -> bool:
        """Let all workers stop, and wait for it; False if some had to be killed in the end."""
        os.close(self._leash_held)
        deadline_s = time.monotonic() + within_s
        obeyed = True
        while self._workers:
            if obeyed and time.monotonic() >= deadline_s:
                pids = " ".join(map(str, self._workers))
                log.error("not stopped within %g s, killed: worker %s", within_s, pids)
                self._kill_all()
                obeyed = False
            for worker, end in self._look(max(0.0, deadline_s - time.monotonic()) if obeyed else None):
                if end != _ENDED and worker.ready_s is not None:
                    log.error("worker %d %s while it stopped", worker.pid, end)
        return obeyed

    def _look(self, timeout_s: float | None) -> list[tuple[_Worker, str]]:
        """Wait for something to happen; the workers that ended, and how."""
        ended = []
        for key, _ in self._selector.select(None if timeout_s is None else max(0.0, timeout_s)):
            if key.fd == self._signal_reader:
                numbers = os.read(self._signal_reader, _READ_BYTES)
                self._signals += sum(number in ON_SIGNALS for number in numbers)
                self._is_reload_due |= signal.SIGHUP in numbers
                if self._signals > 1:
                    self._kill_all()
                    os._exit(1)  # asked twice: nothing that was acknowledged can be lost by it
                continue
            worker: _Worker = key.data
            said = os.read(worker.ear, _READ_BYTES)
            if not said:
                ended.append((worker, self._bury(worker)))
            elif said.startswith(_READY):
                worker.ready_s = time.monotonic()
                if worker.missed_reload:
                    os.kill(worker.pid, signal.SIGHUP)
                log.info("worker %d is ready", worker.pid)
            else:
                worker.said += said
        return ended

    def _bury(self, worker: _Worker) -> str:
        self._selector.unregister(worker.ear)
        os.close(worker.ear)
        del self._workers[worker.pid]
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        self._buried(worker.number)
        if code < 0:
            return f"was killed by signal {-code} ({signal.strsignal(-code)})"
        return f"ended with exit code {code}" if code else _ENDED

    def _replace(self, worker: _Worker, end: str) -> None:
        """Make a vacancy: at once, or after a pause if starts fail one after the other."""
        now_s = time.monotonic()
        if worker.ready_s is not None and now_s - worker.ready_s >= LIVED_S:
            self._failures[worker.number] = 0
            pause_s = 0.0
        else:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** self._failures[worker.number])
            self._failures[worker.number] = min(self._failures[worker.number] + 1, 10)
        why = f": {worker.said.decode(errors='replace')}" if worker.said else ""
        soon = f"in {pause_s:g} s" if pause_s else "now"
        level = logging.WARNING if end == _ENDED else logging.ERROR
        log.log(level, "worker %d %s%s; another one is started %s", worker.pid, end, why, soon)
        self._vacancies.append(_Vacancy(worker.number, now_s + pause_s))

    def _fill_vacancies(self) -> None:
        now_s = time.monotonic()
        for vacancy in [vacancy for vacancy in self._vacancies if vacancy.due_s <= now_s]:
            try:
                self._fork(vacancy.number)
                self._vacancies.remove(vacancy)
            except OSError as error:
                log.error("no worker can be started: %s", error.strerror)
                vacancy.due_s = now_s + LONGEST_PAUSE_S

    def _reload_all(self) -> None:
        self._is_reload_due = False
        if self._reload is not None and self._reload():
            for worker in self._workers.values():
                if worker.ready_s is None:  # it may not listen for signals yet
                    worker.missed_reload = True
                else:
                    os.kill(worker.pid, signal.SIGHUP)

    def _kill_all(self) -> None:
        for pid in self._workers:  # each is a child not waited for yet, so the number is still its own
            os.kill(pid, signal.SIGKILL)

    # -- on both sides of the fork ---------------------------------------------------------------

    def _fork(self, number: int) -> None:
        ear, voice = os.pipe()
        # A signal for the new worker must not be written into the supervisor's pipe.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*ON_SIGNALS, signal.SIGHUP))
        try:
            pid = os.fork()
            if not pid:
                self._be_worker(Link(number, self._leash, voice), ear, mask)
        except OSError:
            os.close(ear)
            raise
        finally:
            os.close(voice)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._workers[pid] = worker = _Worker(number, pid, ear)
        self._selector.register(ear, selectors.EVENT_READ, worker)

    def _be_worker(self, link: Link, ear: int, mask: set[signal.Signals | int]) -> None:
        """Do the work, and never return: what is above on the stack is the supervisor's."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            others = [worker.ear for worker in self._workers.values()]
            for descriptor in (ear, self._leash_held, self._signal_reader, self._signal_writer, *others):
                os.close(descriptor)
            code = self._work(link)
        except BaseException:
            log.exception("worker %d failed", os.getpid())
        finally:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(code)
