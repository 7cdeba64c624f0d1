// Weights of linear layers laid out once, as products read them: what quantised and packed ones have in common.
import { DTypeError, ShapeError } from '../errors.js'
import type { DType } from '../dtype.js'
import { formatShape, sameShape, type Shape } from '../shape.js'
import type { DeviceName } from '../native/places.js'
import type { Tensor } from '../tensor.js'
import { wantBias, wantTensors } from './checks.js'
import { asRows, checkEpilogue, type Epilogue } from './matmul.js'

/** Rows of the weight in a panel, on every machine. */
export const panelRows = 32

/** A weight [out, in] whose bytes lie in one tensor, u8 [panels of 32 rows, bytes of a panel]. */
export abstract class PanelWeight {
  readonly packed: Tensor
  /** [out, in] */
  readonly shape: readonly [number, number]

  protected constructor(
    name: string,
    packed: Tensor,
    shape: readonly [number, number],
    panelBytes: number,
    how: string,
  ) {
    wantTensors(name, { packed })
    const want = packedShape(shape, panelBytes)
    if (packed.dtype !== 'u8' || !sameShape(packed.shape, want)) {
      throw new ShapeError(
        name,
        `a weight ${formatShape(shape)} in ${how} is packed as u8${formatShape(want)}, got ${packed.describe()}.`,
        [packed.shape, want],
      )
    }
    this.packed = packed
    this.shape = shape
  }

  get device(): DeviceName {
    return this.packed.device
  }

  /** Bytes in memory. */
  get bytes(): number {
    return this.packed.numel
  }

  /** Gives the memory back at once. */
  dispose(): void {
    this.packed.dispose()
  }
}

export const packedShape = ([out]: readonly [number, number], panelBytes: number): Shape => [
  Math.ceil(out / panelRows),
  panelBytes,
]

/** The shape of a weight that is about to be laid out. */
export function matrixShape(
  name: string,
  w: Tensor,
  dtypes: readonly DType[],
): readonly [number, number] {
  wantTensors(name, { w })
  if (w.ndim !== 2)
    throw new ShapeError(name, `needs a matrix [out, in], got ${w.describe()}.`, [w.shape])
  wantOneOf(name, 'a weight', w.dtype, dtypes)
  return [w.shape[0]!, w.shape[1]!]
}

export function wantOneOf(name: string, what: string, dtype: DType, of: readonly DType[]): void {
  if (of.includes(dtype)) return
  const last = of.length - 1
  throw new DTypeError(
    name,
    `${what} must be ${of.slice(0, last).join(', ')} or ${of[last]}, got ${dtype}.`,
  )
}

/** x [..., in] as rows and the shape of its product with a weight, once everything fits. */
export function rowsFor(
  name: string,
  x: Tensor,
  { shape }: PanelWeight,
  bias: Tensor | undefined,
  epilogue: Epilogue,
): { readonly rows: Tensor; readonly whole: Shape } {
  const [out, width] = shape
  if (x.ndim === 0 || x.shape[x.ndim - 1] !== width) {
    throw new ShapeError(
      name,
      `x must end in ${width} for a weight ${formatShape(shape)}, got ${x.describe()}.`,
      [x.shape, shape],
    )
  }
  wantBias(name, bias, out, x)
  const whole = [...x.shape.slice(0, -1), out]
  checkEpilogue(name, whole, epilogue)
  return { rows: x.ndim === 2 ? x : asRows(x), whole }
}
