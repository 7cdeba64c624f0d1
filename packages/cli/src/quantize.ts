// shakti quantize

import { readFile } from 'node:fs/promises'
import {
  byteCount,
  choice,
  flag,
  integer,
  list,
  number,
  OK,
  Progress,
  Rate,
  size,
  table,
  text,
  UsageError,
} from '@shakti/tokenizer/command-line'
import { Tokenizer } from '@shakti/tokenizer'
import { fromPretrained, inspectPretrained, perplexity, quantizePretrained } from '@shakti/vlm'
import type { QuantizationReport } from '@shakti/vlm'
import { withProgress } from './io.js'
import type { Command, Io } from './io.js'
import { modelFolder, noMore, outFolder } from './presets.js'

export const quantize: Command = {
  summary: 'the model of a folder in 8 or 4 bits',
  help: `shakti quantize DIR --bits 8|4 --out DIR2 [options]

Rounds the matrices of a model to 8 or 4 bits with a scale for each group of weights; embeddings, norms and biases become
bf16. Memory for one matrix is all it takes. Says how far the layers are from what they were: the length of the
difference over the length of the weight.

  --bits N             8 or 4
  --out DIR2           where to write
  --group N            weights that share a scale: 32, 64, 128 (64 with 8 bits, 32 with 4)
  --zero-point         a zero point for each group beside its scale: smaller errors, a byte a group more
  --no-head            leave the output matrix whole
  --except PATTERN     leave modules whole, as in 'vision_tower.*'; may be repeated
  --worst N            how many of the worst layers to show (5)
  --perplexity FILE    perplexity of this text under both models; needs a tokenizer in DIR
  --tokens N           of the text, at most (4096)
  --shard-bytes SIZE   the weights are split above this size (5g)
  --force              replace a model that is there
  --json               report as JSON, with all layers

Examples
  shakti quantize models/1b --bits 8 --out models/1b-int8
  shakti quantize models/1b --bits 4 --out models/1b-int4 --except 'vision_tower.*' --perplexity held-out.txt`,
  options: {
    bits: { type: 'string' },
    out: { type: 'string' },
    group: { type: 'string' },
    'zero-point': { type: 'boolean' },
    'no-head': { type: 'boolean' },
    except: { type: 'string', multiple: true },
    worst: { type: 'string' },
    perplexity: { type: 'string' },
    tokens: { type: 'string' },
    'shard-bytes': { type: 'string' },
    force: { type: 'boolean' },
  },

  async run(args, io) {
    const from = await modelFolder(args)
    noMore(args, 1)
    const bits = choice(args, 'bits', ['8', '4'])
    if (bits === undefined) throw new UsageError('--bits is missing: 8 or 4.')
    const group = choice(args, 'group', ['32', '64', '128'])
    const out = await outFolder(text(args, 'out'), flag(args, 'force'))
    const shardBytes = byteCount(args, 'shard-bytes')
    const file = text(args, 'perplexity')
    // Before the work, not after it.
    const ids = file === undefined ? undefined : await tokensOf(from, file, integer(args, 'tokens'))
    const signal = io.interrupts.begin()
    const began = performance.now()
    const report = await withProgress(io, 'rounding', (onProgress) =>
      quantizePretrained(from, out, {
        bits: bits === '8' ? 8 : 4,
        zeroPoint: flag(args, 'zero-point'),
        head: !flag(args, 'no-head'),
        except: list(args, 'except') ?? [],
        onProgress,
        signal,
        ...(group === undefined ? {} : { group: Number(group) as 32 | 64 | 128 }),
        ...(shardBytes === undefined ? {} : { shardBytes }),
      }),
    )
    const seconds = (performance.now() - began) / 1000
    const texts = ids && {
      tokens: ids.reduce((n, part) => n + part.length - 1, 0),
      before: await perplexityOf(from, ids, io, signal),
      after: await perplexityOf(out, ids, io, signal),
    }
    const worst = worstOf(report, integer(args, 'worst') ?? 5)
    io.stdout.write(
      flag(args, 'json')
        ? `${JSON.stringify({ from, out, seconds, ...report, perplexity: texts ?? null })}\n`
        : `${out}: ${number(report.layers.length)} matrices in ${bits} bits, groups of ${report.group}, in ${seconds.toFixed(1)} s\n` +
            `${size(report.bytesBefore)} before, ${size(report.bytesAfter)} after (${((100 * report.bytesAfter) / report.bytesBefore).toFixed(1)} %)\n` +
            `error ${percent(report.error)} of all matrices\n` +
            (worst.length === 0
              ? ''
              : `\n${table([
                  ['worst', 'shape', 'error'],
                  ...worst.map((l) => [l.name, l.shape.join(' x '), percent(l.error)]),
                ])}`) +
            (texts
              ? `\nperplexity of ${number(texts.tokens)} tokens: ${texts.before.toFixed(4)} before, ${texts.after.toFixed(4)} after ` +
                `(${texts.after < texts.before ? '' : '+'}${(100 * (texts.after / texts.before - 1)).toFixed(3)} %)\n`
              : ''),
    )
    return OK
  },
}

const percent = (part: number): string => `${(100 * part).toFixed(3)} %`

const worstOf = ({ layers }: QuantizationReport, n: number): QuantizationReport['layers'] =>
  [...layers].sort((a, b) => b.error - a.error).slice(0, n)

/** The tokens of a text, in parts that fit the context. */
async function tokensOf(folder: string, file: string, most = 4096): Promise<number[][]> {
  const source = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--perplexity ${file} cannot be read: ${error.code ?? error.message}.`)
  })
  const tokenizer = await Tokenizer.fromPretrained(folder)
  const { config } = await inspectPretrained(folder)
  const ids = tokenizer.encode(source).slice(0, most)
  if (ids.length < 2)
    throw new UsageError(`--perplexity ${file} has ${ids.length} tokens. At least 2 are expected.`)
  const length = Math.min(config.decoder.context, 2048)
  const parts: number[][] = []
  for (let at = 0; at < ids.length; at += length) parts.push(ids.slice(at, at + length))
  return parts.filter((part) => part.length > 1)
}

async function perplexityOf(
  folder: string,
  parts: readonly (readonly number[])[],
  { stderr }: Io,
  signal: AbortSignal,
): Promise<number> {
  const model = await fromPretrained(folder, { signal })
  const progress = new Progress(stderr)
  const total = parts.reduce((n, part) => n + part.length - 1, 0)
  const rate = new Rate('reading', total, (n) => `${number(Math.round(n))} tokens/s`)
  try {
    let [loss, done] = [0, 0]
    for (const part of parts) {
      signal.throwIfAborted()
      const result = await perplexity(model, part)
      loss += result.loss * result.tokens
      progress.update(rate.at((done += result.tokens)))
    }
    return Math.exp(loss / total)
  } finally {
    progress.stop()
  }
}
