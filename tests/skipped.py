"""The tests that a run skipped, as arguments for another one:  skipped.py REPORT >LIST, then pytest @LIST

REPORT is what pytest --junitxml=REPORT -o junit_family=xunit1 wrote.
"""

import sys
from xml.etree import ElementTree

for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    if case.find("skipped") is not None:
        print(f"{case.attrib['file']}::{case.attrib['name']}")
