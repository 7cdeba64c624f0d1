// One package on one text, in a process of its own: node one.mjs ENCODING PACKAGE FILE. Prints a line of JSON.
import { readFileSync } from 'node:fs'
import { peers } from './peers.mjs'

const [encoding, name, file] = process.argv.slice(2)
const WARM = 5

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

const before = memory()
const { seconds: load, result: tokenizer } = await timed(peers[encoding][name])
const after = memory()
const row = { load, live: after.live - before.live, rss: after.rss - before.rss }
if (file !== undefined) {
  const text = readFileSync(file, 'utf8')
  const bytes = Buffer.byteLength(text)
  const first = await timed(() => tokenizer.encode(text))
  const ids = Array.from(first.result)
  let warm = Infinity
  for (let i = 0; i < WARM; i++) warm = Math.min(warm, (await timed(() => tokenizer.encode(text))).seconds)
  let decode = Infinity
  let decoded = ''
  for (let i = 0; i < WARM; i++) {
    const { seconds, result } = await timed(async () => {
      const out = await tokenizer.decode(ids)
      out.charCodeAt(out.length >> 1) // a rope of pieces is flattened here: who decodes wants to read
      return out
    })
    decode = Math.min(decode, seconds)
    decoded = result
  }
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
