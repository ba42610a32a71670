"""A Slurm of its own on this machine, for tests: munge, a controller and two nodes, on the loopback interface only."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue", "sinfo")
NODES = 2
SECONDS = 60
"""Patience with the daemons."""

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# credentials expire soon, for a requeued job waits for that
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
TmpFS={folder}/tmp-%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
KillWait=20
MinJobAge=600
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why there can be no cluster here; empty if there can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    if absent:
        return f"needs {absent[0]}"
    return "" if os.geteuid() == 0 else "needs to be root, as the daemons are"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"


class Cluster:
    """A running cluster; a context manager that stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def _start(self) -> None:
        for name in ("run", "log", "state", *(f"tmp-n{number}" for number in range(NODES))):
            (self.folder / name).mkdir(parents=True)
        host, ports = socket.gethostname().partition(".")[0], _free_ports(NODES + 1)
        nodes = "\n".join(
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 Sockets=1 CoresPerSocket=4 "
            "ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN"
            for number, port in enumerate(ports[1:])
        )
        text = CONFIGURATION.format(host=host, port=ports[0], folder=self.folder, nodes=nodes)
        (self.folder / "slurm.conf").write_text(text)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        run, log = self.folder / "run", self.folder / "log"
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={run}/munge.sock",
            f"--pid-file={run}/munged.pid", f"--log-file={log}/munged.log", f"--seed-file={run}/munge.seed",
        )  # fmt: skip
        _wait(lambda: (run / "munge.sock").exists())
        self._daemon("slurmctld", "-D", "-c")
        for number in range(NODES):
            self._daemon("slurmd", "-D", "-N", f"n{number}")
        _wait(lambda: self.call("sinfo", "-N", "-h", "-p", "low", "-o", "%T").stdout.split() == ["idle"] * NODES)

    def _daemon(self, *command: str) -> None:
        with open(self.folder / "log" / f"{command[0]}.out", "ab") as out:
            self._daemons.append(
                subprocess.Popen(command, stdout=out, stderr=out, env=self.environment, start_new_session=True)
            )

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands."""
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=SECONDS)

    def job(self, number: str) -> dict[str, str]:
        """What the controller says of a job."""
        shown = self.call("scontrol", "--oneliner", "show", "job", number).stdout
        return dict(pair.split("=", 1) for pair in shown.split() if "=" in pair)

    def wait_for(self, number: str, *states: str, seconds: float = 240) -> dict[str, str]:
        """The job, as soon as it is in one of these states."""
        deadline = time.monotonic() + seconds
        while (job := self.job(number)).get("JobState") not in states:
            assert time.monotonic() < deadline, f"job {number} is {job.get('JobState')} {job.get('Reason')}"
            time.sleep(0.2)
        return job


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the cluster does not start"
        time.sleep(0.1)
