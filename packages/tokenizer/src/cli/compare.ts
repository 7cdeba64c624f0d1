// shakti-tokenizer compare

import type { Tokenizer } from '../node/tokenizer.js'
import { FAILED, OK, UsageError } from './command.js'
import type { Command } from './command.js'
import { inputs, loadTokenizer } from './input.js'
import { Progress, Rate } from './progress.js'
import { decimals, number, size, table } from './table.js'

export const compare: Command = {
  summary: 'two tokenizers on the same texts',
  help: `shakti-tokenizer compare A B [FILE...] [options]

Encodes files, or standard input, with two tokenizers: how many tokens each takes, and the first place where
they differ. Exits with 0 where all ids are equal, with 1 where some differ.

  --lines    each line is a text of its own
  --json     as JSON

Examples
  shakti-tokenizer compare old/ new/ held-out/
  shakti-tokenizer compare runs/tokenizer llama3/tokenizer.json hindi.txt`,
  options: { lines: { type: 'boolean' } },

  async run(args, { stdin, stdout, stderr }) {
    const [first, second, ...files] = args.positionals
    if (second === undefined) throw new UsageError('two tokenizers are expected.')
    const a = await loadTokenizer(first)
    const b = await loadTokenizer(second)
    const progress = new Progress(stderr)
    const rows: Row[] = []
    let difference: Difference | undefined
    for await (const { name, bytes } of inputs(files, stdin)) {
      const row: Row = { file: name, bytes: bytes.length, tokensA: 0, tokensB: 0 }
      const rate = new Rate('comparing', bytes.length, (n) => `${size(n)}/s`)
      let at = 0
      for (const text of args.values.lines === true ? lines(bytes) : [bytes.toString('utf8')]) {
        const [idsA, idsB] = [a.encode(text), b.encode(text)]
        row.tokensA += idsA.length
        row.tokensB += idsB.length
        difference ??= firstDifference(a, b, idsA, idsB, name, at, bytes)
        at += Buffer.byteLength(text)
        progress.update(rate.at(at))
      }
      rows.push(row)
    }
    progress.stop()
    const same = difference === undefined
    stdout.write(
      args.values.json === true
        ? `${JSON.stringify({ same, difference: difference ?? null, files: rows })}\n`
        : `${report(rows)}\n${told(difference)}\n`,
    )
    return same ? OK : FAILED
  },
}

interface Row {
  readonly file: string
  readonly bytes: number
  tokensA: number
  tokensB: number
}

interface Difference {
  readonly file: string
  /** Index of the token in its text. */
  readonly token: number
  /** Where it begins in the file. */
  readonly byte: number
  readonly line: number
  readonly a: Side
  readonly b: Side
}

interface Side {
  readonly id: number | null
  readonly text: string
}

function firstDifference(
  a: Tokenizer,
  b: Tokenizer,
  idsA: readonly number[],
  idsB: readonly number[],
  file: string,
  from: number,
  bytes: Buffer,
): Difference | undefined {
  const length = Math.max(idsA.length, idsB.length)
  let token = 0
  while (token < length && idsA[token] === idsB[token]) token++
  if (token === length) return undefined
  const byte = from + a.decodeBytes(idsA.slice(0, token)).length
  let line = 1
  for (let i = bytes.indexOf(10); i >= 0 && i < byte; i = bytes.indexOf(10, i + 1)) line++
  const side = (tokenizer: Tokenizer, id: number | undefined): Side =>
    id === undefined ? { id: null, text: '' } : { id, text: tokenizer.decode([id]) }
  return { file, token, byte, line, a: side(a, idsA[token]), b: side(b, idsB[token]) }
}

/** Lines with their ends. */
function* lines(bytes: Buffer): Generator<string> {
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(10, start)
    const end = newline < 0 ? bytes.length : newline + 1
    yield bytes.toString('utf8', start, end)
    start = end
  }
}

function report(rows: readonly Row[]): string {
  const sum = rows.reduce(
    (all, row) => ({
      file: 'all',
      bytes: all.bytes + row.bytes,
      tokensA: all.tokensA + row.tokensA,
      tokensB: all.tokensB + row.tokensB,
    }),
    { file: 'all', bytes: 0, tokensA: 0, tokensB: 0 },
  )
  const perToken = (bytes: number, tokens: number): string =>
    decimals(tokens === 0 ? 0 : bytes / tokens)
  return table([
    ['file', 'bytes', 'tokens A', 'tokens B', 'bytes/token A', 'bytes/token B', 'B/A'],
    ...[...rows, ...(rows.length > 1 ? [sum] : [])].map((row) => [
      row.file,
      ...[row.bytes, row.tokensA, row.tokensB].map(number),
      ...[perToken(row.bytes, row.tokensA), perToken(row.bytes, row.tokensB)],
      row.tokensA === 0 ? '-' : decimals(row.tokensB / row.tokensA),
    ]),
  ])
}

function told(difference: Difference | undefined): string {
  if (difference === undefined) return 'all ids are equal'
  const { file, line, byte, token, a, b } = difference
  const side = ({ id, text }: Side): string =>
    id === null ? 'the end' : `${id} ${JSON.stringify(text)}`
  return `first difference in ${file}, line ${line}, byte ${byte}, token ${token}: A has ${side(a)}, B has ${side(b)}`
}
