// `npm test` at the root: turbo runs every package's tests (and builds what they need), and this adds up their closing
// lines into one. Arguments go on to turbo.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const turbo = fileURLToPath(new URL('../../../kernels/scripts/turbo.mjs', import.meta.url))
const child = spawn(
  process.execPath,
  [turbo, 'run', 'test', '--concurrency=2', '--output-logs=full', ...process.argv.slice(2)],
  { stdio: ['inherit', 'pipe', 'inherit'] },
)

const closing = /^(?:\S+:test: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/
const total = [0, 0, 0]
let suites = 0
let rest = ''
child.stdout.on('data', (chunk) => {
  process.stdout.write(chunk)
  const lines = (rest + chunk).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) {
    // eslint-disable-next-line no-control-regex -- turbo colours its prefix
    const match = closing.exec(line.replace(/\u001b\[[0-9;]*m/g, '').trimEnd())
    if (!match) continue
    suites++
    for (let i = 0; i < 3; i++) total[i] += Number(match[i + 1] ?? 0)
  }
})
child.on('close', (code, signal) => {
  // A build that failed, or no suite at all, is a failure even though no test said so.
  if ((code !== 0 || suites === 0) && total[1] === 0) total[1] = 1
  if (signal) console.error(`turbo was ended by ${signal}`)
  console.log(`\n${total[0]} passed, ${total[1]} failed${total[2] ? `, ${total[2]} skipped` : ''}`)
  process.exitCode = code === 0 && total[1] === 0 ? 0 : 1
})
