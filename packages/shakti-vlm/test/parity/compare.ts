// The same decoder here and in llama.cpp: logits of a prompt, and greedy text behind it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noGrad, tensor, tidy, type DType, type Tensor } from '@shakti/tensor'
import { KVCache } from '@shakti/nn'
import { exportGguf, type Decoder, type GgufType } from '../../src/index.js'
import { quantizeQ4, quantizeQ8 } from '../../src/gguf/blocks.js'
import { dequantizeQ4, dequantizeQ8 } from '../blocks.js'
import { LlamaCpp, type Binding } from './llamaCpp.js'

export interface Comparison {
  readonly architecture: string
  /** Root mean square of the difference of all logits over that of the logits: prompt and every greedy step. */
  readonly off: number
  /** Largest difference of a logit. */
  readonly most: number
  readonly ours: readonly number[]
  readonly theirs: readonly number[]
}

/** What llama.cpp computes with: f32 weights in f32, bf16 and quantised ones against activations rounded to bf16 or 8 bits. */
const computes: Readonly<Record<GgufType, DType>> = {
  f32: 'f32',
  f16: 'f32',
  bf16: 'bf16',
  q8_0: 'f32',
  q4_0: 'f32',
}

/** Gives the matrices the values that the file will hold. */
export function round(m: Decoder, type: GgufType): void {
  if (type !== 'q8_0' && type !== 'q4_0') {
    m.to({ dtype: type === 'f16' ? 'f16' : type }).to({ dtype: computes[type] })
    return
  }
  noGrad(() => {
    for (const [name, p] of Object.entries(m.stateDict())) {
      if (p.ndim !== 2) continue
      const four =
        type === 'q4_0' && name !== 'lm_head.weight' && name !== 'model.embed_tokens.weight'
      const x = p.float().dataSync() as Float32Array
      const back = four ? dequantizeQ4(quantizeQ4(x)) : dequantizeQ8(quantizeQ8(x))
      p.copy_(tensor(back, { shape: p.shape }))
    }
  })
}

const argmax = (row: ArrayLike<number>): number => {
  let best = 0
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i
  return best
}

/**
 * @param m changed to the values that the file holds
 * @param steps greedy tokens behind the prompt
 */
export async function compare(
  binding: Binding,
  m: Decoder,
  type: GgufType,
  { prompt = 24, steps = 64 } = {},
): Promise<Comparison> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-parity-'))
  const { vocab } = m.config
  const ids = Array.from({ length: prompt }, (_, i) => (i * 37 + 11) % vocab)
  const cache = new KVCache(prompt + steps)
  try {
    const file = join(folder, 'model.gguf')
    const { architecture } = await exportGguf(m, file, { type })
    round(m, type)
    const llama = await LlamaCpp.load(binding, file, 256)
    const here = async (given: readonly number[]): Promise<Float32Array[]> => {
      const shape = [1, given.length]
      const out: Tensor = tidy(() =>
        noGrad(() =>
          m
            .logits(m.forward(m.embed(tensor(Int32Array.from(given), { shape })), { cache }))
            .float(),
        ),
      )
      const all = (await out.data()) as Float32Array
      out.dispose()
      return given.map((_, i) => all.subarray(i * vocab, (i + 1) * vocab))
    }
    let [off, size, most] = [0, 0, 0]
    const measure = (got: readonly Float32Array[], want: readonly Float32Array[]): void =>
      want.forEach((row, r) =>
        row.forEach((v, i) => {
          const d = Math.abs(v - got[r]![i]!)
          off += d * d
          size += v * v
          // NaN must not pass for a small difference.
          if (!(d <= most)) most = d
        }),
      )
    const [ours, theirs]: [number[], number[]] = [[], []]
    let [a, b] = [await here(ids), await llama.append(ids)]
    for (;;) {
      measure(a, b)
      ours.push(argmax(a.at(-1)!))
      theirs.push(argmax(b.at(-1)!))
      // Behind a token that differs the texts are different ones.
      if (ours.length === steps || ours.at(-1) !== theirs.at(-1)) break
      ;[a, b] = [await here(ours.slice(-1)), await llama.append(theirs.slice(-1))]
    }
    await llama.dispose()
    return { architecture, off: Math.sqrt(off / size), most, ours, theirs }
  } finally {
    cache.dispose()
    await rm(folder, { recursive: true })
  }
}
