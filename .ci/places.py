#!/usr/bin/env python3
"""Checks the table of places in CONTRIBUTING.md: each file exists, and defines the item that the table names.

Runs in a checkout; fails when a row leads nowhere, or when there is no table.
"""
import os
import re
import sys

ROW = re.compile(r'^\| ([^|]+?) \| `([\w/.-]+\.rs)` \| `(\w+)` \|$', re.M)
SECTION = re.compile(r'^## Where things are$(.*?)^## ', re.M | re.S)


def main():
    """Prints the rows that lead nowhere."""
    section = SECTION.search(open('CONTRIBUTING.md', encoding='utf-8').read())
    rows = ROW.findall(section.group(1)) if section else []
    wrong = [f'{question}: {reason}' for question, path, item in rows if (reason := flaw(path, item))]
    print('\n'.join(wrong) or f'{len(rows)} places are where CONTRIBUTING.md says')
    sys.exit(bool(wrong) or not rows)


def flaw(path, item):
    """Says what is wrong with a place; None for a right one."""
    if not os.path.isfile(path):
        return f'there is no file {path}'
    text = open(path, encoding='utf-8').read()
    if not re.search(rf'\b(?:fn|struct|enum|trait|const)\s+{item}\b', text):
        return f'{path} does not define {item}'
    return None


main()
