"""Finding, composing, checking and explaining configs; the only package that knows how Hydra works."""

from saelab.config.check import ConfigError, check
from saelab.config.command import Job, as_job, command
from saelab.config.compose import compose, configs_dir, jobs, options

__all__ = ["ConfigError", "Job", "as_job", "check", "command", "compose", "configs_dir", "jobs", "options"]
