// shakti-tokenizer train

import { stat } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { Tokenizer } from '../node/tokenizer.js'
import type { TrainFilesOptions } from '../node/train.js'
import { compression } from '../train/compression.js'
import { PATTERN_NAMES } from '../train/patterns.js'
import type { SplitPattern } from '../train/patterns.js'
import type { TrainProgress } from '../train/progress.js'
import type { Pruned } from '../train/word-counts.js'
import { OK, UsageError, byteCount, integer, list, text } from './command.js'
import type { Arguments, Command } from './command.js'
import { inputs } from './input.js'
import { Progress } from './progress.js'
import { decimals, duration, number, size, table } from './table.js'

export const train: Command = {
  summary: 'train byte-level BPE on files and folders',
  help: `shakti-tokenizer train FILE... --out FOLDER [options]

Trains byte-level BPE on files and on all files in folders; '-' is standard input. Each file is one text.
Writes tokenizer.json and tokenizer_config.json into FOLDER.

  --out FOLDER             where to write
  --vocab-size N           ids in the end, bytes and special tokens among them (32768)
  --min-frequency N        pairs met less often are not merged (2)
  --special-token TEXT     a special token; may be repeated (those of our chat format)
  --pattern NAME           ${PATTERN_NAMES.join(', ')} (llama3)
  --regex REGEX            a split pattern of one's own
  --digits N               digits in one token at most (what the pattern says)
  --max-token-length N     bytes of a token at most (no limit)
  --max-memory SIZE        memory for counting and merging; beyond it the rarest words are dropped (1g)
  --workers N              threads that count; any number gives the same result (cores - 1)
  --checkpoint FOLDER      keep the state there, and go on from it
  --held-out PATH          report bytes per token on these files; may be repeated
  --json                   report as JSON
  --quiet                  no progress

Examples
  shakti-tokenizer train corpus/ --out runs/tokenizer --vocab-size 32768
  shakti-tokenizer train en.txt hi.txt --out t --pattern o200k --held-out held-out/
  zcat dump.gz | shakti-tokenizer train - --out t --checkpoint runs/state`,
  options: {
    out: { type: 'string' },
    'vocab-size': { type: 'string' },
    'min-frequency': { type: 'string' },
    'special-token': { type: 'string', multiple: true },
    pattern: { type: 'string' },
    regex: { type: 'string' },
    digits: { type: 'string' },
    'max-token-length': { type: 'string' },
    'max-memory': { type: 'string' },
    workers: { type: 'string' },
    checkpoint: { type: 'string' },
    'held-out': { type: 'string', multiple: true },
    quiet: { type: 'boolean' },
  },

  async run(args, { stdin, stdout, stderr }) {
    const out = text(args, 'out')
    if (args.positionals.length === 0)
      throw new UsageError('no file or folder to train on is given.')
    if (out === undefined) throw new UsageError('--out is missing: the folder to write to.')
    const heldOut = list(args, 'held-out') ?? []
    // Before the work, not after it.
    for (const path of heldOut) {
      await stat(path).catch(() => {
        throw new UsageError(`--held-out ${path} does not exist.`)
      })
    }
    const progress = new Progress(stderr, args.values.quiet === true)
    let pruned: Pruned | undefined
    const began = performance.now()
    const paths = args.positionals.map((path) => (path === '-' ? '/dev/stdin' : path))
    const tokenizer = await Tokenizer.trainFromFiles(paths, {
      ...trainOptions(args),
      onPruned: (lost) => (pruned = lost),
      onProgress: (state) => progress.update(shown(state)),
    }).finally(() => progress.stop())
    await tokenizer.save(out)
    const seconds = (performance.now() - began) / 1000
    const rows: Row[] = []
    for await (const { name, bytes } of heldOut.length === 0 ? [] : inputs(heldOut, stdin)) {
      const language = basename(name, extname(name))
      rows.push({ language, ...compression(tokenizer, [bytes.toString('utf8')]) })
    }
    const { vocabSize } = tokenizer
    stdout.write(
      args.values.json === true
        ? `${JSON.stringify({ out, vocabSize, seconds, pruned: pruned ?? null, heldOut: rows })}\n`
        : `${out}: ${number(vocabSize)} tokens in ${duration(seconds)}\n${lost(pruned)}${heldOutTable(rows)}`,
    )
    return OK
  },
}

interface Row extends ReturnType<typeof compression> {
  readonly language: string
}

function trainOptions(args: Arguments): TrainFilesOptions {
  const pattern = text(args, 'pattern')
  const regex = text(args, 'regex')
  if (pattern !== undefined && regex !== undefined) {
    throw new UsageError('--pattern and --regex exclude each other.')
  }
  if (pattern !== undefined && !PATTERN_NAMES.includes(pattern)) {
    throw new UsageError(`--pattern is ${pattern}. One of ${PATTERN_NAMES.join(', ')} is expected.`)
  }
  const options = {
    minFrequency: integer(args, 'min-frequency'),
    specialTokens: list(args, 'special-token'),
    pattern: regex === undefined ? (pattern as SplitPattern | undefined) : { regex },
    digits: integer(args, 'digits'),
    maxTokenLength: integer(args, 'max-token-length'),
    maxMemory: byteCount(args, 'max-memory'),
    workers: integer(args, 'workers'),
    checkpoint: text(args, 'checkpoint'),
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return { vocabSize: integer(args, 'vocab-size') ?? 32_768, ...Object.fromEntries(given) }
}

function shown({ phase, done, total, perSecond, secondsLeft }: TrainProgress) {
  return phase === 'count'
    ? { task: 'counting', done, total, rate: `${size(perSecond)}/s`, secondsLeft }
    : {
        task: 'merging',
        done,
        total,
        rate: `${number(Math.round(perSecond))} merges/s`,
        secondsLeft,
      }
}

function lost(pruned: Pruned | undefined): string {
  if (pruned === undefined) return ''
  return (
    `memory was bounded: ${number(pruned.words)} rare words were dropped (${number(pruned.occurrences)} occurrences); ` +
    `no count that is left is too low by more than ${number(pruned.perWord)}\n`
  )
}

function heldOutTable(rows: readonly Row[]): string {
  if (rows.length === 0) return ''
  const body = rows.map((row) => [
    row.language,
    ...[number(row.bytes), number(row.tokens)],
    ...[decimals(row.bytesPerToken), decimals(row.charactersPerToken)],
  ])
  return `\n${table([['held out', 'bytes', 'tokens', 'bytes/token', 'characters/token'], ...body])}`
}
