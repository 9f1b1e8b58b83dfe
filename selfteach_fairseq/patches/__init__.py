"""What is mended of fairseq and torch at run time: a fault a file, and why it is one.

There is neither a hook nor a class to extend for any of them.
"""

from . import amp, divergence, hydra_presets, multilingual, resume, safe_globals, whole_files


def apply() -> None:
    """Mends them all, for every process that imports this package."""
    safe_globals.apply()
    whole_files.apply()
    resume.apply()
    divergence.apply()
    amp.apply()
    hydra_presets.apply()
    multilingual.apply()
