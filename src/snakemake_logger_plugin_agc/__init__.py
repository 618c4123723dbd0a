"""Logger plugin of Snakemake: ``--logger agc``, as in ``profiles/default``.

Snakemake looks for plugins by the names of modules; what this one shows is in
``agc_pipeline.terminal``.
"""

from agc_pipeline.terminal.handler import LogHandler

__all__ = ["LogHandler"]
