#!/usr/bin/env python3
"""Measures the language of comments: a subject that is only hinted at (who, what, nobody) makes a sentence a riddle.

Prints for each crate the share of comment lines with such a word, and the share of doc comments that open with one. Runs in a
checkout; `-v` lists the lines; `--sample SEED` prints twenty doc comments of the whole workspace, drawn by the seed. Fails when a
crate has more than 2 % or 0.5 %.
"""
import os
import random
import re
import sys

LINES, OPENERS = 2.0, 0.5

RIDDLE = re.compile(r'\b(?:what|whoever|who|whatever|nobody|somebody|someone)\b', re.I)
OPENS = re.compile(r'(?:What|Who|Whoever|One|Those|Nothing|Nobody|Somebody|Someone)\b')


def comments(crate):
    """Gives (place, line, whether it opens a doc comment, whether it is one) of each comment line of a crate's sources."""
    for folder, _, names in os.walk(f'{crate}/src' if os.path.isdir(f'{crate}/src') else crate):
        for name in sorted(names):
            if not name.endswith('.rs'):
                continue
            path, inside = os.path.join(folder, name), False
            for number, line in enumerate(open(path, encoding='utf-8'), 1):
                line = line.strip()
                is_doc = line.startswith(('///', '//!'))
                if line.startswith('//'):
                    yield f'{path}:{number}', line, is_doc and not inside, is_doc
                inside = is_doc


def sample(seed):
    """Prints twenty doc comments, whole, drawn by the seed."""
    docs = []
    for crate in crates():
        for place, line, opens, is_doc in comments(crate):
            if opens:
                docs.append([place, line])
            elif is_doc:
                docs[-1].append(line)
    for place, *lines in random.Random(seed).sample(docs, 20):
        print(place, *lines, sep='\n    ')


def crates():
    """Gives the folders of the crates, the examples among them."""
    return sorted(d for d in os.listdir('.') if os.path.isfile(f'{d}/Cargo.toml'))


def main():
    """Prints the shares by crate, and fails when one is above its limit."""
    if '--sample' in sys.argv:
        return sample(int(sys.argv[sys.argv.index('--sample') + 1]))
    failed = False
    for crate in crates():
        lines = list(comments(crate))
        riddles = [(place, line) for place, line, _, _ in lines if RIDDLE.search(line)]
        docs = [(place, line) for place, line, opens, _ in lines if opens]
        openers = [(place, line) for place, line in docs if OPENS.match(line[3:].strip())]
        share, open_share = 100 * len(riddles) / max(len(lines), 1), 100 * len(openers) / max(len(docs), 1)
        is_over = share > LINES or open_share > OPENERS
        print(f'{crate}: {len(riddles)} of {len(lines)} comment lines are riddles: {share:.1f} % (allowed: {LINES} %); '
              f'{len(openers)} of {len(docs)} doc comments open so: {open_share:.1f} % (allowed: {OPENERS} %)')
        for place, line in sorted(set(riddles + openers)) if '-v' in sys.argv else []:
            print(f'  {place}: {line}')
        failed |= is_over
    sys.exit(failed)


main()
