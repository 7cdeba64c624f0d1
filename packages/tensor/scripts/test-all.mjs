// `npm test` at the root: turbo runs every package's tests (and builds what they need), then come those on the simulated GPU, and this
// adds up their closing lines into one. Arguments go on to turbo; with any, the GPU is left out.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const turbo = fileURLToPath(new URL('../../../kernels/scripts/turbo.mjs', import.meta.url))
const testCuda = fileURLToPath(new URL('test-cuda.mjs', import.meta.url))
const args = process.argv.slice(2)

const closing = /^(?:\S+:test: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/
const total = [0, 0, 0]

/** Runs a program and adds the closing lines that it prints to the total; `last`: the last one alone, which is a sum itself. */
function run(command, last) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, command, { stdio: ['inherit', 'pipe', 'inherit'] })
    let suites = []
    let rest = ''
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk)
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        // eslint-disable-next-line no-control-regex -- turbo colours its prefix
        const match = closing.exec(line.replace(/\u001b\[[0-9;]*m/g, '').trimEnd())
        if (match) suites.push([1, 2, 3].map((i) => Number(match[i] ?? 0)))
      }
    })
    child.on('close', (code, signal) => {
      if (last) suites = suites.slice(-1)
      for (const suite of suites) suite.forEach((n, i) => (total[i] += n))
      if (signal) console.error(`${command[1]} was ended by ${signal}`)
      // A build that failed, or no suite at all, is a failure even though no test said so.
      if ((code !== 0 || suites.length === 0) && total[1] === 0) total[1] = 1
      resolve(undefined)
    })
  })
}

await run([turbo, 'run', 'test', '--concurrency=2', '--output-logs=full', ...args], false)
if (args.length === 0 && total[1] === 0) {
  console.log('\non the simulated GPU:')
  await run([testCuda], true)
}
console.log(`\n${total[0]} passed, ${total[1]} failed${total[2] ? `, ${total[2]} skipped` : ''}`)
process.exitCode = total[1] === 0 ? 0 : 1
