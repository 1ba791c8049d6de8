"""The records of a torch zip file: stored, plain, in bounds and apart, or the file is refused.

Stricter than `zipfile`: what the local headers and the central directory say must agree, so no two readers can see
different contents, and no record is inflated. Format: PKWARE APPNOTE 6.3.10, sections 4.3.6 to 4.3.16.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise

from .errors import WeightsError

_MAX_RECORDS = 100_000
_MAX_NAME_BYTES = 512
_LOCAL, _CENTRAL, _END, _END64, _LOCATOR64 = 0x04034B50, 0x02014B50, 0x06054B50, 0x06064B50, 0x07064B50
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008


class ZipRecords:
    """Records by name, as (offset, size, crc32) in the file. Raises WeightsError."""

    def __init__(self, data: memoryview, path: str) -> None:
        self._data = data
        self._path = path
        self._records: dict[str, tuple[int, int, int]] = {}
        try:
            self._read_directory()
        except (struct.error, OverflowError):
            raise self._error("the zip directory is truncated") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def size(self, name: str) -> int:
        return self._records[name][1]

    def read(self, name: str) -> memoryview:
        """The bytes of a record, without a copy, after checking its CRC."""
        offset, size, crc = self._records[name]
        content = self._data[offset : offset + size]
        # torch writes zero where it was told to compute none.
        if crc != 0 and zlib.crc32(content) != crc:
            raise self._error(f"record {name!r} does not match its CRC: the file is damaged")
        return content

    def _error(self, message: str) -> WeightsError:
        return WeightsError(f"{self._path}: {message}")

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from("<" + layout, self._data, offset)

    def _read_directory(self) -> None:
        count, size, start, end = self._locate_directory()
        if count > _MAX_RECORDS:
            raise self._error(f"the zip directory has {count} records, the limit is {_MAX_RECORDS}")
        if start + size > end:
            raise self._error("the zip directory lies outside the file")
        spans = [(start, len(self._data), "the directory")]
        position = start
        for _ in range(count):
            position = self._read_record(position, start, spans)
        if position != start + size:
            raise self._error(f"the zip directory has {size} bytes, its records {position - start}")
        spans.sort()
        for (_, stop, one), (begin, _, other) in pairwise(spans):
            if begin < stop:
                raise self._error(f"records {one!r} and {other!r} overlap")

    def _locate_directory(self) -> tuple[int, int, int, int]:
        """(records, directory size, directory offset, offset of the end record)"""
        tail = bytes(self._data[-(22 + 65535) :])
        found = tail.rfind(b"PK\x05\x06")
        if found < 0:
            raise self._error("not a whole zip file: it has no end record (truncated?)")
        end = len(self._data) - len(tail) + found
        _, disk, first_disk, here, count, size, start, comment = self._unpack("IHHHHIIH", end)
        if end + 22 + comment != len(self._data):
            raise self._error("bytes follow the end record of the zip file")
        if end >= 20 and self._unpack("I", end - 20)[0] == _LOCATOR64:
            end64 = self._unpack("IIQI", end - 20)[2]
            if end64 + 56 > end - 20:
                raise self._error("the zip64 end record lies outside the file")
            signature, _, _, _, disk, first_disk, here, count, size, start = self._unpack("IQHHIIQQQQ", end64)
            if signature != _END64:
                raise self._error("the zip64 end record has a wrong signature")
            end = end64
        if disk != 0 or first_disk != 0 or here != count:
            raise self._error("zip files of several parts cannot be read")
        return count, size, start, end

    def _read_record(self, position: int, directory: int, spans: list[tuple[int, int, str]]) -> int:
        signature, flags, method, crc, packed, size, name_length, extra_length, comment, local = self._unpack(
            "I4xHH4xIIIHHH8xI", position
        )
        if signature != _CENTRAL:
            raise self._error("a record of the zip directory has a wrong signature")
        if name_length > _MAX_NAME_BYTES:
            raise self._error(f"a record has a name of {name_length} bytes, the limit is {_MAX_NAME_BYTES}")
        raw_name = bytes(self._data[position + 46 : position + 46 + name_length])
        name = raw_name.decode("utf-8", "backslashreplace")
        extra = position + 46 + name_length
        packed, size, local = self._widen(name, extra, extra_length, packed, size, local)
        if flags & _ENCRYPTED:
            raise self._error(f"record {name!r} is encrypted")
        if method != 0 or packed != size:
            raise self._error(f"record {name!r} is compressed; torch.save stores records as they are")
        if name in self._records:
            raise self._error(f"record {name!r} occurs twice")

        signature, local_flags, local_method, local_crc, local_packed, local_size, length, skip = self._unpack(
            "I2xHH4xIIIHH", local
        )
        local_name = bytes(self._data[local + 30 : local + 30 + length])
        sizes = self._widen(name, local + 30 + length, skip, local_packed, local_size, 0)[:2]
        deferred = local_flags & _SIZES_FOLLOW and sizes == (0, 0) and local_crc == 0
        if (signature, local_name, local_flags, local_method) != (_LOCAL, raw_name, flags, method) or not (
            deferred or (sizes == (packed, size) and local_crc == crc)
        ):
            raise self._error(f"record {name!r} has a header that differs from the zip directory")
        offset = local + 30 + length + skip
        if offset + size > directory:
            raise self._error(f"record {name!r} lies outside the file")
        spans.append((local, offset + size, name))
        self._records[name] = (offset, size, crc)
        return extra + extra_length + comment

    def _widen(self, name: str, start: int, length: int, packed: int, size: int, offset: int) -> tuple[int, int, int]:
        """Replaces the fields that are all ones by those of the zip64 extra field."""
        if 0xFFFFFFFF not in (packed, size, offset):
            return packed, size, offset
        end = start + length
        while start + 4 <= end:
            tag, width = self._unpack("HH", start)
            if tag == 1 and start + 4 + width <= end:
                wide = list(self._unpack(f"{width // 8}Q", start + 4))
                try:
                    size = wide.pop(0) if size == 0xFFFFFFFF else size
                    packed = wide.pop(0) if packed == 0xFFFFFFFF else packed
                    offset = wide.pop(0) if offset == 0xFFFFFFFF else offset
                except IndexError:
                    break
                return packed, size, offset
            start += 4 + width
        raise self._error(f"record {name!r} has no zip64 sizes")
