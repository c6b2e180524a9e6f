"""How long `sleevegraph verify` takes for one bundle, its process' start included, beside a process that only imports.

python -m bench.verify runs/meta_fractal-20231221
"""

import subprocess
import sys
import time
from statistics import median

ROUNDS = 9
IMPORTS = "import numpy, polars, pydantic, scipy.cluster.hierarchy, scipy.optimize"
COMMAND = "from commands.main import main; main(prog_name='sleevegraph')"


def seconds(*arguments: str) -> float:
    """Wall time of one Python process; it has to end well."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", *arguments], check=True, capture_output=True)  # noqa: S603 - our own command
    return time.perf_counter() - began


def main() -> None:
    """Time both in turns, so that a busy machine slows both alike."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the module and one path
        sys.exit("usage: python -m bench.verify BUNDLE")
    pairs = [(seconds(COMMAND, "verify", sys.argv[1]), seconds(IMPORTS)) for _ in range(ROUNDS)]
    verify, imports = (sorted(times) for times in zip(*pairs, strict=True))
    print(f"verify   min {verify[0]:.2f} s, median {median(verify):.2f} s, max {verify[-1]:.2f} s")
    print(f"imports  min {imports[0]:.2f} s, median {median(imports):.2f} s, max {imports[-1]:.2f} s")
    print(f"ratio of the medians {median(verify) / median(imports):.2f}")


if __name__ == "__main__":
    main()
