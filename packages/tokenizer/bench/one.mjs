// One package on one text, in a process of its own: node one.mjs ENCODING PACKAGE FILE. Prints a line of JSON.
import { readFileSync } from 'node:fs'
import { peers } from './peers.mjs'

const [encoding, name, file] = process.argv.slice(2)
const PASSES = 10
const ENOUGH = 4 // seconds: slow packages make fewer passes

function memory() {
  for (let i = 0; i < 4; i++) globalThis.gc()
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage()
  return { live: heapUsed + arrayBuffers, rss }
}

async function timed(work) {
  const start = performance.now()
  const result = await work()
  return { seconds: (performance.now() - start) / 1000, result }
}

async function best(work) {
  let least = await timed(work)
  for (let pass = 1, spent = least.seconds; pass < PASSES && spent < ENOUGH; pass++) {
    const next = await timed(work)
    spent += next.seconds
    if (next.seconds < least.seconds) least = next
  }
  return least
}

const before = memory()
const { seconds: load, result: tokenizer } = await timed(peers[encoding][name])
const after = memory()
const row = { load, live: after.live - before.live, rss: after.rss - before.rss }
if (file !== undefined) {
  const text = readFileSync(file, 'utf8')
  const bytes = Buffer.byteLength(text)
  const first = await timed(() => tokenizer.encode(text))
  const ids = Array.from(first.result)
  const { seconds: warm } = await best(() => tokenizer.encode(text))
  const { seconds: decode, result: decoded } = await best(async () => {
    const out = await tokenizer.decode(ids)
    out.charCodeAt(out.length >> 1) // a rope of pieces is flattened here: who decodes wants to read
    return out
  })
  let hash = 0
  for (const id of ids) hash = (Math.imul(hash, 31) + id) | 0
  Object.assign(row, {
    first: bytes / first.seconds / 1e6,
    warm: bytes / warm / 1e6,
    decode: bytes / decode / 1e6,
    tokens: ids.length,
    hash,
    whole: decoded === text,
  })
}
console.log(JSON.stringify(row))
