// From a folder of whole weights to one of quantised ones, layer by layer: neither model is ever in memory.
import { join, resolve } from 'node:path'
import {
  dtypeSize,
  loadSafetensors,
  noGrad,
  quantizeWeight,
  QuantizedWeight,
  ShaktiError,
  tidy,
  type QuantBits,
  type QuantGroup,
  type Tensor,
  type TensorSource,
} from '@shakti/tensor'
import { QuantizedLinear } from '@shakti/nn'
import { companionsOf, licenseOf } from './companions.js'
import { toHfConfig } from './config.js'
import { writeFolder, type WriteOptions } from './folder.js'
import {
  emptyModel,
  quantizationIn,
  quantizationOf,
  type QuantizationOptions,
} from './quantization.js'
import { isThere, readCheckpoint, type Checkpoint } from './weights.js'

export interface QuantizePretrainedOptions extends QuantizationOptions, WriteOptions {}

export interface QuantizedLayer {
  /** In the state dict, without `.weight`. */
  readonly name: string
  /** [out, in] */
  readonly shape: readonly [number, number]
  /** Length of the difference between the weight and what its bytes stand for, over the length of the weight. */
  readonly error: number
  /** 0 for the head of a tied model, which is a copy. */
  readonly bytesBefore: number
  readonly bytesAfter: number
}

export interface QuantizationReport {
  readonly bits: QuantBits
  readonly group: QuantGroup
  readonly zeroPoint: boolean
  /** In the order of the model. */
  readonly layers: readonly QuantizedLayer[]
  /** Of all layers together. */
  readonly error: number
  /** Of all weights, quantised or not. */
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/**
 * Writes the model of a folder to another one with its matrices in 8 or 4 bits; embeddings, norms and biases become bf16, the
 * files of the tokenizer are copied. Memory for one matrix is all it takes.
 * @throws FileFormatError or StateDictError for a folder that does not fit; ShaktiError for options that do not, and for
 * weights that are not finite. Nothing is left behind then.
 */
export async function quantizePretrained(
  from: string,
  to: string,
  options: QuantizePretrainedOptions = {},
): Promise<QuantizationReport> {
  const op = 'quantizePretrained'
  const wanted = quantizationOf(op, options)
  if (resolve(from) === resolve(to))
    throw new ShaktiError(op, `${from} would be overwritten while it is read. Name another folder.`)
  const source = await readCheckpoint(from)
  if (source.quantization) throw new ShaktiError(op, `${from} holds quantised weights already.`)
  const model = emptyModel(source.config, wanted)
  const layers = new Map<string, QuantizedLayer>()
  let [squares, errors] = [0, 0]
  const tensors: Record<string, TensorSource> = {}
  const modules = new Map(model.stateModules())
  for (const [name, { dtype, shape }] of Object.entries(model.stateDict())) {
    const layer = modules.get(name.replace(/\.weight$/, ''))
    if (!(layer instanceof QuantizedLinear)) {
      const make = (): Tensor => noGrad(() => tidy(() => stored(source, name).to('bf16')))
      tensors[name] = { dtype: 'bf16', shape, make }
      continue
    }
    const { bits, group, zeroPoint, outWidth, inWidth } = layer
    const original = source.tensors.has(name) ? name : 'language_model.model.embed_tokens.weight'
    const make = async (): Promise<Tensor> => {
      const whole = stored(source, original)
      try {
        // Before the engine finds it, which would end all that is under way.
        const length = await squaredLength(whole)
        if (!Number.isFinite(length))
          throw new ShaktiError(op, `${original} of ${from} holds numbers that are not finite.`)
        const weight = quantizeWeight(whole, { bits, group, zeroPoint })
        const difference = await squaredDifference(whole, weight)
        ;[errors, squares] = [errors + difference, squares + length]
        layers.set(name, {
          name: name.slice(0, -'.weight'.length),
          shape: [outWidth, inWidth],
          error: relative(difference, length),
          bytesBefore: original === name ? source.tensors.get(name)!.bytes : 0,
          bytesAfter: weight.bytes,
        })
        return weight.packed
      } finally {
        whole.dispose()
      }
    }
    tensors[name] = { dtype, shape, make }
  }
  await writeFolder(
    op,
    to,
    {
      config: source.config,
      json: toHfConfig(source.config, { dtype: 'bf16', quantization: quantizationIn(model) }),
      tensors,
      copies: [...(await companionsOf(from)), ...(await preprocessorOf(from))],
      license: await licenseOf(from),
    },
    options,
  )
  const bytes = (list: Iterable<{ dtype: TensorSource['dtype']; shape: readonly number[] }>) =>
    [...list].reduce((n, t) => n + t.shape.reduce((a, b) => a * b, dtypeSize(t.dtype)), 0)
  return {
    bits: wanted.bits,
    group: wanted.group,
    zeroPoint: wanted.zeroPoint,
    layers: Object.keys(tensors).flatMap((name) => layers.get(name) ?? []),
    error: relative(errors, squares),
    bytesBefore: bytes(source.tensors.values()),
    bytesAfter: bytes(Object.values(tensors)),
  }
}

const relative = (difference: number, length: number): number =>
  length === 0 ? 0 : Math.sqrt(difference / length)

/** How images are prepared goes with the model too. */
async function preprocessorOf(folder: string): Promise<[string, string][]> {
  const path = join(folder, 'preprocessor_config.json')
  return (await isThere(path)) ? [[path, 'preprocessor_config.json']] : []
}

/** One tensor of a folder, mapped. */
function stored({ folder, tensors }: Checkpoint, name: string): Tensor {
  const path = join(folder, tensors.get(name)!.file)
  return loadSafetensors(path, { names: [name], device: 'cpu' }).tensors[name]!
}

// Rows at a time: 16 MB of f32, whole panels of 32.
const rowsOf = (columns: number): number => 32 * Math.max(1, Math.floor(131_072 / columns))

/** The sum over all rows of what `part` makes of some of them. */
async function sumOverRows(
  whole: Tensor,
  part: (rows: Tensor, first: number) => Tensor,
): Promise<number> {
  const [rows, columns] = whole.shape as [number, number]
  let total = 0
  for (let first = 0; first < rows; first += rowsOf(columns)) {
    const n = Math.min(rowsOf(columns), rows - first)
    const sum = tidy(() =>
      noGrad(() =>
        part(whole.narrow(0, first, n).float(), first)
          .square()
          .sum(),
      ),
    )
    total += await sum.item()
    sum.dispose()
  }
  return total
}

const squaredLength = (whole: Tensor): Promise<number> => sumOverRows(whole, (rows) => rows)

/** Of a weight to what its bytes stand for. */
const squaredDifference = (
  whole: Tensor,
  { packed, shape: [, columns], bits, group, zeroPoint }: QuantizedWeight,
): Promise<number> =>
  sumOverRows(whole, (rows, first) => {
    const n = rows.shape[0]!
    const panels = packed.narrow(0, first / 32, Math.ceil(n / 32))
    const format = { bits, group, zeroPoint }
    return rows.sub(new QuantizedWeight(panels, [n, columns], format).dequantize())
  })
