"""What filbert uses of CuPy 14, over NumPy. An array is on a device, and is made on the current one."""

from types import SimpleNamespace

import numpy as np


class Device:
    current = 0

    def __init__(self, index):
        self.id = index

    def __enter__(self):
        self._before, Device.current = Device.current, self.id
        return self

    def __exit__(self, *error):
        Device.current = self._before


class ndarray:  # noqa: N801
    def __init__(self, array):
        self._array = array
        self.device = Device(Device.current)
        self.shape, self.dtype = array.shape, array.dtype
        self.data = SimpleNamespace(ptr=array.ctypes.data)

    def get(self):
        return self._array.copy()


class Stream:
    synchronized = 0

    def synchronize(self):
        Stream.synchronized += 1


cuda = SimpleNamespace(get_current_stream=Stream)


def zeros(shape, dtype):
    return ndarray(np.zeros(shape, dtype))


def asarray(array):
    return ndarray(array.copy())
