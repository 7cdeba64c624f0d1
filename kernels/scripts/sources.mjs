// Lists sources for binding.gyp: `kernels` (compiled once per instruction set), `addon` (everything else), `nan` (its headers).
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const families = readdirSync(join(root, 'src/ops'), { withFileTypes: true }).filter((e) =>
  e.isDirectory(),
)
const each = (name) =>
  families.map((f) => `src/ops/${f.name}/${name}`).filter((f) => existsSync(join(root, f)))
const folder = (name) =>
  readdirSync(join(root, name))
    .filter((f) => f.endsWith('.cc'))
    .map((f) => `${name}/${f}`)

const lists = {
  kernels: () => each('cpu.cc'),
  addon: () => [
    ...folder('src/addon'),
    ...folder('src/runtime'),
    ...folder('src/cuda'),
    'src/ops/table.cc',
    ...each('op.cc'),
    ...each('cuda.cc'),
  ],
  nan: () => [dirname(createRequire(import.meta.url).resolve('nan/nan.h'))],
}
console.log(lists[process.argv[2]]().join('\n'))
