import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  answerCards,
  curve,
  details,
  escapeHtml,
  grid,
  html,
  lossCurve,
  page,
  percent,
  picture,
  scoreTable,
  scatter,
  table,
  writePage,
} from '../src/report/index.js'
import { rejects, temporaryFolder } from './nano.js'

const hostile = `"><script>alert(1)</script><img src=x onerror='alert(2)'>&\`</style></title>`
const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1, 2, 3)

test('text is escaped wherever it stands, what html made is not escaped twice', () => {
  assert.is(escapeHtml(`<a b="c" d='e'>&\``), '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;&#96;')
  const inner = html`<b>${'<i>'}</b>`
  assert.is(
    html`<p title="${'"'}">${inner}${[inner, 'x']}${undefined}${0.001}</p>`.source,
    '<p title="&quot;"><b>&lt;i&gt;</b><b>&lt;i&gt;</b>x0.001</p>',
  )
  // An object that only looks like Html, as JSON can, is not taken for it.
  assert.throws(() => html`${{ source: '<script>' } as never}`)
})

const everything = (text: string): string =>
  page({
    title: text,
    lead: text,
    sections: [
      { title: text, body: table({ columns: [text], rows: [[text, text]], total: [text] }) },
      {
        title: 'curves',
        body: grid([
          curve([[0, 1]], { label: text, caption: text }),
          lossCurve({ stage: text, history: [], steps: 3, finalLoss: NaN, seconds: 1 }),
        ]),
      },
      {
        title: 'marks',
        body: scatter([{ x: 1, y: 2, group: text, title: text, label: text }], { label: text }),
      },
      {
        title: 'answers',
        body: answerCards([
          {
            picture: picture(png, text),
            answers: [{ question: text, answer: text, expected: text, right: false }],
          },
        ]),
      },
      { title: 'run', body: details(text, { [text]: text }) },
    ],
    foot: text,
  })

/** Tags of a page, with the names of their attributes. */
const tags = (source: string): string[] =>
  Array.from(source.replace(/<style>[^<]*<\/style>/, '').matchAll(/<([^>]*)>/g), (m) =>
    m[1]!
      .replace(/"[^"]*"/g, '""')
      .replace(/\s+/g, ' ')
      .trim(),
  )

test('hostile text changes nothing of the page but its text', () => {
  const [good, bad] = [everything('harmless'), everything(hostile)]
  assert.not.match(bad, /<script/)
  assert.is((bad.match(/alert\(1\)/g) ?? []).length, (good.match(/harmless/g) ?? []).length)
  assert.equal(tags(bad), tags(good))
})

