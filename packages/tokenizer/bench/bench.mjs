// Compares with the packages on npm: npm run bench -w @shakti/tokenizer -- [FILE...] [--json FILE] [--only WORD,...]
// Every package runs on every text in a process of its own, one after the other, on one thread. Without files the
// texts are English, code and Hindi that lie on the machine. --only keeps the encodings, packages and texts so named.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { OURS, peers } from './peers.mjs'
import { texts } from './texts.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, only: { type: 'string' } },
})
const only = values.only?.split(',')
const kept = (all) => {
  const named = only?.filter((word) => all.includes(word)) ?? []
  return named.length === 0 ? all : all.filter((word) => named.includes(word))
}
const from = process.env.INIT_CWD ?? process.cwd()
const one = fileURLToPath(new URL('one.mjs', import.meta.url))
const flags = ['--expose-gc']

/** A row; none, and a sentence, where the package fails on the text. */
function measure(encoding, text, name, file) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, one, encoding, name, file],
    { encoding: 'utf8', env: { ...process.env, RAYON_NUM_THREADS: '1' } },
  )
  if (status === 0) return [{ encoding, text, name, ...JSON.parse(stdout) }]
  const why = /^\w*Error.*/m.exec(stderr)?.[0] ?? 'the process ended without a word'
  console.error(`${name} is left out of ${encoding}, ${text}: ${why}`)
  if (name === OURS) process.exitCode = 1
  return []
}

const scratch = mkdtempSync(join(tmpdir(), 'tokenizer-bench-'))
const results = []
try {
  const files = new Map(positionals.map((path) => [basename(path), resolve(from, path)]))
  if (files.size === 0) {
    for (const name of kept(Object.keys(texts))) {
      files.set(name, join(scratch, name))
      writeFileSync(files.get(name), texts[name]())
    }
  }
  const allPeers = Object.values(peers).flatMap((group) => Object.keys(group))
  for (const encoding of kept(Object.keys(peers))) {
    const names = Object.keys(peers[encoding]).filter((name) => kept(allPeers).includes(name))
    for (const [text, file] of files) {
      const rows = names.flatMap((name) => measure(encoding, text, name, file))
      results.push(...rows)
      print(`${encoding}, ${text}`, rows)
    }
  }
} finally {
  rmSync(scratch, { recursive: true })
}
if (values.json !== undefined) {
  const machine = { node: process.version, cpu: cpus()[0]?.model }
  writeFileSync(
    resolve(from, values.json),
    JSON.stringify({ machine, results, ratios: ratios() }, null, 2) + '\n',
  )
}

/** A table of one text; beside our row how many times better it is than the best of the others. */
function print(title, rows) {
  const columns = [
    ['package', (r) => r.name],
    ['first MB/s', (r) => r.first.toFixed(1)],
    ['warm MB/s', (r) => r.warm.toFixed(1)],
    ['decode MB/s', (r) => r.decode.toFixed(1)],
    ['load ms', (r) => (1000 * r.load).toFixed(0)],
    ['memory MB', (r) => (r.live / 1e6).toFixed(1)],
    ['rss MB', (r) => (r.rss / 1e6).toFixed(1)],
    ['tokens', (r) => String(r.tokens)],
    ['ids', (r) => (r.hash === rows[0].hash ? 'same' : 'other') + (r.whole ? '' : ', text lost')],
  ]
  const table = [
    columns.map(([head]) => head),
    ...rows.map((r) => columns.map(([, cell]) => cell(r))),
  ]
  const widths = columns.map((_, c) => Math.max(...table.map((line) => line[c].length)))
  console.log(`\n${title}`)
  for (const line of table) {
    console.log(
      line
        .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
        .join('  '),
    )
  }
  const ours = rows.find((r) => r.name === OURS)
  const others = rows.filter((r) => r !== ours)
  if (ours === undefined || others.length === 0) return
  const ratio = ratioOf(ours, others)
  console.log(
    `ours to the best other: ${Object.entries(ratio)
      .map(([work, x]) => `${work} ${x.toFixed(2)}x`)
      .join(', ')}`,
  )
}

function ratioOf(ours, others) {
  const most = (field) => ours[field] / Math.max(...others.map((r) => r[field]))
  const least = (field) => Math.min(...others.map((r) => r[field])) / ours[field]
  return {
    first: most('first'),
    warm: most('warm'),
    decode: most('decode'),
    load: least('load'),
    memory: least('rss'), // `live` misses what native code and WebAssembly hold
  }
}

function ratios() {
  return results
    .filter((r) => r.name === OURS)
    .map((ours) => {
      const others = results.filter(
        (r) => r !== ours && r.encoding === ours.encoding && r.text === ours.text,
      )
      return {
        encoding: ours.encoding,
        text: ours.text,
        ...(others.length > 0 ? ratioOf(ours, others) : {}),
      }
    })
}
