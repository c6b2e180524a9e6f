"""How much memory a benchmark's process took."""

from pathlib import Path


def peak_mib() -> float:
    """Peak of this process's resident memory; getrusage would count that of the process which started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
