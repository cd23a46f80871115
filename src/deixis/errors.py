"""Every error that Deixis raises on purpose: *what*: expected *this*, got *that*. *What to do.*"""


class DeixisError(Exception):
    """Something that a person can put right; its message says how."""


class ConfigError(DeixisError, ValueError):
    """A setting, preset or run file that cannot be used."""


class DataError(DeixisError, ValueError):
    """Images, prompts, questions or annotations that cannot be used."""


class ShapeError(DeixisError, ValueError):
    """Tensors or arrays whose shapes do not fit together."""


class WeightsError(DeixisError, ValueError):
    """A checkpoint that does not fit the model exactly."""


class MissingExtra(DeixisError, ImportError):
    """An optional dependency that this feature needs is not installed."""
