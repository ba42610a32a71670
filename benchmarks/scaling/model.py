"""A model of how a training scales over a cluster, from figures that `ranks.py` measures on one machine.

    python benchmarks/scaling/model.py [--sample-ms 23.1] [--fixed-ms 103] [--megabytes 76.2] [--network 12.5] ...

One process a core. A mini-batch takes a process

    work     fixed + samples x sample       fixed: tables from weights, gradients, optimizer, for all weights
    sums     2 S (p - 1) / p / shared       within a node of p processes, through its memory
             + 2 S (n - 1) / n / network    between n nodes, which carry the sums of each node once
             + 2 log2(p n) latency

It prints the share of the time that goes into samples, for mini-batches of so many samples a core.
"""

import argparse
import math
from dataclasses import dataclass

CORES = (1, 2, 16, 32, 64, 256, 1024)
SAMPLES = (1, 2, 4, 8, 16, 32)


@dataclass
class Machine:
    """Milliseconds a sample and a mini-batch, MB of sums, GB/s of memory and network, microseconds a message."""

    sample_ms: float
    fixed_ms: float
    megabytes: float
    shared: float
    network: float
    latency_us: float
    node_cores: int

    def sums_ms(self, cores: int) -> float:
        """Time to add the sums of a mini-batch up."""
        inside, nodes = min(cores, self.node_cores), -(-cores // self.node_cores)
        shared = 2 * self.megabytes * (inside - 1) / inside / self.shared  # MB / (GB/s) = ms
        between = 2 * self.megabytes * (nodes - 1) / nodes / self.network
        return shared + between + 2 * math.log2(cores) * self.latency_us / 1e3

    def efficiency(self, cores: int, samples: int) -> float:
        """Share of the time that goes into the samples of a core."""
        work = samples * self.sample_ms
        return work / (work + self.fixed_ms + self.sums_ms(cores))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--sample-ms", type=float, default=23.1, help="a sample (full-width VGG11: 23.1)")
    parser.add_argument("--fixed-ms", type=float, default=103.0, help="a mini-batch besides (103)")
    parser.add_argument("--megabytes", type=float, default=76.2, help="of sums (76.2)")
    parser.add_argument("--shared", type=float, default=3.2, help="GB/s between processes of a node (3.2)")
    parser.add_argument("--network", type=float, default=12.5, help="GB/s between nodes (12.5, as 100 Gbit/s)")
    parser.add_argument("--latency-us", type=float, default=4.0, help="a message, microseconds (4)")
    parser.add_argument("--node-cores", type=int, default=32, help="cores of a node (32)")
    machine = Machine(**vars(parser.parse_args()))
    print("| cores | sums, ms | " + " | ".join(f"{samples} a core" for samples in SAMPLES) + " |")
    print("|" + "---|" * (len(SAMPLES) + 2))
    for cores in CORES:
        shares = " | ".join(f"{machine.efficiency(cores, samples):.0%}" for samples in SAMPLES)
        print(f"| {cores} | {machine.sums_ms(cores):.1f} | {shares} |")


if __name__ == "__main__":
    main()
