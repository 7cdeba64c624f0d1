// Which instructions of PTX files no test here knows: node coverage.mjs file.ptx ... Fails when there are any.
// An instruction is its opcode with all modifiers, hints to caches aside. Known is what the tests' own text holds, and
// what the kernels hold that they run.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const hint = /^(ca|cg|cs|lu|cv|wb|wt|nc|uni|L1::.*|L2::.*)$/
const skipped = /^\s*\.(loc|file|section)[^\n]*/gm
const form = (word) =>
  word
    .split('.')
    .filter((part) => !hint.test(part))
    .join('.')

/** Opcodes in PTX text: a word that starts a statement. */
function forms(text) {
  const found = new Set()
  const code = text.replace(/\/\/.*$/gm, '').replace(/\/\*[\s\S]*?\*\//g, '')
  for (const statement of code.split(/[;{}\n]/)) {
    const match =
      /^\s*(?:[\w$]+:(?!:)\s*)?(?:@!?%?[\w$]+\s+)?([a-z][\w]*(?:[.:][\w:]+)*)(?=\s|$)/.exec(
        statement,
      )
    // Arguments of a call stand on lines of their own.
    if (match && !/:$|^param\d/.test(match[1])) found.add(form(match[1]))
  }
  return found
}

const known = new Set()
for (const name of readdirSync(here).filter((name) => name.endsWith('_test.cc'))) {
  for (const [, text] of readFileSync(join(here, name), 'utf8').matchAll(/"((?:[^"\\]|\\.)*)"/g)) {
    for (const found of forms(text)) known.add(found)
  }
}
for (const name of readdirSync(join(here, 'kernels')).filter((name) => name.endsWith('.ptx'))) {
  for (const found of forms(readFileSync(join(here, 'kernels', name), 'utf8').replace(skipped, '')))
    known.add(found)
}
const missing = new Map()
for (const file of process.argv.slice(2)) {
  for (const found of forms(readFileSync(file, 'utf8').replace(skipped, ''))) {
    if (!known.has(found)) missing.set(found, [...(missing.get(found) ?? []), file])
  }
}
for (const [name, files] of [...missing].sort())
  console.log(`${name}  (${files.length} files, ${files[0]})`)
console.log(`${missing.size} instructions without a test`)
process.exitCode = missing.size > 0 ? 1 : 0
