// From the names of a checkpoint to ours by a table, and an account of what became of every tensor.
import {
  empty,
  FileFormatError,
  noGrad,
  tidy,
  type Tensor,
  type TensorSource,
} from '@shakti/tensor'

/** A row of a table. In names `*` stands for a layer's number, the same on both sides. */
export type MappingRow =
  /** The values as they are. */
  | { readonly from: string; readonly to: string }
  /** Other values, made of one or more tensors. */
  | {
      readonly from: readonly string[]
      readonly to: readonly string[]
      /** What is done, for the report. */
      readonly how: string
      readonly convert: (...tensors: Tensor[]) => Tensor[]
    }
  /** Tensors that change nothing, or have no counterpart. */
  | {
      readonly from: string
      readonly ignored: string
      /** The results differ without it: only a partial import leaves it out. */
      readonly lossy?: boolean
    }

export interface ImportReport {
  /** Whose table was used. */
  readonly family: string
  /** Tensors whose name is ours already. */
  readonly mapped: readonly string[]
  readonly renamed: readonly { readonly from: string; readonly to: string }[]
  readonly converted: readonly {
    readonly from: readonly string[]
    readonly to: readonly string[]
    readonly how: string
  }[]
  readonly ignored: readonly { readonly name: string; readonly reason: string }[]
  /** Our parameters that the checkpoint has no values for; they keep their initial ones. */
  readonly missing: readonly string[]
  /** In what else the imported module computes differently, in plain sentences. Empty unless partial. */
  readonly differences: readonly string[]
}

const escape = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&')

/** The layer's number in `name`, '' where the pattern has none, undefined where it does not fit. */
function layerIn(name: string, pattern: string): string | undefined {
  const [before, after] = pattern.split('*') as [string, string | undefined]
  if (after === undefined) return name === pattern ? '' : undefined
  return new RegExp(`^${escape(before)}(\\d+)${escape(after)}$`).exec(name)?.[1]
}

const withLayer = (pattern: string, layer: string): string => pattern.replace('*', layer)

const some = (names: readonly string[]): string =>
  `${names.slice(0, 10).join(', ')}${names.length > 10 ? `, and ${names.length - 10} more` : ''}`

/** One of the tensors that a conversion makes, converted when its turn comes: its shape and dtype are those it has on `meta`. */
function convertedSource(
  convert: (...tensors: Tensor[]) => Tensor[],
  parts: readonly Tensor[],
  which: number,
): TensorSource {
  const made = (given: readonly Tensor[]): Tensor =>
    tidy(() => noGrad(() => convert(...given)[which]!.contiguous()))
  const outline = made(parts.map(({ shape, dtype }) => empty(shape, { dtype, device: 'meta' })))
  const { shape, dtype } = outline
  return { shape, dtype, make: () => made(parts) }
}

/**
 * Applies a table. Values that no conversion makes are the checkpoint's own tensors, detached.
 * @param rows the first that fits a name is used
 * @param wanted our parameters with their shapes
 * @param options.partial leaves parameters missing and lossy rows out, instead of refusing
 * @throws FileFormatError naming tensors that no row knows, that are missing, or whose shape does not fit
 */
export function applyMapping(
  family: string,
  file: string,
  rows: readonly MappingRow[],
  tensors: Readonly<Record<string, Tensor>>,
  wanted: ReadonlyMap<string, readonly number[]>,
  options: { readonly partial?: boolean; readonly differences?: readonly string[] } = {},
): { state: Record<string, TensorSource>; report: ImportReport } {
  const { partial = false, differences = [] } = options
  const state: Record<string, TensorSource> = Object.create(null) as Record<string, TensorSource>
  const mapped: string[] = []
  const renamed: { from: string; to: string }[] = []
  const converted: { from: string[]; to: string[]; how: string }[] = []
  const ignored: { name: string; reason: string }[] = []
  const unknown: string[] = []
  const lossy: string[] = []

  for (const [name, tensor] of Object.entries(tensors)) {
    let layer: string | undefined
    const row = rows.find(({ from }) =>
      [from].flat().some((pattern) => (layer = layerIn(name, pattern)) !== undefined),
    )
    if (!row || layer === undefined) unknown.push(name)
    else if ('ignored' in row) {
      ignored.push({ name, reason: row.ignored })
      if (row.lossy) lossy.push(name)
    } else if ('convert' in row) {
      // Done once, when the first of its tensors comes.
      if (layerIn(name, row.from[0]!) === undefined) continue
      const from = row.from.map((pattern) => withLayer(pattern, layer!))
      const parts = from.map((part) => {
        const found = tensors[part]
        if (!found) throw new FileFormatError(file, part, `is missing; ${name} needs it`)
        return found
      })
      const to = row.to.map((pattern) => withLayer(pattern, layer!))
      to.forEach((name, i) => (state[name] = convertedSource(row.convert, parts, i)))
      converted.push({ from, to, how: row.how })
    } else {
      const to = withLayer(row.to, layer)
      state[to] = { shape: tensor.shape, dtype: tensor.dtype, make: () => tensor.detach() }
      if (to === name) mapped.push(name)
      else renamed.push({ from: name, to })
    }
  }

  if (unknown.length > 0)
    throw new FileFormatError(
      file,
      'tensors',
      `the table for ${family} has no row for ${some(unknown)}`,
    )
  const surplus = Object.keys(state).filter((name) => !wanted.has(name))
  if (surplus.length > 0)
    throw new FileFormatError(file, 'tensors', `config.json has no place for ${some(surplus)}`)
  const missing = [...wanted.keys()].filter((name) => !state[name])
  const losses = [...differences, ...lossy.map((name) => `${name} has no counterpart`)]
  if (!partial && missing.length + losses.length > 0)
    throw new FileFormatError(
      file,
      'tensors',
      [
        ...(missing.length > 0 ? [`the checkpoint lacks ${some(missing)}`] : []),
        ...(losses.length > 0
          ? [
              `this would not compute the same: ${losses.join('; ')}. Pass { partial: true } to start from what fits`,
            ]
          : []),
      ].join('; '),
    )
  const wrong = [...wanted].filter(
    ([name, shape]) => state[name] && state[name].shape.join() !== shape.join(),
  )
  if (wrong.length > 0) {
    const [name, shape] = wrong[0]!
    throw new FileFormatError(
      file,
      name,
      `is ${state[name]!.dtype}[${state[name]!.shape.join(', ')}], by config.json it has the shape [${shape.join(', ')}]`,
    )
  }
  return {
    state,
    report: { family, mapped, renamed, converted, ignored, missing, differences: losses },
  }
}
