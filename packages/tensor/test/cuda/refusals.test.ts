// Whatever is wrong with driver, GPU, memory or kernels: an error of its own kind with a sentence that helps, and the process and its CPU
// go on. Each in a process of its own (this file again), since a driver is loaded once.
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  cudaDevices,
  isCudaAvailable,
  memory,
  ones,
  resetDevice,
  scaledDotProductAttention,
  synchronize,
  tensor,
  zeros,
  type DeviceName,
  type Tensor,
} from '@shakti/tensor'
import { assert, test } from '../assert.js'

type Env = Record<string, string>
interface Refusal {
  readonly what: string
  readonly env: Env
  /** Runs in the process with that environment; what it throws or returns is told. */
  readonly run: () => unknown
  /** The error's class and what its text names; none: what `run` returns. */
  readonly error?: readonly [name: string, ...parts: string[]]
  readonly returns?: unknown
}

const folder = process.env.SHAKTI_REFUSALS ?? mkdtempSync(join(tmpdir(), 'shakti-refusals-'))
const at = (name: string): string => join(folder, name)
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../cuda-sim/native/test/fixtures/${name}`, import.meta.url))

const onGpu = (device: DeviceName = 'cuda'): Tensor => zeros([2], { device })
const values = (t: Tensor): number[] => [...t.dataSync()]
const message = (fn: () => unknown): string => {
  try {
    fn()
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing was thrown'
}

const refusals: readonly Refusal[] = [
  {
    what: 'a driver that is not there',
    env: { SHAKTI_LIBCUDA: '/nowhere/libcuda.so.1' },
    run: onGpu,
    error: ['DeviceError', "no device 'cuda'", "'/nowhere/libcuda.so.1'", 'does not load'],
  },
  {
    what: 'a list of GPUs without a driver is empty',
    env: { SHAKTI_LIBCUDA: '/nowhere/libcuda.so.1' },
    run: () => [isCudaAvailable(), ...cudaDevices()],
    returns: [false],
  },
  {
    what: 'a file that is no library',
    env: { SHAKTI_LIBCUDA: at('text.so') },
    run: onGpu,
    error: ['DeviceError', 'text.so', 'does not load'],
  },
  {
    what: 'a library that is no driver',
    env: { SHAKTI_LIBCUDA: 'libm.so.6' },
    run: onGpu,
    error: ['DeviceError', "'libm.so.6' is not NVIDIA's driver", 'cuInit'],
  },
  {
    what: 'a driver that is too old',
    env: { SHAKTI_SIM_DRIVER_VERSION: '11080' },
    run: onGpu,
    error: ['DeviceError', 'driver is too old', 'CUDA 11.8', 'needs 12.0 or later'],
  },
  {
    what: 'kernels that are too new for the driver',
    env: { SHAKTI_SIM_DRIVER_VERSION: '12000' },
    run: () => values(onGpu()),
    error: ['NativeError', '[fill]', 'the driver is too old', 'compute capability 9.0'],
  },
  {
    what: 'a driver without a GPU',
    env: { SHAKTI_SIM_DEVICES: '0' },
    run: onGpu,
    error: ['DeviceError', 'finds no GPU'],
  },
  {
    what: 'a GPU by the wrong number',
    env: { SHAKTI_SIM_DEVICES: '2' },
    run: () => onGpu('cuda:2'),
    error: ['DeviceError', "'cuda:2'", 'the driver has 2'],
  },
  {
    what: 'operands on two GPUs',
    env: { SHAKTI_SIM_DEVICES: '2' },
    run: () => onGpu('cuda:0').add(onGpu('cuda:1')),
    error: ['DeviceError', 'cuda:0', 'cuda:1', '.to()'],
  },
  {
    what: 'a launch that is larger than a GPU takes',
    env: {},
    run: () => {
      const q = zeros([70_000, 1, 1, 4], { device: 'cuda' })
      return values(scaledDotProductAttention(q, q, q).narrow(0, 0, 1))
    },
    error: ['NativeError', '[attention]', 'too large for the GPU', '70000'],
  },
  {
    what: 'more memory than a GPU has',
    env: { SHAKTI_SIM_MEMORY: '64M' },
    run: () => {
      const held = zeros([4 << 20], { device: 'cuda' })
      zeros([2 << 20], { device: 'cuda' }).dispose()
      return held.add(zeros([16 << 20], { device: 'cuda' }))
    },
    error: ['OutOfMemoryError', '[fill]', 'asked for 64.0 MiB', 'live 16.0 MiB', 'cached', 'limit'],
  },
  {
    what: 'after memory ran out, what fits still does',
    env: { SHAKTI_SIM_MEMORY: '64M' },
    run: () => {
      const too = message(() => zeros([32 << 20], { device: 'cuda' }))
      return [too.includes('128.0 MiB'), ...values(onGpu().add(1))]
    },
    returns: [true, 1, 1],
  },
  {
    what: 'kernels that were not built',
    env: { SHAKTI_CUDA_MODULES: at('empty') },
    run: () => values(onGpu().add(1)),
    error: ['NativeError', "kernels of 'copy' were not found", 'npm run build:cuda'],
  },
  {
    what: 'kernels that hold no code for this GPU',
    env: { SHAKTI_CUDA_MODULES: at('foreign') },
    run: () => values(onGpu()),
    error: ['NativeError', '[fill]', 'hold no code for', 'compute capability 9.0'],
  },
  {
    what: 'a module that lacks a kernel',
    env: { SHAKTI_CUDA_MODULES: at('other') },
    run: () => values(onGpu()),
    error: [
      'NativeError',
      "'copy' have no 'fill_f32' for compute capability",
      'npm run build:cuda',
    ],
  },
  {
    what: 'a module that is none',
    env: { SHAKTI_CUDA_MODULES: at('broken') },
    run: () => values(onGpu()),
    error: ['NativeError', "refuses the kernels 'copy.ptx'", 'CUDA_ERROR_INVALID_PTX'],
  },
  {
    what: 'a fault turns the GPU off, and every later call says why',
    env: { SHAKTI_SIM_MAX_INSTRUCTIONS: '100000' },
    run: async () => {
      const x = onGpu()
      const said = [
        message(() => values(zeros([1 << 20], { device: 'cuda' }).add(1))),
        message(() => values(x)),
        message(() => {
          resetDevice('cuda')
          values(x.add(1))
        }),
      ]
      await synchronize('cpu')
      return said.map((s) => s.includes('cuda:0 takes no more work in this process'))
    },
    returns: [true, true, true],
  },
  {
    what: 'a GPU that failed leaves the other one alone',
    env: { SHAKTI_SIM_MAX_INSTRUCTIONS: '100000', SHAKTI_SIM_DEVICES: '2' },
    run: () => {
      const said = message(() => values(zeros([1 << 20], { device: 'cuda:1' }).add(1)))
      const x = tensor([1, 2], { device: 'cuda:0' })
      const moved = message(() => values(zeros([2], { device: 'cuda:1' }).to('cuda:0')))
      return [
        said.includes('cuda:1 takes no more'),
        moved !== 'nothing was thrown',
        ...values(x.mul(2)),
      ]
    },
    returns: [true, true, 2, 4],
  },
  {
    what: 'from one GPU to another and back, in the order of both',
    env: { SHAKTI_SIM_DEVICES: '2', SHAKTI_SIM_STREAMS: 'random' },
    run: () => {
      let x = ones([1000], { device: 'cuda:0' })
      for (let i = 0; i < 6; i++)
        x = x
          .mul(2)
          .to(i % 2 ? 'cuda:0' : 'cuda:1')
          .add(1)
      const host = ones([1000])
      let want = host
      for (let i = 0; i < 6; i++) want = want.mul(2).add(1)
      const devices = [memory({ device: 'cuda:0' }), memory({ device: 'cuda:1' })]
      return [
        x.device,
        x.sub(want.to('cuda:0')).abs().sum().itemSync(),
        ...devices.map((m) => m.liveBytes > 0),
      ]
    },
    returns: ['cuda:0', 0, true, true],
  },
]

interface Told {
  readonly error?: { readonly name: string; readonly message: string }
  readonly value?: unknown
  /** What the CPU computes afterwards. */
  readonly cpu: number
}

async function tell({ run }: Refusal): Promise<void> {
  let told: Omit<Told, 'cpu'>
  try {
    told = { value: await run() }
  } catch (error) {
    const { name, message: text } = error as Error
    told = { error: { name, message: text } }
  }
  console.log(
    JSON.stringify({ ...told, cpu: ones([3], { device: 'cpu' }).add(1).sum().itemSync() }),
  )
}

async function runIn(which: number, env: Env): Promise<Told> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url)],
    {
      env: {
        ...process.env,
        SHAKTI_DEVICE: 'cpu',
        SHAKTI_REFUSALS: folder,
        SHAKTI_REFUSAL: String(which),
        ...env,
      },
    },
  )
  return JSON.parse(stdout) as Told
}

if (process.env.SHAKTI_REFUSAL !== undefined) {
  await tell(refusals[Number(process.env.SHAKTI_REFUSAL)]!)
} else if (!cudaDevices()[0]?.name.includes('no GPU')) {
  test.skip('the simulator is not what SHAKTI_LIBCUDA names', () => undefined)
  test.run()
} else {
  process.on('exit', () => rmSync(folder, { recursive: true }))
  prepare()
  refusals.forEach(({ what, env, error, returns }, i) => {
    test(what, async () => {
      const told = await runIn(i, env)
      assert.is(told.cpu, 6)
      if (!error) return assert.equal(told.error ?? told.value, returns)
      const [name, ...parts] = error
      assert.is(told.error?.name, name, JSON.stringify(told))
      const text = told.error!.message
      for (const part of parts)
        if (!text.includes(part)) assert.unreachable(`'${text}' does not say '${part}'`)
    })
  })
  test.run()
}

/** The folders of kernels, and the file, that the refusals name. */
function prepare(): void {
  writeFileSync(at('text.so'), 'not a library')
  for (const [name, file, from] of [
    ['foreign', 'copy.fatbin', 'code.fatbin'],
    ['other', 'copy.fatbin', 'plain.fatbin'],
  ] as const) {
    mkdirSync(at(name))
    copyFileSync(fixture(from), join(at(name), file))
  }
  mkdirSync(at('empty'))
  mkdirSync(at('broken'))
  writeFileSync(
    join(at('broken'), 'copy.ptx'),
    '.version 9.0\n.target sm_80\n.address_size 64\nthis is no PTX',
  )
}