test('the page loads nothing, runs nothing, and knows light and dark', () => {
  const source = everything('x')
  assert.match(source, /^<!doctype html>/)
  assert.match(source, `content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`)
  assert.match(source, /prefers-color-scheme:dark/)
  assert.not.match(source, /<script|<link|@import|url\(|https?:/)
  const sources = Array.from(source.matchAll(/(?:src|href)="([^"]*)"/g), (m) => m[1]!)
  assert.equal(sources, [`data:image/png;base64,${Buffer.from(png).toString('base64')}`])
  // Every tag that is opened is closed.
  const open: string[] = []
  for (const tag of tags(source)) {
    const name = /^\/?([a-z0-9]+)/.exec(tag)?.[1]
    if (name === undefined || tag.endsWith('/')) continue
    if (tag.startsWith('/')) assert.is(open.pop(), name)
    else open.push(name)
  }
  assert.equal(open, [])
})

/** Numbers of a path. */
const path = (source: string, name: string): number[] =>
  (new RegExp(`class="${name}" d="([^"]*)"`).exec(source)![1]!.match(/-?[\d.]+/g) ?? []).map(Number)

test('scores are shares in percent, a row for each type and all of them below', () => {
  const columns = [
    { title: 'unseen', key: 'heldOut', allKey: 'accuracy' },
    { title: 'chance', key: 'chance', allKey: 'chance' },
  ]
  const byType = { name: { heldOut: 0.5, chance: 0.05 }, count: { heldOut: 1, chance: undefined } }
  const { source } = scoreTable(columns, byType, { accuracy: 0.75, chance: 0.1 })
  const cells = Array.from(source.matchAll(/<t[hd](?: [^>]*)?>([^<]*)</g), (m) => m[1])
  assert.equal(cells, [
    ...['', 'unseen', 'chance'],
    ...['name', '50.0 %', '5.0 %'],
    ...['count', '100.0 %', '–'],
    ...['all', '75.0 %', '10.0 %'],
  ])
})

test('a curve goes from the left edge to where its stage ends, high values high', () => {
  const history = [4, 2, 1, 1].map((loss, step) => ({ step, loss, lr: 1, gradNorm: 1 }))
  const figure = lossCurve({ stage: 'text', history, steps: 6, finalLoss: 1, seconds: 12.4 }).source
  const points = path(figure, 'raw')
  const xs = points.filter((_, i) => i % 2 === 0)
  const ys = points.filter((_, i) => i % 2 === 1)
  assert.is(xs.length, 4)
  assert.is(xs[0], 46)
  assert.ok(Math.abs(xs[3]! - (46 + (344 - 46) / 2)) < 0.01, `${xs}`)
  assert.ok(ys[0]! < ys[1]! && ys[1]! < ys[2]! && ys[2] === ys[3], `${ys}`)
  assert.ok(
    ys.every((y) => y >= 10 && y <= 176),
    `${ys}`,
  )
  assert.match(figure, /<b>text<\/b> loss: 1\.000 after 6 steps, 12 s/)
  assert.is(path(figure, 'smooth').length, 8)
})

test('a first value far above the rest is cut at the top, and does not flatten the curve', () => {
  const points = Array.from({ length: 100 }, (_, i) => [i, i === 0 ? 1e6 : 2] as const)
  const ys = path(curve(points, { label: 'l' }).source, 'raw').filter((_, i) => i % 2 === 1)
  assert.is(ys[0], 10)
  assert.ok(ys[1]! < 30, `${ys[1]}`)
})

test('a curve of nothing, of one point, or with gaps is still a picture', () => {
  for (const points of [
    [],
    [[0, 0]],
    [
      [0, 1],
      [1, NaN],
      [2, Infinity],
      [3, 2],
    ],
  ] as [number, number][][]) {
    const { source } = curve(points, { label: 'l' })
    assert.not.match(source, /NaN|Infinity|undefined/)
  }
  const gaps = curve(
    [
      [0, 1],
      [1, NaN],
      [2, 3],
    ],
    { label: 'l' },
  ).source
  assert.is(path(gaps, 'raw').length, 4)
})

test('marks of a group share a colour, those with a label are ringed and on top', () => {
  const { source } = scatter(
    [
      { x: 0, y: 0, group: 'a', label: 'named' },
      { x: 1, y: 1, group: 'b' },
      { x: 2, y: 2, group: 'a' },
      { x: NaN, y: 2, group: 'nowhere' },
    ],
    { label: 'l' },
  )
  const classes = Array.from(source.matchAll(/<circle\s+class="([^"]*)"/g), (m) => m[1])
  assert.equal(classes, ['c1', 'c0', 'c0 ringed'])
  assert.not.match(source, /NaN|nowhere/)
  assert.match(source, />named<\/text/)
  // Labels of marks in one place stand below each other.
  const same = Array.from({ length: 4 }, (_, i) => ({ x: 0, y: 0, group: 'a', label: `l${i}` }))
  const rows = scatter(same, { label: 'l' }).source.matchAll(/<text x="[\d.]+" y="([\d.]+)"/g)
  const ys = Array.from(rows, (m) => Number(m[1]))
  assert.is(ys.length, 4)
  for (let i = 1; i < 4; i++) assert.ok(ys[i]! - ys[i - 1]! >= 11, ys.join())
  for (const marks of [[], [{ x: 3, y: 3, group: 'a' }]])
    assert.not.match(scatter(marks, { label: 'l' }).source, /NaN|Infinity/)
})

test('shares are percentages, what is missing is a dash', () => {
  assert.equal(
    [percent(0.857), percent(1), percent(NaN), percent(undefined)],
    ['85.7 %', '100.0 %', '–', '–'],
  )
  assert.match(table({ columns: ['', 'a'], rows: [['r', undefined]] }).source, /<td>–<\/td>/)
})

test('a picture says what it is by its first bytes', () => {
  assert.match(picture(Uint8Array.of(0xff, 0xd8, 0xff, 0), 'j').source, /data:image\/jpeg;base64,/)
  assert.throws(() => picture(Buffer.from('<svg onload="x">'), 'p'), /'p' starts with 3c737667/)
  assert.throws(() => picture(new Uint8Array(0), 'p'), /starts with nothing/)
})

test('a page is written whole or not at all', async () => {
  const folder = temporaryFolder()
  const content = { title: 't', sections: [] }
  await writePage(join(folder, 'report.html'), content)
  assert.is(readFileSync(join(folder, 'report.html'), 'utf8'), page(content))
  await rejects(writePage(join(folder, 'none', 'report.html'), content), /ENOENT/)
  assert.equal(readdirSync(folder), ['report.html'])
})

test.run()
