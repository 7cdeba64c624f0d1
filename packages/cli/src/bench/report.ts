// What a run of the bench found, for machines and for people.

import { number, paints, size, table } from '@shakti/tokenizer/command-line'
import type { Precision } from '@shakti/vlm'
import type { ImageSize } from '../imageSize.js'
import type { OurRound, Round } from './ours.js'

/** Rates are tokens a second, times milliseconds, sizes bytes; medians of the rounds. */
export interface Report {
  readonly model: {
    readonly folder: string
    readonly parameters: number
    readonly precision: Precision
    readonly packed: boolean
  }
  readonly machine: {
    readonly cpu: string
    readonly isa: string
    readonly threads: number
    readonly node: string
    readonly platform: string
    /** Bytes a second. */
    readonly bandwidth: number
  }
  readonly work: {
    readonly prefill: number
    readonly decode: number
    readonly rounds: number
    readonly positions: number
    readonly image?: ImageSize
  }
  readonly ours: OurRound & {
    readonly load: number
    /** Of the process, before anything else was loaded. */
    readonly peakMemory: number
    /** Of memoryBudget: without Node itself, its code and its heap. */
    readonly budget: number
    readonly weightBytesPerToken: number
    /** Keys and values, on the average. */
    readonly cacheBytesPerToken: number
    readonly bytesPerSecond: number
    readonly shareOfBandwidth: number
    readonly rounds: readonly (OurRound & { readonly bandwidth: number })[]
  }
  readonly peers: readonly (Round & {
    readonly engine: string
    readonly weights: string
    readonly flashAttention: boolean
    /** Ours over theirs: the median of the rounds, each beside its neighbour. */
    readonly prefillRatio: number
    readonly decodeRatio: number
    readonly rounds: readonly Round[]
  })[]
}

const rate = (n: number): string => (n >= 100 ? number(Math.round(n)) : n.toFixed(1))
const ms = (n: number): string => (n < 10_000 ? `${n.toFixed(0)} ms` : `${(n / 1000).toFixed(1)} s`)

export function shown({ model, machine, work, ours, peers }: Report, colours: boolean): string {
  const { bold, dim } = paints(colours)
  const { image } = work
  const rows: [string, string, string][] = [
    ['load', ms(ours.load), ''],
    [
      `prefill ${number(work.positions - work.decode - 1)} tokens`,
      `${rate(ours.prefill)} tokens/s`,
      '',
    ],
    [
      `decode ${number(work.decode)} tokens`,
      `${rate(ours.decode)} tokens/s`,
      `${(1000 / ours.decode).toFixed(2)} ms a token`,
    ],
    ...(image
      ? [
          ['vision encoder', ms(ours.encode), `${image.width} x ${image.height}`] satisfies [
            string,
            string,
            string,
          ],
        ]
      : []),
    ['first token', ms(ours.firstToken), ''],
    [
      'read a token',
      size(ours.weightBytesPerToken + ours.cacheBytesPerToken),
      `${(ours.bytesPerSecond / 1e9).toFixed(1)} GB/s, ${(100 * ours.shareOfBandwidth).toFixed(0)} % of the ${(machine.bandwidth / 1e9).toFixed(1)} that memory gives`,
    ],
    ['peak memory', size(ours.peakMemory), `budget ${size(ours.budget)} and what Node takes`],
  ]
  const head =
    `${bold(model.folder)}: ${number(model.parameters)} parameters, ${model.precision}${model.packed ? ', packed' : ''}\n` +
    `${dim(`${machine.cpu}, ${machine.isa}, ${machine.threads} threads, node ${machine.node}; medians of ${work.rounds} rounds`)}\n\n`
  if (peers.length === 0) return `${head}${table(rows)}`
  const ratio = (n: number): string => `${n.toFixed(2)}x`
  const beside = [
    ['', 'weights', 'prefill, tokens/s', 'ours over it', 'decode, tokens/s', 'ours over it'].map(
      bold,
    ),
    ['ours', model.precision, rate(ours.prefill), '', rate(ours.decode), ''],
    ...peers.map((p) => [
      `llama.cpp${p.flashAttention ? ', flash' : ''}`,
      p.weights,
      rate(p.prefill),
      ratio(p.prefillRatio),
      rate(p.decode),
      ratio(p.decodeRatio),
    ]),
  ]
  return `${head}${table(rows)}\n${peers[0]!.engine}, the decoder alone, in turns with ours\n${table(beside)}`
}
