// The page: one file with nothing outside of it, no script, for light and dark screens and for paper.
import { ShaktiError, writeAtomically } from '@shakti/tensor'
import { html, Html, type HtmlValue } from './html.js'

/** A cell of text or a number as it is to be written; `undefined` becomes a dash. */
export type Cell = Html | string | number | undefined

/** 0.857 as '85.7 %', a dash for what is no number. */
export function percent(share: unknown): string {
  return typeof share === 'number' && Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : '–'
}

/** The first column names the rows; `total` is a last row that sums up. */
export function table(options: {
  columns: readonly string[]
  rows: readonly (readonly Cell[])[]
  total?: readonly Cell[]
}): Html {
  const cell = (value: Cell, i: number, tag: 'td' | 'th' = i === 0 ? 'th' : 'td'): Html =>
    tag === 'th'
      ? html`<th scope="${i === 0 ? 'row' : 'col'}">${value ?? '–'}</th>`
      : html`<td>${value ?? '–'}</td>`
  const row = (cells: readonly Cell[]): Html =>
    html`<tr>
      ${cells.map((c, i) => cell(c, i))}
    </tr>`
  const { columns, rows, total } = options
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          ${columns.map((c) => html`<th scope="col">${c}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(row)}
      </tbody>
      ${
        total
          ? html`<tfoot>
              ${row(total)}
            </tfoot>`
          : undefined
      }
    </table>
  </div>`
}

export interface ScoreColumn {
  title: string
  /** The column's share in each row's figures, and its name in `all`. */
  key: string
  allKey: string
}

/**
 * Scores in percent: one row for each type of question, and all of them below.
 * @param all figures of a run, of which the columns' `allKey`s are shown
 */
export function scoreTable(
  columns: readonly ScoreColumn[],
  byType: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  all: Readonly<Record<string, unknown>>,
): Html {
  return table({
    columns: ['', ...columns.map((c) => c.title)],
    rows: Object.entries(byType).map(([type, row]) => [
      type,
      ...columns.map((c) => percent(row[c.key])),
    ]),
    total: ['all', ...columns.map((c) => percent(all[c.allKey]))],
  })
}

const imageTypes: readonly (readonly [string, readonly number[]])[] = [
  ['png', [0x89, 0x50, 0x4e, 0x47]],
  ['jpeg', [0xff, 0xd8, 0xff]],
  ['gif', [0x47, 0x49, 0x46, 0x38]],
  ['webp', [0x52, 0x49, 0x46, 0x46]],
]

/**
 * A picture inside the page.
 * @param bytes of a PNG, JPEG, GIF or WebP file
 */
export function picture(bytes: Uint8Array, alt: string): Html {
  const type = imageTypes.find(([, start]) => start.every((b, i) => bytes[i] === b))?.[0]
  if (type === undefined)
    throw new ShaktiError(
      'picture',
      `'${alt}' starts with ${Buffer.from(bytes.subarray(0, 4)).toString('hex') || 'nothing'}. It must be a PNG, JPEG, GIF or WebP file.`,
    )
  return html`<img
    alt="${alt}"
    src="data:image/${type};base64,${Buffer.from(bytes).toString('base64')}"
  />`
}

export interface AnswerCard {
  /** From `picture`. */
  picture: Html
  answers: readonly { question: string; answer: string; expected: string; right: boolean }[]
}

/** Pictures with questions and what was answered; a wrong answer is followed by the expected one. */
export function answerCards(cards: readonly AnswerCard[]): Html {
  return grid(
    cards.map(
      ({ picture: image, answers }) =>
        html`<div class="card">
          ${image}
          <ul>
            ${answers.map(
              (a) =>
                html`<li>
                  ${a.question}<br /><b class="${a.right ? 'right' : 'wrong'}"
                    >${a.right ? '✓' : '✗'} ${a.answer || '(nothing)'}</b
                  >${a.right ? undefined : ` (${a.expected})`}
                </li>`,
            )}
          </ul>
        </div>`,
    ),
  )
}

/** Things side by side, as many as fit. */
export function grid(items: readonly Html[]): Html {
  return html`<div class="items">${items}</div>`
}

/** JSON, folded away under a title. */
export function details(title: string, value: unknown): Html {
  return html`<details>
    <summary>${title}</summary>
    <pre>${JSON.stringify(value, null, 2)}</pre>
  </details>`
}

// Hues that keep apart on white and on black, also for the colour-blind (after Okabe and Ito).
const light = ['#b8452f', '#b77400', '#007a5a', '#0063a0', '#8f4f86', '#7a6a00', '#2b8cbe', '#555']
const dark = ['#f08a72', '#f0b04a', '#3fc49a', '#6fb5ea', '#d79bcd', '#d8c848', '#8fd3f4', '#aaa']
const hues = (list: readonly string[]): string => list.map((c, i) => `--c${i}:${c}`).join(';')

const style = `:root{color-scheme:light dark;--paper:#fff;--ink:#1c1e21;--soft:#5d636b;--line:#dadde2;--fill:#f6f7f9;--accent:#0063a0;--right:#00734f;--wrong:#b3261e;${hues(light)}}
@media (prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#e6e8eb;--soft:#a0a6af;--line:#363b43;--fill:#1e2126;--accent:#6fb5ea;--right:#4cc79a;--wrong:#f2837a;${hues(dark)}}}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1080px;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2;text-wrap:balance}h2{margin-top:2.5rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
.big{font-size:2.2rem;font-weight:600}.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .9rem;border-bottom:1px solid var(--line);text-align:right}th:first-child{text-align:left}tbody th{font-weight:400}thead th,figcaption{color:var(--soft)}tfoot td,tfoot th{font-weight:600;border:0}
.items{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:1rem;align-items:start}figure{margin:0}figcaption{font-size:.9em}
svg{width:100%;height:auto;display:block;overflow:visible}svg text{font-size:11px;fill:var(--ink)}.grid{stroke:var(--line)}path{fill:none;stroke:var(--accent);stroke-linejoin:round}.raw{opacity:.35}.smooth{stroke-width:2}
circle{fill-opacity:.65}.ringed{fill-opacity:1;stroke:var(--ink);stroke-width:1.2}.key{display:inline-block;margin-right:1rem}.key i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}
${light.map((_, i) => `.c${i}{fill:var(--c${i})}i.c${i}{background:var(--c${i})}`).join('')}
.card{background:var(--fill);border:1px solid var(--line);border-radius:8px;padding:.9rem}.card img{width:144px;height:144px;object-fit:contain;image-rendering:pixelated;border-radius:4px}.card ul{margin:.6rem 0 0;padding-left:1.1rem}
.right{color:var(--right)}.wrong{color:var(--wrong)}pre{overflow:auto;background:var(--fill);border:1px solid var(--line);border-radius:8px;padding:.8rem;font-size:.85em}summary{cursor:pointer}
@media print{body{margin:0}.card,figure{break-inside:avoid}}`

// Ours, and free of '<': it needs no escaping, which would spoil it.
const styleElement = new Html(`<style>${style}</style>`)

export interface Page {
  title: string
  /** What matters most, before all sections. */
  lead?: HtmlValue
  sections: readonly { title: string; body: HtmlValue }[]
  /** Sources, licences. */
  foot?: HtmlValue
}

/** A whole page. It loads nothing and runs nothing, and says so to the browser. */
export function page({ title, lead, sections, foot }: Page): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        />
        <meta name="viewport" content="width=device-width" />
        <title>${title}</title>
        ${styleElement}
      </head>
      <body>
        <h1>${title}</h1>
        ${lead}
        ${sections.map(
          (s) =>
            html`<section>
              <h2>${s.title}</h2>
              ${s.body}
            </section>`,
        )}
        ${foot === undefined ? undefined : html`<footer>${foot}</footer>`}
      </body>
    </html> `.source
}

/** Writes a page, whole or not at all. */
export function writePage(path: string, content: Page): Promise<void> {
  return writeAtomically('writePage', path, page(content))
}
