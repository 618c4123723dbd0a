"""Runs of Snakemake on Slurm look for the ends of jobs as often as they can; Python imports this.

After each look without one they would wait 10 s longer, which is more than the jobs of tests take.
"""

import sys

if "snakemake" in sys.orig_argv and any(word.endswith("profiles/slurm") for word in sys.orig_argv):
    from snakemake_executor_plugin_slurm import Executor

    Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda *_: None)
