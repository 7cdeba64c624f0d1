// test-timeout: 600
// A small GPT trains 50 steps on the GPU that SHAKTI_LIBCUDA names, with the losses that it has on the CPU: in f32, and in bf16 on tensor
// cores, in whatever way these round their sums. A process for each run (this file again): the simulator's settings are a process's.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readReport, simulatorEnvironment, type SimulatorOptions } from '@shakti/cuda-sim'
import {
  Embedding,
  Linear,
  Module,
  ModuleList,
  RMSNorm,
  RotaryEmbedding,
  SwiGLU,
  TransformerBlock,
} from '@shakti/nn'
import { cudaDevices, manualSeed, setDefaultDevice, tensor, type Tensor } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { causal, collate, cosine, generated, random, run } from '../../src/index.js'
import { assertClose } from '../tiny.js'

const [vocabulary, width, length, rows, steps] = [64, 128, 32, 2, 50]

class Gpt extends Module {
  readonly embed = new Embedding(vocabulary, width)
  // Heads of 64: the attention of tensor cores.
  readonly blocks = new ModuleList(
    [0, 1].map(
      () =>
        new TransformerBlock({
          attention: { width, heads: 2, kvHeads: 1, causal: true, qkNorm: 'head' },
          norm: 'pre-rms',
          mlp: () => new SwiGLU(width, width),
        }),
    ),
  )
  readonly norm = new RMSNorm(width)
  readonly head = new Linear(width, vocabulary)
  readonly rope = new RotaryEmbedding(width / 2, 10_000)

  forward(ids: Tensor): Tensor {
    const rotary = this.rope.range(0, ids.shape[1]!, ids.device)
    let x = this.embed.forward(ids)
    for (const block of this.blocks) x = block.forward(x, { rotary })
    return this.norm.forward(x)
  }
}

/** Each number follows from the one before it. */
function sequence(next: () => number): number[] {
  const ids = [Math.floor(next() * vocabulary)]
  while (ids.length < length) ids.push((5 * ids.at(-1)! + 3) % vocabulary)
  return ids
}

async function losses(device: 'cpu' | 'cuda', compute: 'f32' | 'bf16'): Promise<number[]> {
  setDefaultDevice('cpu')
  manualSeed(3)
  const model = new Gpt().to({ device, compute })
  const result = await run(
    {
      name: 'gpt',
      lr: 3e-3,
      // Not 1e-8: that makes whole steps of gradients that are rounding alone.
      eps: 1e-4,
      weightDecay: 0.1,
      schedule: cosine({ warmup: 0.1 }),
      steps,
      loss: causal<Gpt, ReturnType<typeof collate>, { ids: Tensor }>({
        place: (m, batch) => ({
          ids: tensor(batch.ids, { shape: [batch.rows, batch.length], device: m.device }),
        }),
        hidden: (m, { ids }) => m.forward(ids),
        head: (m, hidden) => m.head.forward(hidden),
      }),
      data: generated((step) => {
        const next = random(100 + step)
        return collate(Array.from({ length: rows }, () => ({ ids: sequence(next) })))
      }),
    },
    { model, quiet: true },
  )
  return result.history.map((p) => p.loss)
}

const folder = process.env.SHAKTI_GPT ? '' : mkdtempSync(join(tmpdir(), 'shakti-gpt-'))
let runs = 0

/** The losses on the GPU, and the matrix instructions of kernels whose names begin so. */
async function onGpu(
  compute: 'f32' | 'bf16',
  settings: SimulatorOptions = {},
): Promise<{ losses: number[]; products: (kernel: string) => number }> {
  const report = join(folder, `${runs++}.jsonl`)
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url)],
    {
      env: {
        ...process.env,
        ...simulatorEnvironment({ ...settings, report, counters: true }),
        SHAKTI_GPT: compute,
      },
    },
  )
  const kernels = readReport(report).flatMap((line) => (line.type === 'kernel' ? [line] : []))
  const products = (name: string): number =>
    kernels
      .filter((k) => k.name.startsWith(name))
      .reduce((sum, k) => sum + (k.counters.mma ?? 0), 0)
  return { losses: JSON.parse(stdout) as number[], products }
}

if (process.env.SHAKTI_GPT) {
  console.log(JSON.stringify(await losses('cuda', process.env.SHAKTI_GPT as 'f32')))
} else if (!cudaDevices()[0]?.name.includes('no GPU')) {
  test.skip('the simulator is not what SHAKTI_LIBCUDA names', () => undefined)
  test.run()
} else {
  process.on('exit', () => rmSync(folder, { recursive: true }))

  test('50 steps in f32', async () => {
    const want = await losses('cpu', 'f32')
    assert.is(want.length, steps)
    assert.ok(want.at(-1)! < 0.6 * want[0]!, `it learns: ${want[0]} to ${want.at(-1)}`)
    const got = await onGpu('f32')
    assertClose(got.losses, want, { rtol: 1e-4, atol: 0 })
  })

  test('50 steps in bf16 on tensor cores, whose sums are rounded in three ways', async () => {
    const want = await losses('cpu', 'bf16')
    const found = new Set<string>()
    for (const products of ['exact', 'truncate', 'chunked'] as const) {
      const got = await onGpu('bf16', { products })
      assertClose(got.losses, want, { rtol: 1e-2, atol: 1e-2 })
      found.add(got.losses.join())
      const attention = got.products('attention')
      assert.ok(
        attention > 0 && got.products('') > 2 * attention,
        'attention and products use tensor cores',
      )
    }
    assert.is(found.size, 3)
  })
  test.run()
}
