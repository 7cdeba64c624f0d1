// `npm run test:cuda`: the tests of what runs on a GPU, on the simulated device of @shakti/cuda-sim: the same files that test the CPU,
// with SHAKTI_DEVICE=cuda. With --device, on the machine's own NVIDIA driver. Arguments: parts of names of packages or files. Ends with
// 'N passed, N failed, N skipped'.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const onDevice = process.argv.includes('--device')
const only = process.argv.slice(2).filter((a) => !a.startsWith('--'))

// By package: which of its test files make sense on any device, by parts of their names.
const suites = {
  'packages/tensor': [
    'ops.test',
    'packed',
    'table.test',
    'norm-rope',
    'epilogue',
    'linear-cross-entropy',
    'random',
    'quant',
    'autograd',
    'capture',
    'index-copy',
    'dtypes',
    'shape-errors',
    'cuda/',
  ],
  // Counts tensors, which a GPU gives back later.
  'packages/nn': ['!frugal'],
  // Without those that take thousands of steps or long texts, or multiply nothing.
  'packages/shakti-vlm': [
    ...['batches', 'beams', 'generate', 'import.test', 'model.test', 'pretrained'],
    ...['quantised', 'reading', 'recordedStep', 'scoreAnswers', 'visionInference', 'cuda/'],
  ],
  bench: ['cuda-time'],
  // Every kind of step, on small models.
  'packages/trainer': [
    ...['adamw', 'dpo', 'freeze', 'muon', 'packing', 'precision', 'step', 'capture'],
    'cuda/',
  ],
  kernels: ['cuda/'],
}

function skip(why) {
  console.log(`test:cuda: skipped: ${why}`)
  console.log('0 passed, 0 failed, 1 skipped')
  process.exit(0)
}

const nvcc = spawnSync(process.env.NVCC ?? 'nvcc', ['--version']).status === 0
const modules = `${root}kernels/build/cuda`
const built = existsSync(modules) && readdirSync(modules).some((f) => /\.(ptx|fatbin)$/.test(f))
if (!nvcc && !built) skip('nvcc not found, and no kernels are built')
if (nvcc) {
  // On the simulator with the budget of local memory on sm_80, which costs about as much as the PTX that the simulator runs.
  const flags = onDevice ? [] : ['--check']
  const { status } = spawnSync(process.execPath, [`${root}kernels/scripts/cuda.mjs`, ...flags], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(1)
}

const env = { ...process.env, SHAKTI_DEVICE: 'cuda' }
if (onDevice) delete env.SHAKTI_LIBCUDA
else env.SHAKTI_LIBCUDA ??= `${root}packages/cuda-sim/build/libcuda.so.1`

const total = [0, 0, 0]
for (const [folder, files] of Object.entries(suites)) {
  const named = only.length === 0 || only.some((o) => folder.includes(o))
  const wanted = named
    ? files
    : files.filter((f) => /^[^!]/.test(f) && only.some((o) => f.includes(o)))
  if (wanted.length === 0) continue
  await new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [
        `${root}packages/tensor/scripts/run-tests.mjs`,
        ...wanted.filter(Boolean),
        ...['--timeout', '600'],
      ],
      { cwd: root + folder, env, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
      process.stdout.write(chunk)
    })
    child.on('close', (code) => {
      const match = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(output)
      for (let i = 0; i < 3; i++) total[i] += Number(match?.[i + 1] ?? 0)
      if (code !== 0 && total[1] === 0) total[1] = 1
      resolve(undefined)
    })
  })
}
console.log(`${total[0]} passed, ${total[1]} failed, ${total[2]} skipped`)
process.exitCode = total[1] === 0 ? 0 : 1
