// Checks the format of the C++ sources; --fix writes it.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clangFormatPath } from 'clang-format-node'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
// Not .inc: their lines are rows of tables.
const files = readdirSync(join(root, 'native'), { recursive: true })
  .filter((file) => /\.(cc|h)$/.test(file))
  .map((file) => join('native', file))
  .sort()
const mode = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '-Werror']
const { status, error } = spawnSync(clangFormatPath, [...mode, ...files], {
  cwd: root,
  stdio: 'inherit',
})
if (error) {
  console.error(
    `clang-format did not run (${error.message}). Try 'npm install', or: apt install clang-format`,
  )
}
process.exit(error || status !== 0 ? 1 : 0)
