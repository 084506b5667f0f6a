import base64
import dataclasses
import html.parser
import json
import pathlib
import re
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from seg_pipeline import records
from seg_pipeline.building import fingerprints
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.card import gallery, page, sections, text
from seg_pipeline.dataset import manifest, record_index, statistics
from seg_pipeline.dataset.provenance import Provenance
from seg_pipeline.dataset.statistics import ClassSummary
from seg_pipeline.imaging import rejects
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.planning import pairing, sharding
from tests import fake_data, optional

_NAMES = (
    'background',
    '<script>window.hacked = 1</script>',
    'größe "XL" & \'S\'',
    'シャツ',
    'rare',
    '</script>',
    'absent',
)
_SIZE = (24, 20)
_COMMAND = "python -m beam_jobs.prepare_dataset --images='a b' --masks=<i>m<i>"
_HOSTILE_REJECT = rejects.Reject('<img src=x onerror=alert(1)>', rejects.NO_MASK, '<b>no mask</b>', image='x.png')
_NUM_PAIRS = 30
_RARE_IN = 17


def _mask(number):
    """Class c is in every (c + 1)th mask, the rare one in one alone, `absent` in none; some pixels are ignored."""
    mask = np.zeros(_SIZE, np.uint8)
    for class_id in (1, 2, 3, 5):
        if number % (class_id + 1) == 0:
            mask[4 * class_id - 4 : 4 * class_id - 1, : 2 + number % 17] = class_id
    if number == _RARE_IN:
        mask[22:, :5] = 4
    if number % 4 == 0:
        mask[:2, 15:] = 255
    return mask


@pytest.fixture(scope='module')
def dataset_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp('card')
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
    for number in range(1, _NUM_PAIRS + 1):
        image = np.random.default_rng(number).integers(0, 8 * number, (*_SIZE, 3)).astype(np.uint8)
        cv2.imwrite(str(root / 'images' / f'img_{number:04d}.png'), image)
        cv2.imwrite(str(root / 'masks' / f'seg_{number:04d}.png'), _mask(number))
    config = BuildConfig(
        SourceFolders(str(root / 'images'), str(root / 'masks')),
        str(root),
        RecordOptions(LabelMap.default(_NAMES), image_size=_SIZE),
        split_options={'splits': {'train': '2/3', 'validation': '1/3'}, 'seed': 0},
    )
    sources = config.sources
    pairs = pairing.match_pairs(pairing.list_files(sources.images), pairing.list_files(sources.masks)).pairs
    split_of = {pair.key: 'validation' if int(pair.key) % 3 == 0 else 'train' for pair in pairs}
    plans = sharding.plan(pairs, split_of, {'train': 2}, 0, config.dataset_name)
    return fake_data.publish_plans(
        config,
        list(fingerprints.with_fingerprints(sources, config.records, plans)),
        rejects=(_HOSTILE_REJECT,),
        allow_rejects=True,
        duplicates=(('0001', '0002'),),
        provenance=Provenance(_COMMAND),
    ).directory


@pytest.fixture(scope='module')
def card(dataset_dir):
    return (pathlib.Path(dataset_dir) / manifest.CARD_FILE).read_text()


@pytest.fixture(scope='module')
def masks(dataset_dir):
    """All masks of the data set by split and key, read from its shards."""
    found = manifest.read(dataset_dir)
    return {
        split: {record.file_name[4:8]: record.mask for record in fake_data.read_split(dataset_dir, split)}
        for split in found.split_names
    }


def _classes(masks):
    """What the gallery chooses from, counted by hand."""
    everything = {key: mask for split in masks.values() for key, mask in split.items()}
    result = []
    for class_id, name in enumerate(_NAMES):
        pixels = {key: int((mask == class_id).sum()) for key, mask in everything.items()}
        most = min(pixels, key=lambda key: (-pixels[key], key))
        images = sum(1 for count in pixels.values() if count)
        result.append(ClassSummary(class_id, name, sum(pixels.values()), images, most if images else None, None, None))
    return result


