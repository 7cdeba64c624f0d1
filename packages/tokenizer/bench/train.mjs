// Training against the Rust trainer of @anush008/tokenizers, each in a process of its own with all threads:
// npm run bench:train -w @shakti/tokenizer -- FILE... [--json FILE]
// That trainer takes no options: 30,000 tokens, GPT-2's pattern by its ByteLevel pre-tokenizer (--llama3: by Split).
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const require = createRequire(import.meta.url)
const TOKENS = 30_000

const trainers = {
  async '@shakti/tokenizer'(files, pattern, out) {
    const { Tokenizer } = await import('@shakti/tokenizer')
    const options = { vocabSize: TOKENS, specialTokens: [], pattern }
    const tokenizer = await Tokenizer.trainFromFiles(files, options)
    await tokenizer.save(out)
  },
  '@anush008/tokenizers'(files, pattern, out) {
    const {
      BPE,
      Tokenizer,
      byteLevelPreTokenizer,
      sequencePreTokenizer,
      splitPreTokenizer,
    } = require('@anush008/tokenizers')
    const tokenizer = new Tokenizer(BPE.empty())
    const llama3 =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
      '|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
    tokenizer.setPreTokenizer(
      pattern === 'gpt2'
        ? byteLevelPreTokenizer(false, true)
        : sequencePreTokenizer([
            splitPreTokenizer(llama3, 'isolated', false),
            byteLevelPreTokenizer(false, false),
          ]),
    )
    tokenizer.train(files)
    tokenizer.save(`${out}.json`)
  },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    llama3: { type: 'boolean', default: false },
    one: { type: 'string' },
    out: { type: 'string' },
  },
})
const pattern = values.llama3 ? 'llama3' : 'gpt2'

if (values.one !== undefined) {
  const began = performance.now()
  await trainers[values.one](positionals, pattern, values.out)
  const seconds = (performance.now() - began) / 1000
  const { maxRSS, userCPUTime } = process.resourceUsage()
  const figures = { seconds, cpuSeconds: userCPUTime / 1e6, megabytes: maxRSS / 1e3 }
  writeFileSync(`${values.out}.figures`, JSON.stringify(figures))
} else {
  if (positionals.length === 0) {
    console.error('files to train on are expected')
    process.exit(2)
  }
  const files = positionals.map((path) => resolve(process.env.INIT_CWD ?? '.', path))
  const megabytes = files.reduce((sum, file) => sum + statSync(file).size, 0) / 1e6
  const scratch = mkdtempSync(join(tmpdir(), 'tokenizer-train-'))
  const results = []
  try {
    for (const name of Object.keys(trainers)) {
      const out = join(scratch, String(results.length))
      const args = [...files, '--one', name, '--out', out, ...(values.llama3 ? ['--llama3'] : [])]
      const own = fileURLToPath(import.meta.url)
      const { status } = spawnSync(process.execPath, [own, ...args], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      if (status !== 0) process.exit(1)
      results.push({ name, pattern, ...JSON.parse(readFileSync(`${out}.figures`, 'utf8')) })
    }
  } finally {
    rmSync(scratch, { recursive: true })
  }
  console.log(`${megabytes.toFixed(0)} MB, ${TOKENS} tokens, ${pattern}`)
  for (const { name, seconds, cpuSeconds, megabytes: memory } of results) {
    console.log(
      `${name.padEnd(24)}${seconds.toFixed(1).padStart(7)} s ${cpuSeconds.toFixed(1).padStart(7)} s of CPU ${memory.toFixed(0).padStart(6)} MB`,
    )
  }
  if (values.json !== undefined) {
    const machine = { node: process.version, cpu: cpus()[0]?.model, threads: cpus().length }
    writeFileSync(values.json, JSON.stringify({ machine, megabytes, results }, null, 2))
  }
}
