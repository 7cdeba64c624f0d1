// Checks the format of the C++ sources (--fix writes it) and that only addon.cc knows V8 and Node.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clangFormatPath } from 'clang-format-node'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
// Not .inc: gen.mjs reads their OP lines one by one, and a formatter would break them.
const files = ['src', join('test', 'cc')]
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((f) => join(folder, f)),
  )
  .filter((f) => /\.(cc|h)$/.test(f) && !f.endsWith('.gen.h'))
  .sort()

const mode = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '-Werror']
const { status, error } = spawnSync(clangFormatPath, [...mode, ...files], {
  cwd: root,
  stdio: 'inherit',
})
if (error)
  console.error(
    `clang-format did not run (${error.message}). Try 'npm install', or: apt install clang-format`,
  )

let bad = 0
for (const file of files) {
  if (file.startsWith(join('src', 'addon'))) continue
  const include = /^#include [<"](nan|v8|node|uv)[^>"]*[>"]/m.exec(
    readFileSync(join(root, file), 'utf8'),
  )
  if (!include) continue
  console.error(`${file}: ${include[0]}. Only src/addon may know V8 and Node.`)
  bad++
}
process.exit(error || status !== 0 || bad > 0 ? 1 : 0)
