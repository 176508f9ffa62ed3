#!/usr/bin/env python3
"""Lists inherent `impl` blocks outside the file of their type and its child modules.

A reader who looks for a method of a type looks into the file that defines the type, or into its child modules: `dispatcher.rs` and
`dispatcher/*.rs`, or all of `dispatcher/` for a type that `dispatcher/mod.rs` defines. Code under `cfg(test)` is left out. Runs in
a checkout; fails when there is such a block.
"""
import os
import re
import sys

DEFINES = re.compile(r'^\s*(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum|union)\s+(\w+)', re.M)
IMPLEMENTS = re.compile(r'^(?:unsafe )?impl\b(.*?)\{', re.M | re.S)
TEST_MODULE = re.compile(r'^#\[cfg\(test\)\]\nmod \w+ \{.*?^\}', re.M | re.S)


def crates():
    """Gives the folders of the crates."""
    return sorted(d for d in os.listdir('.') if os.path.isfile(f'{d}/Cargo.toml') and os.path.isdir(f'{d}/src'))


def sources(crate):
    """Gives path -> text without comments and test modules."""
    found = {}
    for folder, _, names in os.walk(f'{crate}/src'):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith('.rs') and '/tests' not in path[len(crate):] and name != 'tests.rs':
                text = re.sub(r'^\s*//.*$', '', open(path, encoding='utf-8').read(), flags=re.M)
                found[path] = TEST_MODULE.sub('', text)
    return found


def implemented(head):
    """Gives the name of the type of an inherent impl, or None for that of a trait."""
    depth, plain = 0, ''
    for i, c in enumerate(head):
        if c == '<':
            depth += 1
        elif c == '>' and head[i - 1] not in '-=':
            depth -= 1
        elif depth == 0:
            plain += c
    plain = plain.split(' where ')[0].split('\nwhere')[0]
    if re.search(r'\bfor\b', plain):
        return None
    name = re.search(r'([A-Za-z_]\w*)\s*$', plain.strip())
    return name and name.group(1)


def owns(owner, path):
    """Says whether `path` is the file `owner` or one of its child modules."""
    folder, name = os.path.split(owner)
    room = folder + '/' if name in ('mod.rs', 'lib.rs', 'main.rs') else owner[:-3] + '/'
    return path == owner or path.startswith(room)


def strays(crate):
    """Gives (path, type, path of its definition) of each impl that stands elsewhere."""
    files, defined = sources(crate), {}
    for path, text in files.items():
        for match in DEFINES.finditer(text):
            defined.setdefault(match.group(1), set()).add(path)
    for path, text in sorted(files.items()):
        for match in IMPLEMENTS.finditer(text):
            name = implemented(match.group(1))
            owners = defined.get(name, set())
            if owners and not any(owns(owner, path) for owner in owners):
                yield path, name, sorted(owners)[0]


def main():
    """Prints the strays, and fails when there is one."""
    found = [stray for crate in crates() for stray in strays(crate)]
    for path, name, owner in found:
        print(f'{path}: impl {name}, which {owner} defines')
    print(f'{len(found)} impl blocks away from their type')
    sys.exit(bool(found))


main()
