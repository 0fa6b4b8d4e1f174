"""Which packages a wheel holds; names and needs are in setup.cfg, tools in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['s4jax', 's4jax.*']), 's4jax.configs'],
    package_dir={'s4jax.configs': 'configs'},  # an installed s4jax brings the configs along
)
