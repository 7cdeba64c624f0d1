// The weights of a folder as their headers describe them, all checked before a byte of them is read.
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  FileFormatError,
  isFloating,
  readSafetensorsHeader,
  type DType,
  type SafetensorsEntry,
} from '@shakti/tensor'
import { StateDictError } from '@shakti/nn'
import type { ShaktiVlmConfig } from '../config.js'
import type { ShaktiVlm } from '../vlm.js'
import { fromHfConfig, part } from './config.js'
import {
  emptyModel,
  fromHfQuantization,
  headName,
  type QuantizationConfig,
} from './quantization.js'

export const indexName = 'model.safetensors.index.json'

export interface StoredTensor extends SafetensorsEntry {
  /** Name of the file within the folder. */
  readonly file: string
}

/** A folder of which everything but the values has been read and found to fit. */
export interface Checkpoint {
  readonly folder: string
  readonly config: ShaktiVlmConfig
  readonly quantization: QuantizationConfig | undefined
  /** By name, without a tied output matrix that was stored a second time. */
  readonly tensors: ReadonlyMap<string, StoredTensor>
  /** The one floating dtype; undefined when there are several. */
  readonly dtype: DType | undefined
  /** The model without values. */
  readonly model: ShaktiVlm
}

export const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

export async function readJson(path: string): Promise<unknown> {
  const { size } = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new FileFormatError(path, 'file', `cannot be opened: ${error.code ?? error.message}`)
  })
  if (size > 100_000_000)
    throw new FileFormatError(path, 'file', `has ${size} bytes, more than any config needs`)
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown
  } catch (error) {
    throw new FileFormatError(path, 'json', (error as Error).message)
  }
}

/** A JSON file that holds an object. @param what it is, for the error */
export async function readJsonObject(path: string, what: string): Promise<Record<string, unknown>> {
  const json = await readJson(path)
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new FileFormatError(path, what, 'is not an object')
  return json as Record<string, unknown>
}

interface Index {
  readonly path: string
  readonly files: readonly string[]
  readonly weightMap: ReadonlyMap<string, string>
  readonly totalSize: unknown
}

async function readIndex(folder: string): Promise<Index | undefined> {
  const path = join(folder, indexName)
  if (!(await isThere(path))) return undefined
  const json = await readJsonObject(path, 'index')
  const weightMap = new Map<string, string>()
  for (const [name, file] of Object.entries(part(path, json, 'weight_map'))) {
    // A name from a file must not lead out of the folder.
    if (typeof file !== 'string' || !/^[\w.-]+\.safetensors$/.test(file))
      throw new FileFormatError(
        path,
        'weight_map',
        `names a file ${JSON.stringify(file)} that is not a plain .safetensors name`,
      )
    weightMap.set(name, file)
  }
  const metadata = (json as { metadata?: { total_size?: unknown } }).metadata
  return {
    path,
    files: [...new Set(weightMap.values())].sort(),
    weightMap,
    totalSize: metadata?.total_size,
  }
}

/**
 * The headers of all weight files of a folder.
 * @throws FileFormatError for files that are missing, cut short or disagree with the index
 */
export async function readWeights(folder: string): Promise<Map<string, StoredTensor>> {
  const index = await readIndex(folder)
  const files = index?.files ?? ['model.safetensors']
  for (const file of files) {
    if (await isThere(join(folder, file))) continue
    const path = index?.path ?? join(folder, file)
    throw new FileFormatError(
      path,
      index ? 'weight_map' : 'file',
      index ? `names ${file}, which is not in the folder` : 'is not there',
    )
  }
  const out = new Map<string, StoredTensor>()
  for (const file of files) {
    const path = join(folder, file)
    for (const [name, entry] of Object.entries(readSafetensorsHeader(path).tensors)) {
      const other = out.get(name)
      if (other)
        throw new FileFormatError(path, name, `stands in more than one file: also in ${other.file}`)
      out.set(name, { ...entry, file })
    }
  }
  if (index) checkIndex(index, out)
  return out
}

/** Names of stored tensors by the file that holds them. */
export function byFile(
  stored: Iterable<readonly [string, StoredTensor]>,
): ReadonlyMap<string, readonly string[]> {
  const out = new Map<string, string[]>()
  for (const [name, { file }] of stored) {
    const names = out.get(file)
    if (names) names.push(name)
    else out.set(file, [name])
  }
  return out
}

function checkIndex(
  { path, weightMap, totalSize }: Index,
  stored: Map<string, StoredTensor>,
): void {
  for (const [name, file] of weightMap) {
    const there = stored.get(name)?.file
    if (there !== file)
      throw new FileFormatError(
        path,
        'weight_map',
        `places ${name} in ${file}, it is in ${there ?? 'no file'}`,
      )
  }
  for (const [name, { file }] of stored) {
    if (!weightMap.has(name))
      throw new FileFormatError(path, 'weight_map', `leaves out ${name}, which ${file} holds`)
  }
  const bytes = [...stored.values()].reduce((n, t) => n + t.bytes, 0)
  if (totalSize !== undefined && totalSize !== bytes)
    throw new FileFormatError(
      path,
      'metadata.total_size',
      `is ${JSON.stringify(totalSize)}, the tensors have ${bytes} bytes`,
    )
}

/** Config and headers of a folder, checked against the model that the config describes; nothing of the weights is read. */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const file = join(folder, 'config.json')
  const json = await readJson(file)
  const config = fromHfConfig(json, file)
  const quantization = fromHfQuantization(json, file)
  const tensors = await readWeights(folder)
  const model = emptyModel(config, quantization)
  // Some writers store a tied output matrix a second time; the embedding is the one that counts.
  if (config.decoder.tied && model.decoder.lmHead === undefined)
    tensors.delete(`${headName}.weight`)
  checkFit(model, tensors)
  const dtypes = new Set([...tensors.values()].map((t) => t.dtype).filter(isFloating))
  const [dtype] = dtypes
  return {
    folder,
    config,
    quantization,
    tensors,
    model,
    dtype: dtypes.size === 1 ? dtype : undefined,
  }
}

/** @throws StateDictError listing names that are missing, surplus, or of another shape or kind of dtype */
function checkFit(model: ShaktiVlm, stored: ReadonlyMap<string, StoredTensor>): void {
  const own = model.stateDict()
  const missing = Object.keys(own).filter((name) => !stored.has(name))
  const surplus = [...stored.keys()].filter((name) => !Object.hasOwn(own, name))
  const mismatched: string[] = []
  for (const [name, want] of Object.entries(own)) {
    const t = stored.get(name)
    if (!t) continue
    const fits = isFloating(want.dtype) ? isFloating(t.dtype) : want.dtype === t.dtype
    if (fits && t.shape.join() === want.shape.join()) continue
    const wanted = isFloating(want.dtype) ? want.shape.join(', ') : want.describe()
    mismatched.push(`${name}: is [${wanted}], given ${t.dtype}[${t.shape.join(', ')}]`)
  }
  if (missing.length + surplus.length + mismatched.length > 0)
    throw new StateDictError(missing, surplus, mismatched)
}
