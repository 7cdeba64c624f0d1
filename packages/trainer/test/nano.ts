// A language model of a few thousand parameters out of @shakti/nn: attention, norms, dropout, all that a run touches.
import {
  Dropout,
  Embedding,
  Linear,
  MLP,
  Module,
  ModuleList,
  RMSNorm,
  RotaryEmbedding,
  TransformerBlock,
} from '@shakti/nn'
import { checkpoint, manualSeed, tensor, tidy, type Tensor } from '@shakti/tensor'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { causal, random, type CausalOptions, type Sample, type TokenBatch } from '../src/index.js'

export const vocabulary = 17
const width = 16
const context = 64

class Layer extends Module {
  readonly block = new TransformerBlock({
    attention: { width, heads: 2, causal: true, qkNorm: 'head' },
    norm: 'pre-rms',
    mlp: () => new MLP(width, 24),
  })
  readonly drop: Dropout

  constructor(p: number) {
    super()
    this.drop = new Dropout(p)
  }

  forward(x: Tensor, inputs: Parameters<TransformerBlock['forward']>[1]): Tensor {
    return this.drop.forward(this.block.forward(x, inputs))
  }
}

export class Nano extends Module {
  readonly embed = new Embedding(vocabulary, width)
  readonly layers: ModuleList<Layer>
  readonly norm = new RMSNorm(width)
  readonly head = new Linear(width, vocabulary)
  readonly rope = new RotaryEmbedding(width / 2, 10_000)
  activationCheckpointing = false

  constructor(options: { seed?: number; dropout?: number } = {}) {
    manualSeed(options.seed ?? 1)
    super()
    this.layers = new ModuleList([new Layer(options.dropout ?? 0), new Layer(options.dropout ?? 0)])
  }

  hidden(batch: TokenBatch): Tensor {
    const { rows, length } = batch
    const shape = [rows, length]
    return this.read(
      tensor(batch.ids, { shape }),
      tensor(batch.positions, { shape }),
      batch.cuSeqlens && tensor(batch.cuSeqlens),
    )
  }

  read(ids: Tensor, positions: Tensor, cuSeqlens?: Tensor): Tensor {
    const inputs = {
      rotary: this.rope.gather(positions, context),
      ...(cuSeqlens ? { cuSeqlens } : {}),
    }
    let x = this.embed.forward(ids)
    for (const layer of this.layers)
      x = this.activationCheckpointing
        ? checkpoint((t) => layer.forward(t!, inputs), x)
        : layer.forward(x, inputs)
    return this.norm.forward(x)
  }
}

export const options: CausalOptions<Nano> = {
  hidden: (m, b) => m.hidden(b),
  head: (m, h) => m.head.forward(h),
}

export const loss = causal<Nano>(options)

/** Every parameter's elements, by name. */
export function weightsOf(model: Nano): Record<string, number[]> {
  return Object.fromEntries(
    Array.from(model.namedParameters(), ([name, p]) => [
      name,
      Array.from(tidy(() => p.detach()).dataSync(), Number),
    ]),
  )
}

/** Gradients in the order of the parameters. */
export function gradientsOf(model: Nano): number[] {
  return model.parameters().flatMap((p) => (p.grad ? Array.from(p.grad.dataSync(), Number) : []))
}

/** Samples of 3 to 12 tokens, the same for the same seed; half of them learn their second half alone. */
export function someSamples(n: number, seed = 5): Sample[] {
  const next = random(seed)
  return Array.from({ length: n }, (_, i) => {
    const length = 3 + Math.floor(next() * 10)
    const ids = Array.from({ length }, () => 1 + Math.floor(next() * (vocabulary - 1)))
    return i % 2 ? { ids } : { ids, mask: ids.map((_, k) => (k >= length / 2 ? 1 : 0)) }
  })
}

/** The promise must fail with a message that fits. */
export async function rejects(promise: Promise<unknown>, message: RegExp): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  if (!(error instanceof Error)) throw new Error(`was to fail with ${String(message)}`)
  assert.match(error.message, message)
  return error
}

const folders: string[] = []
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that goes away with the process. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shakti-trainer-'))
  folders.push(folder)
  return folder
}
