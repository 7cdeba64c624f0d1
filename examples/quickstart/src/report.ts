// The report of a run: one HTML file with curves, scores, pictures with questions and answers, and the alignment probe.
import { open, rename } from 'node:fs/promises'
import { scaleLinear } from 'd3-scale'
import { line } from 'd3-shape'
import sharp from 'sharp'
import { noGrad, tidy } from '@shakti/tensor'
import type { StageResult } from '@shakti/trainer'
import type { ShaktiVlm } from '@shakti/vlm'
import type { Artist } from './data/artists.js'
import { concepts } from './data/concepts.js'
import { Random } from './data/random.js'
import { size } from './data/scenes.js'
import type { Answered } from './evaluation.js'
import { drawPicture, type Picture } from './pictures.js'
import type { Materials } from './stages.js'
import { neighbourPurity, tsne } from './tsne.js'

const escape = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c]!,
  )
const percent = (v: unknown): string => (typeof v === 'number' ? `${(100 * v).toFixed(1)} %` : '–')

async function png(picture: Picture): Promise<string> {
  const bytes = await sharp(picture.rgb, { raw: { width: size, height: size, channels: 3 } })
    .resize(144, 144, { kernel: 'nearest' })
    .png()
    .toBuffer()
  return `data:image/png;base64,${bytes.toString('base64')}`
}

function lossCurve(result: StageResult): string {
  const [width, height, left, bottom] = [360, 200, 44, 26]
  const points = result.history
  const losses = points.map((p) => p.loss)
  const x = scaleLinear([0, result.steps], [left, width - 8])
  const y = scaleLinear(
    [0, Math.max(...losses.slice(Math.floor(losses.length * 0.02)), 1e-9) * 1.05],
    [height - bottom, 10],
  )
  // A running mean over 2 % of the curve beside the points themselves.
  const window = Math.max(1, Math.round(points.length / 50))
  const smooth = points.map((p, i) => {
    const part = losses.slice(Math.max(0, i - window), i + window + 1)
    return [x(p.step), y(part.reduce((a, b) => a + b, 0) / part.length)] as [number, number]
  })
  const raw = points.map(
    (p) => [x(p.step), y(Math.min(p.loss, y.domain()[1]!))] as [number, number],
  )
  const ticks = y
    .ticks(4)
    .map(
      (t) =>
        `<g class="tick"><line x1="${left}" x2="${width - 8}" y1="${y(t)}" y2="${y(t)}"/><text x="${left - 6}" y="${y(t) + 4}" text-anchor="end">${t}</text></g>`,
    )
  const steps = x
    .ticks(4)
    .map((t) => `<text x="${x(t)}" y="${height - 8}" text-anchor="middle">${t}</text>`)
  return `<figure><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="loss of ${escape(result.stage)}">${ticks.join('')}${steps.join('')}<path class="raw" d="${line()(raw) ?? ''}"/><path class="smooth" d="${line()(smooth) ?? ''}"/></svg><figcaption>${escape(result.stage)}: ${result.finalLoss.toFixed(3)} after ${result.steps} steps, ${result.seconds.toFixed(0)} s</figcaption></figure>`
}

const colours = ['#c0392b', '#d68910', '#1e8449', '#2471a3', '#7d3c98']
const kinds = [...new Set(concepts.map((c) => c.kind))]

/** Projector outputs of one thing alone on white paper, averaged over the cell that holds it, of seen and unseen artists. */
async function probe(
  model: ShaktiVlm,
  m: Materials,
  heldOut: Artist,
): Promise<{ svg: string; purity: number }> {
  const patch = m.recipe.vision.patchSizes.at(-1)!
  const items = concepts.flatMap((c) => [...m.artists, heldOut].map((artist) => ({ c, artist })))
  const pictures = items.map(({ c, artist }, i) =>
    drawPicture(
      { paper: 'white', cells: [c, undefined, undefined, undefined] },
      new Random(5, i),
      patch,
      {
        drawings: m.drawings,
        artists: [artist],
        augment: false,
        merge: 2,
      },
    ),
  )
  const tokens = pictures[0]!.tokens
  const side = Math.sqrt(tokens)
  const out = tidy(() => noGrad(() => model.encodeImages(pictures.map((p) => p.image))))
  const data = await out.data()
  const width = out.shape[1]!
  out.dispose()
  const vectors = items.map((_, i) => {
    const v = new Float32Array(width)
    for (let r = 0; r < side / 2; r++) {
      for (let c = 0; c < side / 2; c++) {
        const at = (i * tokens + r * side + c) * width
        for (let k = 0; k < width; k++) v[k]! += data[at + k]!
      }
    }
    return v
  })
  const places = tsne(vectors)
  const xs = places.map((p) => p[0])
  const ys = places.map((p) => p[1])
  const x = scaleLinear([Math.min(...xs), Math.max(...xs)], [16, 704])
  const y = scaleLinear([Math.min(...ys), Math.max(...ys)], [16, 464])
  const marks = places.map(([px, py], i) => {
    const { c, artist } = items[i]!
    const fill = colours[kinds.indexOf(c.kind)]!
    const unseen = artist === heldOut
    const text = unseen
      ? `<text x="${(x(px) + 7).toFixed(1)}" y="${(y(py) + 4).toFixed(1)}">${escape(c.name)}</text>`
      : ''
    return `<circle cx="${x(px).toFixed(1)}" cy="${y(py).toFixed(1)}" r="${unseen ? 5 : 3}" fill="${fill}" ${unseen ? 'stroke="currentColor"' : 'fill-opacity="0.6"'}><title>${escape(`${c.name} by ${artist}`)}</title></circle>${text}`
  })
  const legend = kinds.map((k, i) => `<tspan fill="${colours[i]!}"> ● ${k}</tspan>`).join('')
  return {
    svg: `<svg viewBox="0 0 720 500" role="img" aria-label="t-SNE of projector outputs">${marks.join('')}<text x="16" y="492">${legend}</text></svg>`,
    purity: neighbourPurity(
      vectors,
      items.map(({ c }) => c.name),
    ),
  }
}

