// From a folder to a model: all is checked by headers, then the weights are mapped, and converted or packed one by one.
import { join } from 'node:path'
import {
  clearCache,
  FileFormatError,
  getDefaultDevice,
  isFloating,
  loadSafetensors,
  noGrad,
  packWeight,
  ShaktiError,
  synchronize,
  type DeviceName,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { Linear, pack_, PackedLinear } from '@shakti/nn'
import type { ShaktiVlm } from '../vlm.js'
import type { Progress } from './folder.js'
import { byFile, readCheckpoint, type Checkpoint } from './weights.js'

export interface LoadPretrainedOptions {
  /** Default: the default device. */
  device?: DeviceName
  /** Of parameters and activations; 'keep' (default): as stored. Quantised weights stay as they are. */
  dtype?: 'keep' | DType
  /**
   * Lays matrices out once as products read them (`pack_`): decoding is faster, and the weights are in memory of the process
   * instead of mapped. For inference on the CPU. Default false.
   */
  packed?: boolean
  onProgress?: Progress
  /** Ends loading between two tensors. */
  signal?: AbortSignal
}

// Commands run behind the calls: waiting every so many bytes lets what was freed be used again.
const waitBytes = 256e6

/**
 * Reads a model from a folder. On the CPU floating weights are mapped, not copied, unless they are converted or packed: they cost
 * no time and no memory until they are read. Quantised ones are copied. Every file, name and shape is checked before that.
 * @throws FileFormatError naming file and field; StateDictError listing the names that do not fit
 */
export async function fromPretrained(
  folder: string,
  options: LoadPretrainedOptions = {},
): Promise<ShaktiVlm> {
  const { dtype = 'keep', packed = false, device } = options
  if (dtype !== 'keep' && !isFloating(dtype))
    throw new ShaktiError(
      'fromPretrained',
      `dtype is ${String(dtype)}. It must be 'keep' or floating.`,
    )
  const checkpoint = await readCheckpoint(folder)
  if (dtype === 'keep' && checkpoint.dtype === undefined) refuseMixed(checkpoint)
  const wanted = dtype === 'keep' ? checkpoint.dtype! : dtype
  if (packed && wanted !== 'f32' && wanted !== 'bf16')
    throw new ShaktiError('fromPretrained', `packed weights are f32 or bf16, not ${wanted}.`)
  const { model } = checkpoint
  const state = await loadTensors(checkpoint, wanted, options)
  try {
    options.signal?.throwIfAborted()
    model.loadStateDict(state, { assign: true })
  } finally {
    for (const t of Object.values(state)) t.dispose()
  }
  if (packed) await packModel(model)
  await synchronize(device)
  clearCache()
  return model
}

function refuseMixed({ folder, tensors }: Checkpoint): never {
  const examples = new Map<DType, string>()
  for (const [name, { dtype }] of tensors)
    if (isFloating(dtype) && !examples.has(dtype)) examples.set(dtype, name)
  const list = Array.from(examples, ([dtype, name]) => `${name} is ${dtype}`).join(', ')
  throw new FileFormatError(folder, 'dtype', `differs: ${list}. Name one: dtype: 'bf16'`)
}

/** All tensors of a folder in `dtype`; those that have it share the mapped files. */
async function loadTensors(
  { folder, tensors }: Checkpoint,
  dtype: DType,
  { device = getDefaultDevice(), onProgress, signal }: LoadPretrainedOptions,
): Promise<Record<string, Tensor>> {
  const total = [...tensors.values()].reduce((n, t) => n + t.bytes, 0)
  const state: Record<string, Tensor> = Object.create(null) as Record<string, Tensor>
  let done = 0
  let waited = 0
  try {
    for (const [file, names] of byFile(tensors)) {
      // On the CPU first: there it is only mapped, and can be converted before it travels.
      Object.assign(state, loadSafetensors(join(folder, file), { names, device: 'cpu' }).tensors)
      for (const name of names) {
        signal?.throwIfAborted()
        const stored = state[name]!
        // Quantised weights are small and are read whole for every token: out of a file's small pages that takes 6 % longer.
        const converted = noGrad(() =>
          isFloating(stored.dtype) ? stored.to(dtype) : stored.clone(),
        )
        const t = noGrad(() => converted.to({ device }))
        state[name] = t
        for (const step of new Set([stored, converted])) if (step !== t) step.dispose()
        done += tensors.get(name)!.bytes
        if (t !== stored && done - waited >= waitBytes) {
          await synchronize()
          waited = done
        }
        onProgress?.(done, total, name)
      }
    }
    return state
  } catch (error) {
    for (const t of Object.values(state)) t.dispose()
    throw error
  }
}

/** Packs all matrices, few at a time, so that the model is never held twice; a tied embedding gets a packed copy. */
async function packModel(model: ShaktiVlm): Promise<void> {
  let waited = 0
  for (const [, module] of model.namedModules()) {
    const linears = Array.from(module.children()).filter(([, m]) => m instanceof Linear)
    if (linears.length === 0) continue
    pack_(module, { only: linears.map(([key]) => key) })
    for (const [, m] of linears) waited += (m as Linear).weight.storage.bytes
    if (waited < waitBytes) continue
    await synchronize()
    waited = 0
  }
  const { decoder } = model
  if (decoder.lmHead === undefined) {
    const { weight } = decoder.model.embedTokens
    decoder.lmHead = new PackedLinear(noGrad(() => packWeight(weight)))
  }
}
