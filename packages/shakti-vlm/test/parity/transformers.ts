// Hugging Face's transformers, through the Python that SHAKTI_PYTHON names: it makes checkpoints, saves them and says what they
// compute; here they are imported.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadSafetensors, noGrad, tensor, tidy, type Tensor } from '@shakti/tensor'
import { KVCache } from '@shakti/nn'
import { importDecoder, importVision, type Decoder } from '../../src/index.js'
import { relativeDifference } from '../folder.js'

const run = promisify(execFile)
const script = fileURLToPath(new URL('../fixtures/checkpoints.py', import.meta.url))

/** Length of the difference over the length of what transformers gives, in f32. Seen: 2.3e-6 at most. */
export const bound = 1e-5

export interface Line {
  readonly name: string
  readonly off: number
  /** Greedy tokens that are the same, of 64; of decoders. */
  readonly same?: number
}

/** The versions that the named Python has, or undefined when it has not both. */
export async function findTransformers(python: string): Promise<string | undefined> {
  const versions =
    "import torch, transformers; print(f'transformers {transformers.__version__}, torch {torch.__version__}')"
  return run(python, ['-c', versions]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
}

const rows = (t: Tensor): Promise<Float32Array> => t.data() as Promise<Float32Array>

/** Logits of all positions, of the prompt at once and then token by token over a cache, and the likeliest tokens. */
async function read(
  decoder: Decoder,
  ids: Int32Array,
  prompt: number,
): Promise<{ logits: Float32Array; greedy: number[] }> {
  const { vocab } = decoder.config
  const cache = new KVCache(ids.length)
  const logits = new Float32Array(ids.length * vocab)
  const greedy: number[] = []
  try {
    for (let at = 0; at < ids.length; at += at === 0 ? prompt : 1) {
      const given = ids.slice(at, at === 0 ? prompt : at + 1)
      const out = tidy(() =>
        noGrad(() => {
          const x = decoder.embed(tensor(given, { shape: [1, given.length] }))
          return decoder.logits(decoder.forward(x, { cache }))
        }),
      )
      logits.set(await rows(out), at * vocab)
      out.dispose()
      const end = at + given.length
      const last = logits.subarray((end - 1) * vocab, end * vocab)
      greedy.push(last.indexOf(Math.max(...last)))
    }
  } finally {
    cache.dispose()
  }
  return { logits, greedy: greedy.slice(0, -1) }
}

/** Makes, imports and compares every case. */
export async function* compareTransformers(python: string): AsyncGenerator<Line> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-parity-'))
  try {
    await run(python, [script, folder])
    for (const number of (await readdir(folder)).sort((a, b) => Number(a) - Number(b)))
      yield* compareFolder(join(folder, number))
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function* compareFolder(folder: string): AsyncGenerator<Line> {
  const { name, text, vision } = JSON.parse(await readFile(join(folder, 'case.json'), 'utf8')) as {
    name: string
    text: boolean
    vision: boolean
  }
  const want = loadSafetensors(join(folder, 'expected.safetensors'), { device: 'cpu' }).tensors
  try {
    if (text) {
      const { decoder } = await importDecoder(folder)
      const ids = (await want['ids']!.data()) as Int32Array
      const prompt = ids.length - 64
      const { logits, greedy } = await read(decoder, ids, prompt)
      yield {
        name: `decoder: ${name}`,
        off: relativeDifference(logits, await rows(want['logits']!)),
        same: greedy.filter((id, i) => id === ids[prompt + i]).length,
      }
      for (const p of decoder.parameters()) p.dispose()
    }
    if (vision) {
      const { encoder } = await importVision(folder, { partial: true })
      const got = tidy(() => noGrad(() => encoder.forward(want['pixels']!.unsqueeze(0), 4)))
      yield {
        name: `encoder, with the differences that the report names: ${name}`,
        off: relativeDifference(await rows(got), await rows(want['hidden']!)),
      }
      got.dispose()
      for (const p of encoder.parameters()) p.dispose()
    }
  } finally {
    for (const t of Object.values(want)) t.dispose()
  }
}
