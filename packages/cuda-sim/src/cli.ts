#!/usr/bin/env node
// The command cuda-sim: `run` a kernel of a PTX file, `check` a file, `build` the simulator, print its `path`.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatFault, formatKernels, formatRun } from './format.js'
import { simulatorEnvironment, type SimulatorOptions } from './options.js'
import { buildSimulator, programPath, simulatorPath } from './paths.js'
import { readReport } from './report.js'
import type { Answer } from './answer.js'

const help = `cuda-sim: runs PTX on the CPU, with checks. It shows no time, no order of memory that only hardware has, nothing of
the driver and nothing of ptxas.

  cuda-sim run FILE --kernel NAME --grid 4 --block 128 [--shared BYTES] [--arg ARG ...] [options]
  cuda-sim check FILE        parses it and lists its kernels: parameters, registers (an estimate), shared memory
  cuda-sim path              prints the path of the simulator's libcuda.so.1
  cuda-sim build             builds it with g++ where it isn't built (the others do so too)

FILE is PTX text or a fat binary (nvcc -fatbin --no-compress, or -compress-mode=speed) that holds some.
GRID and BLOCK have one to three numbers: 4 or 4,2 or 4,2,1.
ARG, once for each parameter of the kernel and in their order:
  TYPE:VALUE           a value, as u32:7
  TYPE:COUNT:CONTENT   a buffer of COUNT elements; CONTENT is random, zeros, iota, a number, @FILE (its bytes), or none
                       (it stays as fresh memory is, so that reading it is a fault)
  {ARG,ARG,...}        a structure of such, each at its natural place
  TYPE is one of f32 f64 f16 bf16 u8 s8 u16 s16 u32 s32 u64 s64

Options:
  --json                 one JSON object instead of tables
  --lines N              the N lines of PTX that issued most instructions
  --arch 90              compute capability: 80 86 89 90 100 120
  --schedule in-order    reversed, random-warps, random-blocks
  --seed 1               of random schedules and random buffers
  --fill garbage         what fresh memory holds: garbage, nan, zero
  --copies late          when cp.async arrives: late, early
  --products exact       sums of tensor cores: exact, truncate, chunked
  --approximations nearest   or low, high: either end of the manual's error bound
  --no-races             doesn't look for races
  --memory 2147483648    bytes of the device
  --max-instructions N   thread instructions before it gives up

It ends with 0 when the kernel ran without a fault, 1 with a fault or a refusal, 2 when it was called wrongly.

Examples:
  nvcc -ptx -arch=sm_80 -lineinfo add.cu
  cuda-sim check add.ptx
  cuda-sim run add.ptx --kernel add --grid 8 --block 128 --arg f32:1000:random --arg f32:1000:random --arg f32:1000:none --arg u32:1000
  SHAKTI_SIM_REPORT=report.jsonl LD_LIBRARY_PATH=$(dirname $(cuda-sim path)) ./program-that-uses-the-driver-api
`

function usage(message: string): never {
  console.error(`cuda-sim: ${message}\nTry: cuda-sim --help`)
  process.exit(2)
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        json: { type: 'boolean' },
        kernel: { type: 'string' },
        grid: { type: 'string', default: '1' },
        block: { type: 'string', default: '1' },
        shared: { type: 'string', default: '0' },
        arg: { type: 'string', multiple: true, default: [] },
        lines: { type: 'string', default: '0' },
        arch: { type: 'string' },
        schedule: { type: 'string' },
        seed: { type: 'string' },
        fill: { type: 'string' },
        copies: { type: 'string' },
        products: { type: 'string' },
        approximations: { type: 'string' },
        'no-races': { type: 'boolean' },
        memory: { type: 'string' },
        'max-instructions': { type: 'string' },
      },
    })
  } catch (error) {
    return usage((error as Error).message)
  }
}

const { values, positionals } = parse()
const [command, file, ...more] = positionals

function numberOf(name: 'arch' | 'seed' | 'memory' | 'max-instructions' | 'lines') {
  const text = values[name]
  if (text === undefined) return undefined
  const n = Number(text)
  return Number.isInteger(n) && n >= 0 ? n : usage(`--${name} ${text} is no whole number`)
}

/** Words are checked by the library, which says what it knows. */
function options(report: string): SimulatorOptions {
  const word = (name: 'schedule' | 'fill' | 'copies' | 'products' | 'approximations') =>
    values[name] === undefined ? {} : { [name]: values[name] }
  const number = (key: keyof SimulatorOptions, value: number | undefined) =>
    value === undefined ? {} : { [key]: value }
  return {
    report,
    counters: true,
    ...word('schedule'),
    ...word('fill'),
    ...word('copies'),
    ...word('products'),
    ...word('approximations'),
    ...number('arch', numberOf('arch')),
    ...number('seed', numberOf('seed')),
    ...number('memory', numberOf('memory')),
    ...number('maxInstructions', numberOf('max-instructions')),
    ...(values['no-races'] ? { races: false } : {}),
  }
}

function ask(args: string[]): void {
  buildSimulator()
  const folder = mkdtempSync(join(tmpdir(), 'cuda-sim-'))
  try {
    const reportFile = join(folder, 'report.jsonl')
    const { stdout, stderr, status, error, signal } = spawnSync(programPath(), args, {
      encoding: 'utf8',
      maxBuffer: 1 << 30,
      env: { ...process.env, ...simulatorEnvironment(options(reportFile)) },
    })
    if (error) throw error
    // The last line is the answer; before it stands what the kernel printed.
    const lines = stdout.trimEnd().split('\n')
    const last = lines.pop() ?? ''
    if (signal || !last.startsWith('{')) {
      throw new Error(`the simulator ended with ${signal ?? `code ${status}`}\n${stdout}${stderr}`)
    }
    const answer = JSON.parse(last) as Answer
    const report = readReport(reportFile)
    if (values.json) {
      const printed = lines.length > 0 ? { printed: lines } : {}
      console.log(JSON.stringify({ ...answer, ...printed, report }, undefined, 2))
    } else {
      if (lines.length > 0) console.log(lines.join('\n'))
      if ('usage' in answer) usage(answer.usage)
      const fault = report.find((line) => line.type === 'fault')
      if (fault) console.log(formatFault(fault))
      else if ('error' in answer)
        console.log(`${answer.error.name}: ${answer.error.message}\n${stderr}`)
      if ('kernels' in answer) console.log(formatKernels(answer.kernels))
      const counted = report.find((line) => line.type === 'kernel')
      console.log(formatRun(answer, counted, numberOf('lines') ?? 0))
    }
    process.exitCode = status ?? 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (values.help || command === undefined || command === 'help') {
  console.log(help)
  process.exitCode = values.help || command === 'help' ? 0 : 2
} else if (more.length > 0) {
  usage(`what is ${more.join(' ')}?`)
} else if (command === 'build' || command === 'path') {
  buildSimulator()
  if (command === 'path') console.log(simulatorPath())
} else if (command !== 'run' && command !== 'check') {
  usage(`there is no command ${command}`)
} else if (file === undefined) {
  usage(`which file? cuda-sim ${command} FILE`)
} else if (command === 'check') {
  ask(['check', file])
} else if (values.kernel === undefined) {
  usage('which kernel? --kernel NAME (cuda-sim check FILE lists them)')
} else {
  const { kernel, grid, block, shared, arg, seed = '1' } = values
  ask(['run', file, kernel, grid, block, shared, seed, ...arg])
}
