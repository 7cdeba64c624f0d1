// Curves and scatter plots as SVG. Colours and line widths are classes, so that the page decides them for light and dark.
import { scaleLinear } from 'd3-scale'
import { line } from 'd3-shape'
import type { Point, StageResult } from '../types.js'
import { html, type Html } from './html.js'

/** A hundredth of a pixel is enough. */
const round = (v: number): number => Math.round(v * 100) / 100

const [width, height] = [360, 200]
const [left, right, top, bottom] = [46, 16, 10, 24]

/** Mean over a window of about 2 % of the curve on each side. */
function smoothed(values: readonly number[]): number[] {
  const half = Math.max(1, Math.round(values.length / 50))
  return values.map((_, i) => {
    const part = values.slice(Math.max(0, i - half), i + half + 1)
    return part.reduce((a, b) => a + b, 0) / part.length
  })
}

export interface CurveOptions {
  /** Says what is seen, for those who do not see it. */
  label: string
  /** Default: nothing below the picture. */
  caption?: Html | string
  /** Where x ends. Default: the last point. */
  end?: number
}

/** A curve of [x, y] from 0 up, with a running mean on it. Points that are not finite are left out. */
export function curve(points: readonly (readonly [number, number])[], options: CurveOptions): Html {
  const good = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))
  const ys = good.map(([, y]) => y)
  // The first points of a loss may be so high that nothing else could be seen.
  const settled = ys.slice(Math.floor(ys.length * 0.02))
  const highest = settled.reduce((a, b) => Math.max(a, b), 1e-9) * 1.05
  const x = scaleLinear(
    [0, Math.max(1, options.end ?? good.at(-1)?.[0] ?? 1)],
    [left, width - right],
  )
  const y = scaleLinear([0, highest], [height - bottom, top]).clamp(true)
  const path = (values: readonly number[]): string =>
    line<number>(
      (_, i) => x(good[i]![0]),
      (v) => y(v),
    ).digits(2)(values) ?? ''
  const yFormat = y.tickFormat(4)
  return html`<figure>
    <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${options.label}">
      ${y
        .ticks(4)
        .map(
          (t) =>
            html`<line
                class="grid"
                x1="${left}"
                x2="${width - right}"
                y1="${round(y(t))}"
                y2="${round(y(t))}"
              />
              <text x="${left - 6}" y="${round(y(t) + 4)}" text-anchor="end">${yFormat(t)}</text>`,
        )}
      ${x
        .ticks(4)
        .map(
          (t) =>
            html`<text x="${round(x(t))}" y="${height - 6}" text-anchor="middle"
              >${x.tickFormat(4)(t)}</text
            >`,
        )}
      <path class="raw" d="${path(ys)}" />
      <path class="smooth" d="${path(smoothed(ys))}" />
    </svg>
    ${options.caption === undefined ? undefined : html`<figcaption>${options.caption}</figcaption>`}
  </figure>`
}

/** The loss of a stage over its steps, or another of its metrics. */
export function lossCurve(
  result: Pick<StageResult, 'stage' | 'history' | 'steps' | 'finalLoss' | 'seconds'>,
  metric: keyof Point = 'loss',
): Html {
  const { stage, history, steps, finalLoss, seconds } = result
  const end = metric === 'loss' ? `${finalLoss.toFixed(3)} after ` : ''
  return curve(
    history.map((p) => [p.step, p[metric] ?? NaN]),
    {
      label: `${metric} of ${stage}`,
      caption: html`<b>${stage}</b> ${metric}: ${end}${steps} steps, ${seconds.toFixed(0)} s`,
      end: steps,
    },
  )
}

export interface Mark {
  x: number
  y: number
  /** Marks of one group have one colour; up to 8 colours. */
  group: string
  /** Shown when the pointer rests on it. */
  title?: string
  /** Written beside it; the mark is larger, and ringed. */
  label?: string
}

/** Marks in the plane, without axes, with a legend of the groups. */
export function scatter(marks: readonly Mark[], options: { label: string }): Html {
  const [w, h, edge] = [720, 480, 16]
  const good = marks.filter((m) => Number.isFinite(m.x) && Number.isFinite(m.y))
  const span = (values: number[]): [number, number] => {
    const [low, high] = values.reduce(
      ([a, b], v) => [Math.min(a, v), Math.max(b, v)],
      [Infinity, -Infinity],
    )
    return low < high ? [low, high] : [(low || 0) - 1, (low || 0) + 1]
  }
  // Labels stand to the right of their marks.
  const x = scaleLinear(span(good.map((m) => m.x)), [edge, w - 6 * edge])
  const y = scaleLinear(span(good.map((m) => m.y)), [edge, h - edge])
  const groups = [...new Set(good.map((m) => m.group))]
  const colour = (group: string): string => `c${groups.indexOf(group) % 8}`
  const lines: { x: number; y: number }[] = []
  /** Where the text of a label goes: beside its mark, or further down where other text stands already. */
  const lineOf = (at: number, wanted: number): number => {
    let to = wanted
    for (let tries = 0; tries < lines.length; tries++) {
      const taken = lines.find((l) => Math.abs(l.x - at) < 64 && Math.abs(l.y - to) < 11)
      if (!taken) break
      to = taken.y + 11
    }
    lines.push({ x: at, y: to })
    return to
  }
  // Those with a label last, on top.
  const ordered = [...good].sort((a, b) => Number(!!a.label) - Number(!!b.label))
  return html`<figure>
    <svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${options.label}">
      ${ordered.map(
        (m) =>
          html`<circle
              class="${colour(m.group)}${m.label ? ' ringed' : ''}"
              cx="${round(x(m.x))}"
              cy="${round(y(m.y))}"
              r="${m.label ? 5 : 3}"
            >
              ${m.title ? html`<title>${m.title}</title>` : undefined}
            </circle>
            ${
              m.label
                ? html`<text x="${round(x(m.x) + 8)}" y="${round(lineOf(x(m.x), y(m.y) + 4))}"
                    >${m.label}</text
                  >`
                : undefined
            }`,
      )}
    </svg>
    <figcaption>
      ${groups.map((g) => html`<span class="key"><i class="${colour(g)}"></i>${g}</span>`)}
    </figcaption>
  </figure>`
}
