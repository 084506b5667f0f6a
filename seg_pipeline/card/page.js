'use strict';
// The card works without this script: it sorts the class table and lays the masks over the images.

const data = JSON.parse(document.getElementById('data').textContent);

// Class table.
const table = document.getElementById('class-table');
const body = table.tBodies[0];

function sortBy(head) {
  const column = head.cellIndex;
  const isText = head.dataset.kind === 'text';
  // Numbers first from the largest, names first from A.
  const current = head.getAttribute('aria-sort');
  const ascending = current === 'none' ? isText : current === 'descending';
  const value = row => isText ? row.cells[column].dataset.value : Number(row.cells[column].dataset.value);
  const compare = isText ? (a, b) => a.localeCompare(b) : (a, b) => a - b;
  const rows = Array.from(body.rows).sort((a, b) => (ascending ? 1 : -1) * compare(value(a), value(b)));
  for (const other of head.parentElement.cells) other.setAttribute('aria-sort', 'none');
  head.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
  body.append(...rows);
}

for (const head of table.tHead.rows[0].cells) {
  head.querySelector('button').addEventListener('click', () => sortBy(head));
}

document.getElementById('filter').addEventListener('input', event => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const row of body.rows) row.hidden = !row.cells[0].dataset.value.toLowerCase().includes(wanted);
});

// Gallery: runs of (id, LEB128 length) become ids, ids become colours.
function decodeMask({height, width, runs}) {
  const bytes = Uint8Array.from(atob(runs), character => character.charCodeAt(0));
  const ids = new Uint8Array(height * width);
  for (let place = 0, i = 0; i < bytes.length;) {
    const id = bytes[i++];
    let length = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      length += (bytes[i] & 0x7f) << shift;
      more = bytes[i++] > 0x7f;
    }
    ids.fill(id, place, place += length);
  }
  return {height, width, ids};
}

function draw({canvas, height, width, ids}, hidden) {
  const context = canvas.getContext('2d');
  const picture = context.createImageData(width, height);
  for (let i = 0; i < ids.length; i++) {
    const entry = hidden.has(ids[i]) ? undefined : data.classes[ids[i]];
    if (entry) picture.data.set([...entry.color, 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
}

function setUpGallery(legend) {
  const pictures = Array.from(document.querySelectorAll('canvas[data-mask]'), canvas => {
    const mask = decodeMask(data.masks[Number(canvas.dataset.mask)]);
    canvas.width = mask.width;
    canvas.height = mask.height;
    return {canvas, ...mask};
  });

  function redraw() {
    const off = legend.filter(button => button.getAttribute('aria-pressed') === 'false');
    const hidden = new Set(off.map(button => Number(button.dataset.class)));
    for (const picture of pictures) draw(picture, hidden);
  }

  for (const button of legend) {
    button.addEventListener('click', () => {
      button.setAttribute('aria-pressed', String(button.getAttribute('aria-pressed') === 'false'));
      redraw();
    });
  }

  for (const button of document.querySelectorAll('[data-all]')) {
    button.addEventListener('click', () => {
      for (const other of legend) {
        const isBackground = Number(other.dataset.class) === data.background;
        other.setAttribute('aria-pressed', String(button.dataset.all === 'true' && !isBackground));
      }
      redraw();
    });
  }

  document.getElementById('opacity').addEventListener('input', event => {
    for (const {canvas} of pictures) canvas.style.opacity = event.target.value / 100;
  });

  // The name of the class under the pointer.
  const under = document.getElementById('under');
  for (const {canvas, height, width, ids} of pictures) {
    canvas.addEventListener('pointermove', event => {
      const row = Math.floor(event.offsetY / canvas.clientHeight * height);
      const column = Math.floor(event.offsetX / canvas.clientWidth * width);
      const entry = data.classes[ids[row * width + column]];
      under.textContent = entry ? entry.name : '';
    });
    canvas.addEventListener('pointerleave', () => { under.textContent = ''; });
  }

  redraw();
}

const legend = document.getElementById('legend');
if (legend) setUpGallery(Array.from(legend.querySelectorAll('button')));

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.dataset.text);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = 'Selected';
    }
  });
}
