// A decoder as a GGUF file that llama.cpp loads.
import { stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import {
  noGrad,
  ShaktiError,
  tensorBytes,
  tidy,
  writeAtomically,
  type Tensor,
} from '@shakti/tensor'
import type { Decoder } from '../decoder.js'
import { ShaktiVlm } from '../vlm.js'
import type { DecoderConfig } from '../config.js'
import { readJson } from '../hf/weights.js'
import { openDecoder } from '../hf/import/decoder.js'
import { planGguf, type GgufArchitecture, type PlannedTensor } from './architecture.js'
import { quantizeQ4, quantizeQ8 } from './blocks.js'
import {
  encodeFile,
  tensorSize,
  tensorTypes,
  type GgufField,
  type GgufTensor,
  type GgufType,
} from './format.js'
import {
  ggufTokenizer,
  placeholderTokenizer,
  tokenizerFields,
  type GgufTokenizer,
} from './tokenizer.js'

export interface ExportOptions {
  /** Of the matrices; norms and biases are f32. */
  type: GgufType
  /** Of the embedding and the output matrix. Default q8_0 with q4_0, else `type`. */
  head?: GgufType
  /** Default: that of a source folder with a tokenizer.json, else a placeholder. */
  tokenizer?: GgufTokenizer
  /** Bytes of tensors written, of how many, and the tensor in work. */
  onProgress?: (done: number, total: number, what: string) => void
  /** Ends the export between two pieces, with its reason; no file is left. */
  signal?: AbortSignal
}

export interface ExportReport {
  readonly architecture: GgufArchitecture
  readonly tensors: number
  /** Of all tensors. */
  readonly bytes: number
  /** What llama.cpp does otherwise than the tokenizer here, in plain sentences. */
  readonly notes: readonly string[]
}

interface Source {
  readonly config: DecoderConfig
  readonly state: Readonly<Record<string, Tensor>>
  readonly tokenizer?: GgufTokenizer
  readonly dispose: () => void
}

async function folderTokenizer(folder: string): Promise<GgufTokenizer | undefined> {
  const read = async (name: string): Promise<unknown> => {
    const path = join(folder, name)
    const found = await stat(path).catch(() => undefined)
    return found ? readJson(path) : undefined
  }
  const json = await read('tokenizer.json')
  if (json === undefined) return undefined
  return ggufTokenizer(json, await read('tokenizer_config.json'), join(folder, 'tokenizer.json'))
}

async function open(source: Decoder | ShaktiVlm | string): Promise<Source> {
  if (typeof source !== 'string') {
    const decoder = source instanceof ShaktiVlm ? source.decoder : source
    return { config: decoder.config, state: decoder.stateDict(), dispose: () => undefined }
  }
  const opened = await openDecoder(source)
  try {
    const tokenizer = await folderTokenizer(source)
    return { ...opened, ...(tokenizer ? { tokenizer } : {}) }
  } catch (error) {
    opened.dispose()
    throw error
  }
}

/**
 * Rows of each head from the order of rotated halves, 0 .. d - 1 with i beside i + d / 2, to that of rotated neighbours, 0, d / 2,
 * 1, d / 2 + 1, ...: the scores, sums over a head, stay what they were.
 */
function interleaved(t: Tensor, heads: number): Tensor {
  const [rows, ...rest] = t.shape as [number, ...number[]]
  return t
    .reshape([heads, 2, rows / heads / 2, ...rest])
    .transpose(1, 2)
    .reshape(t.shape)
}

// Numbers converted at a time: what bounds the memory.
const pieceNumbers = 1 << 21

async function* encodeTensor(t: Tensor, type: GgufType, name: string): AsyncGenerator<Uint8Array> {
  const rows = t.shape[0]!
  const step = Math.max(1, Math.floor(pieceNumbers / (t.numel / rows)))
  const quantised = type === 'q8_0' || type === 'q4_0'
  for (let row = 0; row < rows; row += step) {
    const n = Math.min(step, rows - row)
    const { piece, finite } = tidy(() =>
      noGrad(() => {
        const piece = t
          .narrow(0, row, n)
          .to(quantised ? 'f32' : type)
          .clone()
        return { piece, finite: piece.isfinite().all() }
      }),
    )
    try {
      if ((await finite.data())[0] !== 1)
        throw new ShaktiError(
          'exportGguf',
          `${name} has numbers that are not finite${type === 'f16' ? ' in f16, which ends at 65,504. Export it as bf16' : ''}.`,
        )
      if (quantised) {
        const x = (await piece.data()) as Float32Array
        yield type === 'q8_0' ? quantizeQ8(x) : quantizeQ4(x)
      } else yield* tensorBytes(piece)
    } finally {
      piece.dispose()
      finite.dispose()
    }
  }
}

async function* encodePlanned(
  planned: PlannedTensor,
  { state }: Source,
  type: GgufType,
): AsyncGenerator<Uint8Array> {
  if (planned.values) {
    yield new Uint8Array(planned.values.buffer)
    return
  }
  const t = state[planned.from!]!
  if (planned.interleave === undefined) {
    yield* encodeTensor(t, type, planned.name)
    return
  }
  const turned = tidy(() => noGrad(() => interleaved(t, planned.interleave!).clone()))
  try {
    yield* encodeTensor(turned, type, planned.name)
  } finally {
    turned.dispose()
  }
}

/**
 * Writes the decoder of a model, or of a folder that `importDecoder` reads, as a GGUF file for llama.cpp: whole or not at all, a few
 * million numbers in memory at a time. The architecture is the one of llama.cpp that computes the same (`architectureOf`).
 * @throws ShaktiError naming what llama.cpp has no form for; FileFormatError for a folder that cannot be read
 * @example await exportGguf('shakti-vlm-1b', 'shakti-1b-q8_0.gguf', { type: 'q8_0' })
 */
export async function exportGguf(
  source: Decoder | ShaktiVlm | string,
  file: string,
  options: ExportOptions,
): Promise<ExportReport> {
  const { type, onProgress, signal } = options
  const { head = type === 'q4_0' ? 'q8_0' : type } = options
  for (const [option, value] of Object.entries({ type, head }))
    if (!Object.hasOwn(tensorTypes, value))
      throw new ShaktiError(
        'exportGguf',
        `${option} is ${JSON.stringify(value)}; it is one of ${Object.keys(tensorTypes).join(', ')}.`,
      )
  signal?.throwIfAborted()
  const opened = await open(source)
  try {
    const { config, state } = opened
    const { architecture, fields, tensors: planned } = planGguf(config)
    const tokenizer = options.tokenizer ?? opened.tokenizer ?? placeholderTokenizer(config.vocab)
    const name = typeof source === 'string' ? basename(resolve(source)) : 'decoder'
    const byName = new Map(planned.map((p) => [p.name, p]))
    const tensors = planned.map(({ name, from, values, head: isHead }): GgufTensor => {
      const shape = values ? [values.length] : state[from!]!.shape
      return { name, shape, type: shape.length === 1 ? 'f32' : isHead ? head : type }
    })
    const all: GgufField[] = [
      { key: 'general.architecture', type: 'string', value: architecture },
      { key: 'general.type', type: 'string', value: 'model' },
      { key: 'general.name', type: 'string', value: name },
      { key: 'general.file_type', type: 'u32', value: tensorTypes[type].file },
      { key: 'general.quantization_version', type: 'u32', value: 2 },
      ...fields,
      ...tokenizerFields(tokenizer, config.vocab),
    ]
    const total = tensors.reduce((n, t) => n + tensorSize(t), 0)
    let done = 0
    const bytes = async function* (t: GgufTensor): AsyncGenerator<Uint8Array> {
      for await (const piece of encodePlanned(byName.get(t.name)!, opened, t.type)) {
        signal?.throwIfAborted()
        yield piece
        done += piece.length
        onProgress?.(done, total, t.name)
      }
    }
    await writeAtomically('exportGguf', file, encodeFile(all, tensors, bytes))
    return { architecture, tensors: tensors.length, bytes: total, notes: tokenizer.notes }
  } catch (error) {
    // The writer says that it could not write; why it was to stop is the caller's own reason.
    signal?.throwIfAborted()
    throw error
  } finally {
    opened.dispose()
  }
}
