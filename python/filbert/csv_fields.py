"""Fields of CSV as long as documents are."""

import csv

# Python's own limit is 128 KiB. A quote that is never closed ends here.
_LONGEST = 16 << 20


def allow_documents() -> None:
    """Has `csv` read fields of up to 16 MiB, in the whole process: its limit belongs to nobody."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
