"""The exceptions of filbert. Messages name the file, the key, what was found and what was expected."""


class FilbertError(Exception):
    """Base of every error that filbert raises itself."""


class ConfigError(FilbertError, ValueError):
    """config.json cannot be read, or asks for something filbert cannot honour exactly."""


class WeightsError(FilbertError, ValueError):
    """A weights file is malformed, or lacks the tensors that the configuration needs."""


class UnsafePickleError(WeightsError):
    """A pytorch_model.bin asks for something other than plain tensors. Nothing of it was run."""


class InputError(FilbertError, ValueError):
    """Token ids, masks, positions or shapes that the model cannot take."""


class DeviceError(FilbertError, RuntimeError):
    """The device, dtype or instruction set asked for is not available; the message says why."""
