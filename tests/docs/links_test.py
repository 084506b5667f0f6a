"""Every link and picture in the repository's Markdown leads to something that is there, its anchor included."""

import itertools
import pathlib
import re
import subprocess
import urllib.parse

import pytest
from markdown_it import MarkdownIt

_ROOT = pathlib.Path(__file__).parents[2]
_INCLUDE = re.compile(r'```\{include\} (\S+)\n')
_PARSER = MarkdownIt('commonmark').enable('table')


def _files(root):
    """The Markdown files of a checkout, without those that git ignores."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '*.md']
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return [root / name for name in listed if (root / name).is_file()]


def _tokens(text):
    for token in _PARSER.parse(text):
        yield token
        yield from token.children or ()


def _targets(text):
    """Where the links and pictures of a page lead, pages of the web aside."""
    for token in _tokens(text):
        target = token.attrs.get('href') or token.attrs.get('src')
        if target and not urllib.parse.urlsplit(target).scheme:
            yield urllib.parse.unquote(target)


def _anchors(path):
    """The anchors that GitHub and MyST give the headings of a page, those of included pages among them."""
    text = path.read_text(encoding='utf-8')
    found = {anchor for name in _INCLUDE.findall(text) for anchor in _anchors(path.parent / name)}
    tokens = _PARSER.parse(text)
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == 'heading_open':
            words = re.sub(r'[^\w\- ]', '', inline.content.lower())
            anchor, number = words.replace(' ', '-'), 0
            while (unique := f'{anchor}-{number}' if number else anchor) in found:
                number += 1
            found.add(unique)
    return found


def problems(root):
    """Each link that leads nowhere, as a line."""
    found = []
    for page in _files(root):
        # What an included page says is looked at in that page itself.
        for target in _targets(page.read_text(encoding='utf-8')):
            name, _, anchor = target.partition('#')
            path = (page.parent / name).resolve() if name else page
            where = f'{page.relative_to(root)}: {target}'
            if not path.is_relative_to(root.resolve()):
                found.append(f'{where} leads out of the repository')
            elif not path.exists():
                found.append(f'{where} is not there')
            elif anchor and anchor not in _anchors(path):
                found.append(f'{where} has no such heading')
    return found


def test_every_link_leads_somewhere():
    pages = _files(_ROOT)
    assert len(pages) > 20
    assert sum(len(list(_targets(page.read_text(encoding='utf-8')))) for page in pages) > 50
    assert problems(_ROOT) == []


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('[a](b.md)', []),
        ('[a](b.md#two-words)', []),
        ('[a](b.md#two-words-1)', []),
        ('[a](c.md#two-words)', []),
        ('![a](b.md)', []),
        ('[a](https://seg-pipeline.example/b)', []),
        ('# One\n\n[a](#one)', []),
        ('`[a](absent.md)`', []),
        ('[a](absent.md)', ['a.md: absent.md is not there']),
        ('![a](absent.png)', ['a.md: absent.png is not there']),
        ('| t |\n|---|\n| [a](absent.md) |', ['a.md: absent.md is not there']),
        ('[a](b.md#three)', ['a.md: b.md#three has no such heading']),
        ('[a](#three)', ['a.md: #three has no such heading']),
        ('[a](../b.md)', ['a.md: ../b.md leads out of the repository']),
    ],
)
def test_broken_links_are_found(tmp_path, text, expected):
    subprocess.run(['git', 'init', '--quiet', str(tmp_path)], check=True)
    (tmp_path / 'b.md').write_text('# Two words!\n\n## Two `words`\n')
    (tmp_path / 'c.md').write_text('```{include} b.md\n```\n')
    (tmp_path / 'a.md').write_text(text)
    assert problems(tmp_path) == expected
