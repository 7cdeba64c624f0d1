// Runs every test/**/*.test.ts of the package in the current folder, each in a process of its own, so that a native
// crash names its file and a hang ends (uvu has neither). Usage: node run-tests.mjs [name part or !name part...] [--jobs n]
// [--timeout seconds]. A file may ask for longer with a comment: // test-timeout: 300
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: '2' },
    timeout: { type: 'string', default: '120' },
  },
})
const jobs = Math.max(1, Number(values.jobs))
const defaultTimeout = Number(values.timeout)
const unwanted = positionals.filter((p) => p.startsWith('!'))
const wanted = positionals.filter((p) => !p.startsWith('!'))

const files = readdirSync('test', { recursive: true })
  .map((name) => join('test', name))
  .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules'))
  .filter((name) => wanted.length === 0 || wanted.some((p) => name.includes(p)))
  .filter((name) => !unwanted.some((p) => name.includes(p.slice(1))))
  .sort()
if (files.length === 0) {
  console.error(
    `no test file in ${process.cwd()}/test matches ${positionals.join(' ') || '*.test.ts'}`,
  )
  console.log('0 passed, 1 failed')
  process.exit(1)
}

const running = new Set()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    for (const child of running) killGroup(child)
    process.exit(130)
  })
}

// The child leads a process group, so that what it started itself ends with it.
function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL')
  }
}

function runFile(file) {
  const wanted = /^\/\/ test-timeout: (\d+)/m.exec(readFileSync(file, 'utf8'))?.[1]
  const seconds = wanted ? Number(wanted) : defaultTimeout
  const started = performance.now()
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      ['--expose-gc', '--import', 'tsx', '--conditions=@shakti/source', file],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
        env: { ...process.env, FORCE_COLOR: '0' },
      },
    )
    running.add(child)
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      killGroup(child)
    }, seconds * 1000)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      resolve(
        summarise(file, output, code, timedOut ? `its limit of ${seconds} s` : signal, started),
      )
    })
  })
}

/** uvu's closing block becomes numbers; whatever ended the process badly becomes one failure with a reason. */
function summarise(file, output, code, signal, started) {
  const count = (word) => Number(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'm').exec(output)?.[1] ?? 0)
  const total = count('Total')
  const passed = count('Passed')
  const skipped = count('Skipped')
  let failed = total - passed
  let reason = ''
  if (signal) reason = `ended by ${signal}`
  else if (total + skipped === 0) reason = `ran no test (exit code ${code})`
  else if (code !== 0 && failed === 0) reason = `exit code ${code} after its tests`
  if (reason) failed = Math.max(failed, 1)
  return {
    file,
    output,
    passed,
    failed,
    skipped,
    reason,
    seconds: (performance.now() - started) / 1000,
  }
}

const results = []
const queue = [...files]
async function work() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const r = await runFile(file)
    results.push(r)
    const name = relative('test', file)
    if (r.failed > 0) {
      console.log(`FAIL ${name}${r.reason ? `: ${r.reason}` : ''}`)
      console.log(r.output.trimEnd().replace(/^/gm, '    '))
    } else {
      console.log(
        `ok   ${name} (${r.passed}${r.skipped ? `, ${r.skipped} skipped` : ''}) ${r.seconds.toFixed(1)} s`,
      )
    }
  }
}
await Promise.all(Array.from({ length: jobs }, work))

const sum = (field) => results.reduce((n, r) => n + r[field], 0)
const bad = results.filter((r) => r.failed > 0)
if (bad.length > 0) {
  console.log('\nfailed files:')
  for (const r of bad) console.log(`  ${r.file}${r.reason ? `: ${r.reason}` : ''}`)
}
const skipped = sum('skipped')
console.log(
  `${sum('passed')} passed, ${sum('failed')} failed${skipped ? `, ${skipped} skipped` : ''}`,
)
process.exitCode = bad.length > 0 ? 1 : 0
