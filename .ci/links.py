#!/usr/bin/env python3
"""Checks the links in the Markdown files of the repository.

The README of a published crate is shown on the page of the repository, on crates.io and on docs.rs, and a relative link holds on one
of them at most: such a file has absolute links, and links to its own headings. Elsewhere a link leads to a file of the repository.
The documentation of `kser` in `kser/docs` is left out: rustdoc checks it.
"""
import os
import re
import subprocess
import sys

CODE = re.compile(r'^```.*?^```', re.M | re.S)
SPAN = re.compile(r'`[^`\n]*`')
LINK = re.compile(r'\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]: (\S+)', re.M)
# A reference without a target: rustdoc finds an item of that name, other pages show the brackets.
NAMED = re.compile(r'\[(`[^`\n]+`)\](?![(\[:])')
IMAGE = re.compile(r'<img src="([^"]+)"')
HEADING = re.compile(r'^#+ (.*)$', re.M)


def main():
    """Prints the links that do not hold."""
    listed = subprocess.run(['git', 'ls-files', '*.md'], check=True, capture_output=True, text=True).stdout.split()
    files = [path for path in listed if not path.startswith('kser/docs/')]
    wrong = [f'{path}: {reason}' for path in files for reason in flaws(path)]
    print('\n'.join(wrong) or f'the links of {len(files)} files hold')
    sys.exit(bool(wrong))


def flaws(path):
    """Lists the links of a file that do not hold."""
    text = CODE.sub('', open(path, encoding='utf-8').read())
    published = is_published(os.path.realpath(path))
    if published:
        yield from (f'[{name}] is a link on docs.rs only' for name in NAMED.findall(text))
    for image in IMAGE.findall(text):
        # The README of `kser` is the README of the repository, too, where its images are found.
        if not any(os.path.exists(os.path.join(folder, image)) for folder in (os.path.dirname(path), '.')):
            yield f'there is no image {image}'
    for inline, reference in LINK.findall(SPAN.sub('``', text)):
        target = inline or reference
        if target.startswith(('https://', 'http://')):
            continue
        file, _, heading = target.partition('#')
        if file and published:
            yield f'{target} holds on one page at most'
        elif file and not os.path.exists(os.path.join(os.path.dirname(path), file)):
            yield f'there is no {target}'
        elif not file and heading not in {slug(title) for title in HEADING.findall(text)}:
            yield f'there is no heading #{heading}'


def is_published(path):
    """Says whether a file is the README of a crate that is published."""
    manifest = os.path.join(os.path.dirname(path), 'Cargo.toml')
    if os.path.basename(path) != 'README.md' or not os.path.isfile(manifest):
        return False
    text = open(manifest, encoding='utf-8').read()
    return '[package]' in text and 'publish = false' not in text


def slug(title):
    """Returns the name of a heading in a link."""
    return re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')


main()