export interface ReportInput {
  readonly summary: Readonly<Record<string, unknown>> & {
    readonly heldOutArtist: Artist
    readonly byType: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>
  }
  readonly results: readonly StageResult[]
  readonly examples: readonly Answered[]
  readonly model: ShaktiVlm
  readonly m: Materials
}

const style = `:root{color-scheme:light dark;--line:#8884;--accent:#2471a3;--good:#1e8449;--bad:#c0392b}
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}h1,h2{line-height:1.2}
table{border-collapse:collapse}th,td{padding:.3rem .8rem;border-bottom:1px solid var(--line);text-align:right}th:first-child,td:first-child{text-align:left}
.curves,.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1rem}.cards{grid-template-columns:repeat(auto-fill,minmax(240px,1fr))}
figure{margin:0}figcaption{font-size:.9em;opacity:.8}svg{width:100%;height:auto}svg text{font-size:11px;fill:currentColor}
.tick line{stroke:var(--line)}path{fill:none;stroke:var(--accent)}.raw{opacity:.3}.smooth{stroke-width:2}
.card{border:1px solid var(--line);border-radius:8px;padding:.8rem}.card img{width:144px;height:144px;image-rendering:pixelated;border-radius:4px}
.right{color:var(--good)}.wrong{color:var(--bad)}.big{font-size:2.2rem;font-weight:600}pre{overflow:auto}`

export async function writeReport(
  path: string,
  { summary: s, results, examples, model, m }: ReportInput,
): Promise<{ purity: number }> {
  const { svg, purity } = await probe(model, m, s.heldOutArtist)
  const pictures = [...new Set(examples.map((e) => e.picture))].slice(0, 12)
  const cards = await Promise.all(
    pictures.map(async (picture) => {
      const lines = examples
        .filter((e) => e.picture === picture)
        .map(
          (e) =>
            `<li>${escape(e.question.text)}<br><b class="${e.right ? 'right' : 'wrong'}">${escape(e.answer || '(nothing)')}</b>${e.right ? '' : ` (${escape(e.question.answer)})`}</li>`,
        )
      return `<div class="card"><img alt="a scene" src="${await png(picture)}"><ul>${lines.join('')}</ul></div>`
    }),
  )
  const columns = [
    ['heldOut', 'unseen artist'],
    ['chance', 'chance'],
    ['blankImage', 'blank image'],
    ['wrongImage', 'wrong image'],
    ['seenArtists', 'seen artists'],
  ] as const
  const rows = Object.entries(s.byType).map(
    ([type, v]) =>
      `<tr><td>${escape(type)}</td>${columns.map(([k]) => `<td>${percent(v[k])}</td>`).join('')}</tr>`,
  )
  const all = [
    s['heldOutAccuracy'],
    s['chance'],
    s['blankImageAccuracy'],
    s['wrongImageAccuracy'],
    s['seenArtistAccuracy'],
  ]
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Shakti quickstart</title><style>${style}</style>
<h1>Pictures by an artist never seen</h1>
<p><span class="big">${percent(s['heldOutAccuracy'])}</span> of questions about scenes drawn by <b>${escape(s.heldOutArtist)}</b> answered right; ${percent(s['blankImageAccuracy'])} when the image is blanked, ${percent(s['wrongImageAccuracy'])} with another question's image.</p>
<h2>Scores</h2><table><tr><th></th>${columns.map(([, t]) => `<th>${t}</th>`).join('')}</tr>${rows.join('')}<tr><th>all</th>${all.map((v) => `<th>${percent(v)}</th>`).join('')}</tr></table>
<p>Kind of things never drawn in training: ${percent(s['heldOutConceptKindAccuracy'])} (chance 20 %). Asked in a phrasing never used in training: ${percent(s['heldOutPhrasingAccuracy'])}.</p>
<h2>Training</h2><div class="curves">${results.map(lossCurve).join('')}</div>
<h2>Pictures, questions, answers</h2><div class="cards">${cards.join('')}</div>
<h2>Alignment probe</h2><p>What the projector makes of one thing alone, by every artist (t-SNE). Ringed and named: the unseen artist. The nearest neighbour shows the same thing for ${percent(purity)} of the drawings.</p>${svg}
<h2>Run</h2><pre>${escape(JSON.stringify({ recipe: m.recipe, ...s, byType: undefined }, null, 2))}</pre>
<p>Drawings: Noto (Apache-2.0), Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0), EmojiOne (CC-BY-4.0), FxEmojis (Apache-2.0), Fluent Emoji (MIT). Definitions: WordNet 3.1.</p></html>\n`
  const temporary = `${path}.${process.pid}.tmp`
  const file = await open(temporary, 'w')
  await file.writeFile(html)
  await file.sync()
  await file.close()
  await rename(temporary, path)
  return { purity }
}
