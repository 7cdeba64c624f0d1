// Writing a model's folder as a whole: everything goes into a folder of its own within it, and is moved out at the end.
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import {
  dtypeSize,
  saveSafetensors,
  ShaktiError,
  writeAtomically,
  type TensorSource,
} from '@shakti/tensor'
import type { ShaktiVlmConfig } from '../config.js'
import { toHfPreprocessor } from '../processor/preprocessor.js'
import type { ProcessorConfig } from '../processor/size.js'
import { cardMark, modelCard } from './card.js'
import { indexName, isThere } from './weights.js'

/** `done` and `total` are bytes; `what` is the tensor at hand. */
export type Progress = (done: number, total: number, what: string) => void

export interface WriteOptions {
  /** Bytes of a weights file, above which the weights are split. */
  shardBytes?: number
  onProgress?: Progress
  /** Ends writing between two tensors; nothing is left behind. */
  signal?: AbortSignal
}

export interface FolderContent {
  readonly config: ShaktiVlmConfig
  /** config.json */
  readonly json: Record<string, unknown>
  /** In the order of the shards. */
  readonly tensors: Readonly<Record<string, TensorSource>>
  /** Files to copy from elsewhere, as [path, name]. They come before those that are made. */
  readonly copies?: readonly (readonly [string, string])[]
  /** How images are prepared. Default: as the config says, without bounds on pixels. */
  readonly processor?: ProcessorConfig | undefined
  /** Of the weights, as an SPDX identifier, for the model card. */
  readonly license?: string | undefined
}

const bytesOf = (t: TensorSource): number => t.shape.reduce((a, b) => a * b, dtypeSize(t.dtype))

interface Shard {
  readonly file: string
  readonly tensors: Record<string, TensorSource>
}

function shardsOf(tensors: FolderContent['tensors'], shardBytes: number): Shard[] {
  const shards: Shard['tensors'][] = [{}]
  let size = 0
  for (const [name, t] of Object.entries(tensors)) {
    const bytes = bytesOf(t)
    if (size > 0 && size + bytes > shardBytes) {
      shards.push({})
      size = 0
    }
    shards.at(-1)![name] = t
    size += bytes
  }
  const digits = (n: number): string => String(n).padStart(5, '0')
  return shards.map((shard, i) => ({
    tensors: shard,
    file:
      shards.length === 1
        ? 'model.safetensors'
        : `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`,
  }))
}

const isWeights = (file: string): boolean => /^model(-\d+-of-\d+)?\.safetensors$/.test(file)

/**
 * Writes a model's folder: weights with an index if there are several files, config.json, preprocessor_config.json,
 * generation_config.json, README.md. When it fails, the folder is as it was. Of an older model in it the weights are
 * replaced; a generation_config.json stays, and a README.md unless it is ours.
 */
export async function writeFolder(
  op: string,
  folder: string,
  content: FolderContent,
  { shardBytes = 5e9, onProgress, signal }: WriteOptions,
): Promise<void> {
  if (!(shardBytes >= 1))
    throw new ShaktiError(op, `shardBytes is ${String(shardBytes)}. It must be a number from 1.`)
  signal?.throwIfAborted()
  const target = resolve(folder)
  const made = await mkdir(target, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new ShaktiError(op, `cannot make the folder ${folder}: ${error.code ?? error.message}.`)
  })
  const stage = join(target, `.saving-${process.pid}-${randomBytes(4).toString('hex')}`)
  try {
    await mkdir(stage)
    for (const [path, name] of content.copies ?? []) await copyFile(path, join(stage, name))
    const shards = shardsOf(content.tensors, shardBytes)
    await writeShards(stage, shards, onProgress, signal)
    await writeTexts(op, target, stage, content)
    await moveOut(stage, target)
  } catch (error) {
    await rm(stage, { recursive: true, force: true })
    if (made !== undefined) await removeEmpty(target, made)
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    throw new ShaktiError(op, `cannot write ${folder}: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** Removes a folder and those above it up to `first`, as far as they are empty. */
async function removeEmpty(folder: string, first: string): Promise<void> {
  for (let at = folder; at.length >= first.length; at = dirname(at)) {
    const gone = await rmdir(at).then(
      () => true,
      () => false,
    )
    if (!gone) return
  }
}

async function writeShards(
  stage: string,
  shards: readonly Shard[],
  onProgress: Progress | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const total = shards
    .flatMap(({ tensors }) => Object.values(tensors))
    .reduce((n, t) => n + bytesOf(t), 0)
  let done = 0
  const weightMap: Record<string, string> = {}
  for (const { file, tensors } of shards) {
    const watched: Record<string, TensorSource> = {}
    for (const [name, t] of Object.entries(tensors)) {
      weightMap[name] = file
      const make: TensorSource['make'] = () => {
        signal?.throwIfAborted()
        onProgress?.(done, total, name)
        done += bytesOf(t)
        return t.make()
      }
      watched[name] = { dtype: t.dtype, shape: t.shape, make }
    }
    await saveSafetensors(join(stage, file), watched, { format: 'pt' })
  }
  onProgress?.(total, total, 'weights')
  if (shards.length === 1) return
  await writeJson(join(stage, indexName), {
    metadata: { total_size: total },
    weight_map: weightMap,
  })
}

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeAtomically('writeFolder', path, `${JSON.stringify(value, null, 2)}\n`)

async function writeTexts(
  op: string,
  folder: string,
  stage: string,
  { config, json, tensors, license, processor }: FolderContent,
): Promise<void> {
  const { vision, projector } = config
  await writeJson(join(stage, 'config.json'), json)
  if (!(await isThere(join(stage, 'preprocessor_config.json'))))
    await writeJson(
      join(stage, 'preprocessor_config.json'),
      toHfPreprocessor(processor ?? { vision, merge: projector.merge }),
    )
  const there = async (name: string): Promise<boolean> =>
    (await isThere(join(folder, name))) || (await isThere(join(stage, name)))
  if (!(await there('generation_config.json')))
    await writeJson(join(stage, 'generation_config.json'), {
      do_sample: false,
      max_new_tokens: 256,
    })
  const card = join(folder, 'README.md')
  if (!(await isThere(card)) || (await readFile(card, 'utf8')).includes(cardMark))
    await writeAtomically(op, join(stage, 'README.md'), modelCard(config, json, tensors, license))
}

/** config.json goes first and comes last: a folder cut short between has none, and is refused as a model. */
async function moveOut(stage: string, folder: string): Promise<void> {
  await rm(join(folder, 'config.json'), { force: true })
  const made = await readdir(stage)
  for (const file of await readdir(folder))
    if ((isWeights(file) || file === indexName) && !made.includes(file))
      await rm(join(folder, file))
  const last = (file: string): number => (file === 'config.json' ? 1 : 0)
  for (const file of made.sort((a, b) => last(a) - last(b)))
    await rename(join(stage, file), join(folder, file))
  await rmdir(stage)
}
