"""The folder in which compiled programs are kept from one process to the next."""

import os
import pathlib
import re
import sys
import warnings
from typing import Any

import jax

CACHE = '~/.cache/s4jax'


def use_cache(cache: pathlib.Path | None = None) -> None:
    """Keeps compiled programs in a folder, where it can be written.

    cache: None: that of JAX_COMPILATION_CACHE_DIR, or ~/.cache/s4jax.

    A damaged program that JAX cannot read is deleted: JAX itself would warn for ever and not
    replace it.
    """
    cache = cache or pathlib.Path(os.environ.get('JAX_COMPILATION_CACHE_DIR') or CACHE).expanduser()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.R_OK | os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        message = f'{cache} cannot be written, so compiled programs are not kept'
        print(f's4jax: {message}: set JAX_COMPILATION_CACHE_DIR', file=sys.stderr)
        jax.config.update('jax_compilation_cache_dir', None)
        return
    jax.config.update('jax_compilation_cache_dir', str(cache))
    shown = warnings.showwarning

    def show(message: Any, *rest: Any, **options: Any) -> None:
        name = re.match(
            r"Error reading persistent compilation cache entry for '([^']+)'", str(message)
        )
        if name is None:
            return shown(message, *rest, **options)
        for entry in cache.glob(f'{name[1]}*'):
            entry.unlink(missing_ok=True)
        message = f'a damaged compiled program ({name[1]}) in {cache} is deleted and compiled again'
        print(f's4jax: {message}', file=sys.stderr)

    warnings.showwarning = show
