#!/usr/bin/env python3
"""Finds circles of imports between the files of each crate: sets of files that reach each other through `use` and paths.

`pub use` facades are followed to the file that defines the name. Test modules are left out. Runs in a checkout; `-v` lists the files
of each circle and the names that close it. Fails when a crate has a larger circle than `LARGEST`.
"""
import collections
import os
import re
import sys

LARGEST = 6

DEFINES = re.compile(
    r'^\s*(?:pub(?:\([^)]*\))?\s+)?(?:const\s+|async\s+)*(?:fn|struct|enum|trait|type|const|static)\s+(\w+)', re.M)
RE_EXPORTS = re.compile(r'pub(?:\([^)]*\))?\s+use\s+([^;]+);')
IMPORTS = re.compile(r'(?<!pub )(?:^|\n)\s*use\s+([^;]+);')
PATHS = re.compile(r'\b((?:crate|super)(?:::\w+)+)')


def expand(tree):
    """Gives the paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    tree = re.sub(r'\s+as\s+\w+', '', tree)
    tree = re.sub(r'\s', '', tree)
    start = tree.find('{')
    if start < 0:
        return [tree]
    depth, part, parts = 0, '', []
    for c in tree[start + 1:tree.rfind('}')] + ',':
        depth += (c == '{') - (c == '}')
        if c == ',' and depth == 0:
            parts.append(part)
            part = ''
        else:
            part += c
    return [tree[:start] + path for part in parts if part for path in expand(part)]


class Crate:
    """The files of a crate, the names that each defines, and the modules they are."""

    def __init__(self, folder):
        self.files, self.defines, self.exports = {}, {}, collections.defaultdict(dict)
        for path, text in self.read(f'{folder}/src'):
            self.files[path] = text
            self.defines[path] = set(DEFINES.findall(text))
        self.modules = {self.module(path): path for path in self.files}
        for path, text in self.files.items():
            for tree in RE_EXPORTS.findall(text):
                for use in expand(tree):
                    base = self.base(path, use)
                    self.exports[self.module(path)][base[-1]] = base

    @staticmethod
    def read(src):
        for folder, _, names in os.walk(src):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), src)
                if name.endswith('.rs') and '/tests' not in f'/{path}' and not path.startswith('bin/'):
                    text = open(os.path.join(src, path), encoding='utf-8').read()
                    yield path, re.sub(r'//[^\n]*', '', text).split('#[cfg(test)]\nmod tests')[0]

    @staticmethod
    def module(path):
        parts = path[:-3].split('/')
        return tuple(parts[:-1] if parts[-1] in ('mod', 'lib') else parts)

    def base(self, path, use):
        """Gives the full path of what a file names as `use`; outside the crate it leads nowhere."""
        at, segments = self.module(path), use.split('::')
        if segments[0] == 'crate':
            at, segments = (), segments[1:]
        elif segments[0] == 'self':
            segments = segments[1:]
        while segments and segments[0] == 'super':
            at, segments = at[:-1], segments[1:]
        return at + tuple(segment for segment in segments if segment != 'self')

    def file_of(self, path, hops=0):
        """Gives the file that defines the last name of a path."""
        if path in self.modules:
            return self.modules[path]
        if not path or hops > 6:
            return None
        parent, name = path[:-1], path[-1]
        if parent not in self.modules:
            return self.file_of(parent, hops + 1)
        if name not in self.defines[self.modules[parent]] and name in self.exports[parent]:
            return self.file_of(self.exports[parent][name], hops + 1)
        return self.modules[parent]

    def imports(self):
        """Gives file -> file -> names."""
        graph = {path: collections.defaultdict(set) for path in self.files}
        for path, text in self.files.items():
            uses = [use for tree in IMPORTS.findall(text) for use in expand(tree)] + PATHS.findall(text)
            for use in uses:
                if use.split('::')[0] in ('crate', 'self', 'super'):
                    full = self.base(path, use)
                    target = self.file_of(full)
                    if target and target != path:
                        graph[path][target].add(full[-1] if full else '?')
        return graph


def circles(graph):
    """Gives the strongly connected components of more than one file (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            at = stack.index(v)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for v in graph:
        if v not in index:
            visit(v)
    return found


def main():
    """Prints the largest circle of each crate, and fails when one is larger than it may be."""
    failed = False
    for folder in sorted(d for d in os.listdir('.') if os.path.isfile(f'{d}/Cargo.toml') and os.path.isdir(f'{d}/src')):
        graph = Crate(folder).imports()
        found = circles(graph)
        largest = max(map(len, found), default=1)
        print(f'{folder}: largest circle of imports: {largest} files (allowed: {LARGEST})')
        for circle in found if '-v' in sys.argv or largest > LARGEST else []:
            print(f'  {len(circle)}: {" ".join(circle)}')
            for a in circle if '-v' in sys.argv else []:
                for b in sorted(set(graph[a]) & set(circle)):
                    print(f'    {a} -> {b}: {" ".join(sorted(graph[a][b]))}')
        failed |= largest > LARGEST
    sys.exit(failed)


main()
