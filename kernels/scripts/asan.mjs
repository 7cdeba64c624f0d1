// Runs test files against an addon built with AddressSanitizer and UndefinedBehaviorSanitizer:
//   npm run test:asan -w @shakti/kernels [-- ../packages/tensor/test/ops.test.ts ...]
// Without arguments: the tests of this package and of the tensor package.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const build = spawnSync(process.execPath, [join(root, 'scripts/build.mjs'), '--asan'], {
  stdio: 'inherit',
})
if (build.status !== 0) process.exit(1)

const library = (name) =>
  spawnSync(process.env.CXX ?? 'g++', [`-print-file-name=${name}`], {
    encoding: 'utf8',
  }).stdout.trim()
const named = process.argv.slice(2).map((f) => resolve(f))
const files = named.length
  ? named
  : [join(root, 'test'), join(root, '../packages/tensor/test')].flatMap((folder) =>
      readdirSync(folder)
        .filter((f) => f.endsWith('.test.ts'))
        .map((f) => join(folder, f)),
    )

let failed = 0
for (const file of files) {
  const { status, signal } = spawnSync(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', '--conditions=@shakti/source', file],
    {
      stdio: 'inherit',
      cwd: join(dirname(file), '..'),
      env: {
        ...process.env,
        LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
        // V8 keeps memory until the process ends, and reserves far more than it uses. What is freed is held back for a
        // while to catch late uses: little of it, so that the tests of leaks can still look at the process's size.
        ASAN_OPTIONS:
          'detect_leaks=0:abort_on_error=0:allocator_may_return_null=1:quarantine_size_mb=2:thread_local_quarantine_size_kb=64',
        UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
        SHAKTI_KERNELS: join(root, 'build/asan/build/Release/shakti.node'),
      },
    },
  )
  if (status !== 0) {
    console.error(`${file}: ${signal ?? `exit code ${status}`} under the sanitizers`)
    failed++
  }
}
console.log(`${files.length - failed} of ${files.length} files passed under the sanitizers`)
process.exit(failed ? 1 : 0)
