// What was measured, as rows for peers.json and as tables for people.
import { plusMinus, type Spread } from '../lib/stats.js'
import type { Limit } from './limits.js'
import type { Outcome } from './measure.js'
import { digits, lineOf, markdown, percent, rate, type Column } from './table.js'

/** One work and one peer. */
export interface Row {
  readonly work: string
  readonly dtype: string
  /** Median. */
  readonly oursMs: number
  readonly oursQuartilesMs: readonly [number, number]
  readonly peer: string
  /** Median; null: absent, or not able to. */
  readonly peerMs: number | null
  readonly peerQuartilesMs: readonly [number, number] | null
  /** Why peerMs is null. */
  readonly why?: string
  /** Which of the peer's ways it is, where it has several. */
  readonly way?: string
  /** Written or read in one run, where the work is a language model's. */
  readonly tokens?: number
  /** Peer's time over ours. */
  readonly ratio: number | null
  /** Null where none was set. */
  readonly target: number | null
  /** Of the machine's limit, ours: the median of the rounds, in each of the limit just seen. Null for works without one. */
  readonly shareOfLimit: number | null
  readonly targetShare: number | null
  /** Operations or bytes a second, measured beside this work; the round in the middle. */
  readonly limit: Limit | null
}

const round = (x: number): number => Number(x.toPrecision(4))
const quartiles = ({ q1, q3 }: Spread): [number, number] => [round(q1), round(q3)]

export const rowsOf = ({ work, ours: mine, limit, shareOfLimit, peers: results }: Outcome): Row[] =>
  results.map(({ name, result, way }) => {
    const there = typeof result === 'object'
    return {
      work: work.name,
      dtype: work.dtype,
      oursMs: round(mine.median),
      oursQuartilesMs: quartiles(mine),
      peer: name,
      peerMs: there ? round(result.median) : null,
      peerQuartilesMs: there ? quartiles(result) : null,
      ...(there ? {} : { why: result }),
      ...(way === undefined ? {} : { way }),
      ...(work.tokens === undefined ? {} : { tokens: work.tokens }),
      ratio: there ? round(result.median / mine.median) : null,
      target: work.target ?? null,
      shareOfLimit: shareOfLimit && round(shareOfLimit),
      targetShare: work.targetShare ?? null,
      limit: typeof limit === 'object' ? limit : null,
    }
  })

/** For `block`. */
export function columnsFor(
  works: readonly string[],
  engines: readonly string[],
): readonly Column[] {
  const widest = (names: readonly string[]): number => Math.max(...names.map((n) => n.length))
  return [
    { title: 'work', width: widest(works), left: true },
    { title: 'engine', width: widest(['engine', ...engines]), left: true },
    { title: 'ms', width: 7 },
    { title: '±', width: 6 },
    { title: 'ratio', width: 6 },
    { title: 'of limit', width: 8 },
    { title: 'limit, way', width: 32, left: true },
  ]
}

const msAndSpread = (s: Spread): string[] => [digits(s.median), `${plusMinus(s).toFixed(1)} %`]

/** A work's lines: ours, then each peer that is there. */
export function block(
  outcome: Outcome,
  columns: readonly Column[],
  absent: ReadonlySet<string>,
): string {
  const { work, ours: mine, limit, shareOfLimit } = outcome
  const unit = work.flops === undefined ? 'B' : 'FLOP'
  const speed = ({ median }: Spread): string[] =>
    work.tokens ? [`${digits(work.tokens / (median / 1e3))} tokens/s`] : []
  const notes = (...parts: string[]): string => parts.join(', ')
  const first = [
    work.name,
    'ours',
    ...msAndSpread(mine),
    '',
    shareOfLimit === null ? '' : percent(shareOfLimit),
    notes(
      ...speed(mine),
      ...(typeof limit === 'object'
        ? [rate(limit.perSecond, unit), limit.by]
        : limit
          ? [limit]
          : []),
    ),
  ]
  const others = outcome.peers
    .filter(({ name }) => !absent.has(name))
    .map(({ name, result, way }) =>
      typeof result === 'object'
        ? [
            ...['', name, ...msAndSpread(result), digits(result.median / mine.median), ''],
            notes(...speed(result), ...(way ? [way] : [])),
          ]
        : ['', name, '-', '', '', '', result],
    )
  return [first, ...others].map((cells) => lineOf(columns, cells)).join('\n')
}

/** Ours beside the best peer of each work, and whether that meets the targets. */
export function summary(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ work, ours: mine, shareOfLimit, peers: results }) => {
    const best = results
      .flatMap(({ name, result }) =>
        typeof result === 'object' ? [{ name, ms: result.median }] : [],
      )
      .sort((a, b) => a.ms - b.ms)[0]
    const ratio = best && best.ms / mine.median
    const { target, targetShare } = work
    const met = (value: number | null | undefined, least: number | undefined): string =>
      value === null || value === undefined || !least ? '-' : value >= least ? 'yes' : 'no'
    return [
      work.name,
      digits(mine.median),
      best?.name ?? 'none',
      best ? digits(best.ms) : '-',
      ratio ? digits(ratio) : '-',
      target ? target.toFixed(1) : '-',
      met(ratio, target),
      shareOfLimit === null ? '-' : percent(shareOfLimit),
      targetShare ? percent(targetShare) : '-',
      met(shareOfLimit, targetShare),
    ]
  })
  const titles = ['work', 'ours, ms', 'best peer', 'its ms', 'ratio', 'target', 'met', 'of limit']
  return markdown([...titles, 'target', 'met'], rows, ['best peer', 'met'])
}