class _Page(html.parser.HTMLParser):
    """Collects elements, attributes and text."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.text = Counter(), [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_data(self, data):
        self.text.append(data)


# The page as text.


def test_it_needs_nothing_but_itself(card):
    for tag, name, value in _Page(card).attributes:
        if name in ('src', 'href', 'srcset', 'action', 'poster', 'data', 'xlink:href'):
            assert value.startswith(('data:', '#')), (tag, name, value)
    assert '@import' not in card
    assert 'url(' not in card
    assert '//' not in re.sub(r'data:image/jpeg;base64,[\w+/=]+|"runs":"[\w+/=]+"|(?m:^ *// .*$)', '', card)


def test_names_are_text_wherever_they_stand(card):
    page = _Page(card)
    assert page.tags['script'] == 2  # the data and the one script
    shown = ''.join(page.text)
    for name in (*_NAMES, _HOSTILE_REJECT.key, _HOSTILE_REJECT.message, '--masks=<i>m<i>'):
        assert name in shown
    assert not [attribute for attribute in page.attributes if attribute[1].startswith('on')]


def test_it_tells_what_is_missing(card):
    shown = re.sub('<[^>]+>', '', card)
    assert '1 class appears in no image: absent.' in shown
    assert '1 class appears in some image, but in none of validation: rare.' in shown
    assert '1 pair or file was rejected' in shown
    assert rejects.EXPLANATIONS[rejects.NO_MASK] in shown


def test_equal_inputs_give_equal_bytes_and_others_do_not(dataset_dir, masks):
    rows, shards = _classes(masks), _shards(dataset_dir)
    first, second = (gallery.choose(shards, record_index.of(dataset_dir), rows, limit=9) for _ in range(2))
    assert [(p.key, p.image, p.mask.tobytes()) for p in first] == [(p.key, p.image, p.mask.tobytes()) for p in second]
    assert len({p.key for p in first}) == 9


# The gallery.


def _shards(dataset_dir):
    return {path.name: str(path) for path in pathlib.Path(dataset_dir).glob('*.tfrecord*')}


@pytest.mark.parametrize('limit', [2, 5, 24, 99])
def test_the_gallery_shows_the_rarest_classes(dataset_dir, masks, limit, monkeypatch):
    read = []
    original = records.read_some
    monkeypatch.setattr(records, 'read_some', lambda path, indices: read.append(indices) or original(path, indices))
    rows = _classes(masks)
    chosen = gallery.choose(_shards(dataset_dir), record_index.of(dataset_dir), rows, limit=limit)
    assert len(chosen) == len(read) == min(limit, _NUM_PAIRS)  # nothing else was read
    assert chosen[0].key == f'{_RARE_IN:04d}'
    assert chosen[0].chosen_for == 4
    shown = {i for picture in chosen for i in picture.ids}
    by_rarity = sorted((row.images, row.id) for row in rows if row.images)
    assert {class_id for _, class_id in by_rarity[:limit]} <= shown
    for picture in chosen:
        np.testing.assert_array_equal(picture.mask, masks[picture.split][picture.key])


def test_large_records_become_small_pictures(tmp_path):
    dataset_dir = fake_data.make_dataset(tmp_path, num_pairs=2, image_size=(600, 300), splits='train:1')
    (line, _) = record_index.of(dataset_dir)
    shards = gallery.Shards(_shards(dataset_dir))
    picture = gallery.read(shards, line, longer_side=100, proportions='stored')
    assert picture.mask.shape == (100, 50)
    assert cv2.imdecode(np.frombuffer(picture.image, np.uint8), cv2.IMREAD_COLOR).shape == (100, 50, 3)
    assert picture.proportions == (600, 300)
    assert gallery.read(shards, line).proportions == (48, 40)


@given(hypothesis_numpy.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 40)), elements=st.integers(0, 3)))
def test_runs_hold_the_mask(mask):
    data = base64.b64decode(gallery.encode_runs(mask))
    ids, position = [], 0
    while position < len(data):
        class_id, length, shift = data[position], 0, 0
        position += 1
        while True:
            length |= (data[position] & 0x7F) << shift
            shift += 7
            position += 1
            if data[position - 1] < 0x80:
                break
        ids += [class_id] * length
    assert ids == mask.ravel().tolist()


def test_long_runs():
    assert base64.b64decode(gallery.encode_runs(np.full((100, 200), 7, np.uint8))) == bytes([7, 0xA0, 0x9C, 0x01])


@pytest.mark.parametrize(
    ('share', 'expected'),
    [(0, '0 %'), (1e-6, '< 0.001 %'), (0.00012, '0.012 %'), (0.0123, '1.23 %'), (0.76891, '76.9 %'), (1, '100.0 %')],
)
def test_percentages(share, expected):
    assert text.percent(share) == expected


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, '8 in train.'),
        (
            {'split_files': {'train': {'num_names': 2, 'sha256': ''}}},
            'By given lists: train (2 names). That made 8 in train.',
        ),
        ({'near_duplicates': 'off'}, 'In one split stay identical images.'),
        (
            {'near_duplicates': 'group', 'max_distance': 7, 'group_regex': '(?P<day>x)'},
            'In one split stay identical images, those whose perceptual hashes differ in at most 7 of 64 bits and the '
            'groups that <code>(?P&lt;day&gt;x)</code> finds in paths.',
        ),
        ({'stratify': 'rare'}, 'Every class that enough groups show is in every split.'),
    ],
)
def test_how_the_splits_were_made(options, expected):
    summary = dataclasses.replace(statistics.SplitStatistics().summary(LabelMap.default(_NAMES)), num_records=8)
    given = options if 'split_files' in options or not options else {'splits': {'train': '1'}, 'seed': 5, **options}
    story = sections.split_story(given, {'train': summary})
    assert story.endswith(expected)
    assert 'train 1. The keys were put in the order of a hash of key and seed 5' in story or given is options


# The page in a browser.


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
    if not optional.BROWSER.is_met:
        pytest.skip(optional.BROWSER.reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = optional.CHROMIUM
    for flag in ('headless', 'no-sandbox', 'disable-gpu', 'no-first-run', 'disable-background-networking'):
        options.add_argument(f'--{flag}')
    for flag in ('disable-component-update', 'disable-sync', f'user-data-dir={tmp_path_factory.mktemp("profile")}'):
        options.add_argument(f'--{flag}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which('chromedriver')))
    yield driver
    driver.quit()


@pytest.fixture
def opened(driver, dataset_dir):
    driver.get_log('performance')
    driver.get((pathlib.Path(dataset_dir) / manifest.CARD_FILE).as_uri())
    return driver


def _click(driver, selector, label):
    """Clicks the button with this text."""
    driver.execute_script(
        'const [selector, label] = arguments;'
        'const found = [...document.querySelectorAll(selector)].filter(b => b.textContent === label);'
        'if (found.length !== 1) throw new Error(`${found.length} buttons ${label}`);'
        'found[0].scrollIntoView({block: "center", inline: "center", behavior: "instant"});'
        'window.found = found[0];',
        selector,
        label,
    )
    driver.execute_script('return window.found').click()


def test_no_request_and_no_error(opened, dataset_dir):
    events = [json.loads(entry['message'])['message'] for entry in opened.get_log('performance')]
    requests = [event['params'] for event in events if event['method'] == 'Network.requestWillBeSent']
    own = (pathlib.Path(dataset_dir) / manifest.CARD_FILE).as_uri()
    urls = {request['request']['url'] for request in requests if request['documentURL'] == own}
    assert own in urls
    assert [url for url in urls if url != own and not url.startswith('data:')] == []
    assert opened.get_log('browser') == []
    assert opened.execute_script('return window.hacked') is None


@pytest.mark.parametrize('num_records', [0, 1])
def test_without_pictures(driver, dataset_dir, tmp_path, num_records):
    """As a dry run writes it, which may even have found nothing good."""
    found = manifest.read(dataset_dir)
    counts = statistics.SplitStatistics()
    for _ in range(num_records):
        counts.add(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), (2, 2), 'x')
    figures = counts.summary(found.label_map)
    path = tmp_path / 'index.html'
    path.write_bytes(page.render(page.DataCard(found, figures, {'train': figures})))
    driver.get(path.as_uri())
    assert driver.get_log('browser') == []
    assert driver.execute_script('return document.querySelectorAll("#gallery, a[href=\'#gallery\']").length') == 0
    assert driver.find_element('css selector', '.tile b').text == str(num_records)
    targets = 'return [...document.querySelectorAll("nav a")].map(a => document.querySelector(a.hash) !== null)'
    assert set(driver.execute_script(targets)) == {True}


_READ_TABLE = (
    'return [...document.querySelectorAll("#class-table tbody tr")].filter(row => !row.hidden)'
    '.map(row => [row.cells[0].textContent, ...[...row.cells].slice(1).map(cell => cell.innerText)])'
)


def test_a_click_on_a_heading_sorts(opened, masks):
    everything = [mask for split in masks.values() for mask in split.values()]
    images = {name: sum((mask == i).any() for mask in everything) for i, name in enumerate(_NAMES)}
    pixels = {name: sum(int((mask == i).sum()) for mask in everything) for i, name in enumerate(_NAMES)}
    validation = {
        name: sum(int((mask == i).sum()) for mask in masks['validation'].values()) for i, name in enumerate(_NAMES)
    }

    def order():
        return [row[0] for row in opened.execute_script(_READ_TABLE)]

    assert [pixels[name] for name in order()] == sorted(pixels.values(), reverse=True)
    _click(opened, '#class-table thead button', 'Images')
    assert [images[name] for name in order()] == sorted(images.values(), reverse=True)
    assert len(set(images.values())) > 4
    shown = {row[0]: int(row[3]) for row in opened.execute_script(_READ_TABLE)}
    assert shown == images
    _click(opened, '#class-table thead button', 'Images')
    assert [images[name] for name in order()] == sorted(images.values())
    _click(opened, '#class-table thead button', 'In validation')
    assert [validation[name] for name in order()] == sorted(validation.values(), reverse=True)
    _click(opened, '#class-table thead button', 'Id')
    assert order() == list(reversed(_NAMES))
    pressed = opened.execute_script('return document.querySelectorAll("thead [aria-sort=descending]").length')
    assert pressed == 1


def test_absent_classes_are_stated_in_the_table(opened):
    rows = {row[0]: row for row in opened.execute_script(_READ_TABLE)}
    assert rows['absent'][4:] == ['absent', 'absent', '–', '–']
    assert rows['rare'][4] != 'absent' == rows['rare'][5]


def test_finding_a_class(opened):
    opened.find_element('id', 'filter').send_keys('シャ')
    assert [row[0] for row in opened.execute_script(_READ_TABLE)] == ['シャツ']


_COUNT_COLORS = """
return Object.fromEntries([...document.querySelectorAll('canvas[data-mask]')].map(canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const counts = {};
  for (let i = 0; i < data.length; i += 4) {
    if (!data[i + 3]) continue;
    const color = [data[i], data[i + 1], data[i + 2]].join();
    counts[color] = (counts[color] || 0) + 1;
  }
  return [canvas.closest('figure').querySelector('b').textContent, counts];
}));
"""


def _expected_colors(masks, keys, hidden):
    palette = LabelMap.default(_NAMES).palette()
    everything = {key: mask for split in masks.values() for key, mask in split.items()}
    return {
        key: {
            ','.join(map(str, palette[i].tolist())): int((everything[key] == i).sum())
            for i in np.unique(everything[key])
            if i not in hidden
        }
        for key in keys
    }


def test_the_legend_toggles_classes_in_every_picture(opened, masks):
    before = opened.execute_script(_COUNT_COLORS)
    assert len(before) == 24
    assert before == _expected_colors(masks, before, hidden={0})
    _click(opened, '#legend button', 'シャツ')
    assert opened.execute_script(_COUNT_COLORS) == _expected_colors(masks, before, hidden={0, 3})
    _click(opened, '#legend button', _NAMES[1])
    _click(opened, '#legend button', 'background')
    assert opened.execute_script(_COUNT_COLORS) == _expected_colors(masks, before, hidden={1, 3})
    _click(opened, '.tools button', 'None')
    assert set(map(len, opened.execute_script(_COUNT_COLORS).values())) == {0}
    _click(opened, '.tools button', 'All classes')
    assert opened.execute_script(_COUNT_COLORS) == before


@pytest.mark.parametrize('width', [390, 1400])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_fits_phones_and_the_dark(opened, width, scheme):
    metrics = {'width': width, 'height': 800, 'deviceScaleFactor': 1, 'mobile': width < 500}
    opened.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    opened.execute_cdp_cmd(
        'Emulation.setEmulatedMedia', {'features': [{'name': 'prefers-color-scheme', 'value': scheme}]}
    )
    assert opened.execute_script('return document.documentElement.scrollWidth') <= width
    color = opened.execute_script('return getComputedStyle(document.body).backgroundColor')
    lightness = sum(map(int, re.findall(r'\d+', color)[:3])) / 3
    assert lightness > 200 if scheme == 'light' else lightness < 50
