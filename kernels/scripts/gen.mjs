// Reads the OP lines of kernels/src/ops and writes what both sides of the native border must agree on:
// packages/tensor/src/native/commands.gen.ts (codes, operand and attribute names) and src/runtime/abi.gen.h (their hash).
// The output is committed; `--check` fails when it is not up to date.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
// Changes when the record or a function of the addon does.
const borderVersion = 2

/** Lines of an .inc file with #include followed. */
function lines(file) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const include = /^#include "(.+)"/.exec(line)
      return include ? lines(join(dirname(file), include[1])) : [line]
    })
}

/** Families may define a shorthand: #define UNARY(name, cost) OP(name, "x", "y", "", cost) */
const shorthands = new Map()

function parse(line) {
  const define =
    /^#define (\w+)\(name, cost\) OP(?:_WS)?\(name, "([^"]*)", "([^"]*)", "([^"]*)", cost\)$/.exec(
      line,
    )
  if (define) shorthands.set(define[1], define.slice(2))
  const short = /^(\w+)\((\w+), [\d.]+\)/.exec(line)
  if (short && shorthands.has(short[1])) return [short[2], ...shorthands.get(short[1])]
  const op = /^OP(?:_WS)?\((\w+), "([^"]*)", "([^"]*)", "([^"]*)", [\d.]+\)/.exec(line)
  if (op) return op.slice(1)
  if (/^[A-Z_]+\(/.test(line)) throw new Error(`gen: cannot read this line: ${line}`)
  return undefined
}

const list = (text) =>
  text
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean)

const ops = lines(join(root, 'src/ops/ops.inc')).map(parse).filter(Boolean)
const abi = createHash('sha256')
  .update(JSON.stringify([borderVersion, ops]))
  .digest('hex')
  .slice(0, 16)

const rows = ops.map(([name, inputs, outputs, attrs], code) => {
  const q = (items) => `[${items.map((s) => `'${s}'`).join(', ')}]`
  const pairs = list(attrs)
    .map((a) => q(a.split(':')))
    .join(', ')
  return `  ${name}: { code: ${code}, inputs: ${q(list(inputs))}, outputs: ${q(list(outputs))}, attrs: [${pairs}] },`
})

const files = {
  [join(root, '../packages/tensor/src/native/commands.gen.ts')]:
    `// Written by kernels/scripts/gen.mjs from the OP lines of kernels/src/ops. Do not edit.

/** Hash of the command layout; the addon must have been built with the same. */
export const abi = '${abi}'

export const commands = {
${rows.join('\n')}
} as const
`,
  [join(root, 'src/runtime/abi.gen.h')]:
    `// Written by kernels/scripts/gen.mjs from the OP lines. Do not edit.
#pragma once
#define SHAKTI_ABI "${abi}"
`,
}

let stale = false
for (const [file, text] of Object.entries(files)) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  if (process.argv.includes('--check')) {
    console.error(`${file} is out of date: run 'node kernels/scripts/gen.mjs'.`)
    stale = true
  } else writeFileSync(file, text)
}
process.exit(stale ? 1 : 0)
