// Weights of linear layers in f32 and bf16 laid out once, for inference: exactly the weight, in the order in which products
// read it.
import { AutogradError, DTypeError } from '../errors.js'
import type { DType } from '../dtype.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { asRows, outputOf, type LinearOptions } from './matmul.js'
import { matrixShape, packedShape, PanelWeight, rowsFor } from './panel-weight.js'
import { op } from './table.js'

type PackedDType = 'f32' | 'bf16'

// As kernels/src/ops/matmul/packed_weight.h has it: panels of 32 rows; bf16 in pairs along k, to whole tiles of 16 pairs.
const panelBytes = (k: number, dtype: PackedDType): number =>
  32 * (dtype === 'f32' ? 4 * k : 2 * 32 * Math.ceil(k / 32))

const pack = op({
  command: 'pack_weight',
  inputs: ['w'],
  outputs: ['packed'],
  check: ({ w }, _: object) => {
    const [n, k] = [w.shape[0]!, w.shape[1]!]
    const shape = packedShape([n, k], panelBytes(k, w.dtype as PackedDType))
    return { packed: { shape, dtype: 'u8' } }
  },
  saves: [],
  grad: 'none',
})

const unpack = op({
  command: 'unpack_weight',
  inputs: ['packed'],
  outputs: ['w'],
  check: (_, { shape, dtype }: Pick<PackedWeight, 'shape' | 'dtype'>) => ({ w: { shape, dtype } }),
  saves: [],
  grad: 'none',
})

interface Product {
  readonly out: number
  readonly dtype: DType
  readonly scale: number
  readonly activation: number
}

const product = op({
  command: 'packed_linear',
  inputs: ['x', 'packed', 'bias?', 'residual?', 'gate?'],
  outputs: ['y'],
  check: ({ x }, { out, dtype }: Product) => ({ y: { shape: [x.shape[0]!, out], dtype } }),
  encode: ({ activation, scale }) => [activation, scale],
  saves: [],
  grad: () => {
    throw new AutogradError(
      'packedLinear',
      'has no gradient: a packed weight is for inference. Use linear with the weight as it was, or unpack_ the module.',
    )
  },
})

/**
 * A weight [out, in] in the panels that matrix products multiply from: the same numbers, in f32 or bf16. Its bytes lie alike
 * on every machine, but are no format of files: save `unpack()`.
 */
export class PackedWeight extends PanelWeight {
  readonly dtype: PackedDType

  /** @param packed as `packWeight` gave it for this shape and dtype */
  constructor(packed: Tensor, shape: readonly [number, number], dtype: PackedDType) {
    super('PackedWeight', packed, shape, panelBytes(shape[1], dtype), dtype)
    this.dtype = dtype
  }

  /** The weight as it was: [out, in], in its dtype. */
  unpack(): Tensor {
    const { packed, shape, dtype } = this
    return unpack({ packed: packed.contiguous() }, { shape, dtype }).w
  }
}

/**
 * Lays a weight [out, in] (f32 or bf16, any strides) out for `packedLinear`. No more memory than the weight's, but for
 * rows to a multiple of 32, and in bf16 columns to one of 32. The weight stays as it is; changes to it do not reach what was packed.
 * No scope frees the result: it lives until `dispose()` or until it is collected.
 * @throws ShapeError, DTypeError
 */
export function packWeight(w: Tensor): PackedWeight {
  const shape = matrixShape('packWeight', w, ['f32', 'bf16'])
  const packed = pack({ w }, {}).packed
  packed.kept = true
  return new PackedWeight(packed, shape, w.dtype as PackedDType)
}

/**
 * What `x.linear(weight, bias, options)` gives, from a packed weight: 1.3 to 2 times as fast for few rows (decoding), a few
 * percent for many. On the CPU a row's bits depend neither on the rows beside it nor on the number of threads. They are those of
 * `linear` for more than 16 rows; fewer rows are summed in another order there and may differ in the last bits. f32 weights
 * are multiplied in f32 whatever `setFloat32MatmulPrecision` says: pack them in bf16 instead.
 *
 * For inference: backward through it throws AutogradError.
 * @param x [..., in], of the weight's dtype
 * @param bias [out], of the weight's dtype
 * @param options as of `linear`, all in the pass that writes the result
 * @returns [..., out]
 */
export function packedLinear(
  x: Tensor,
  weight: PackedWeight,
  bias?: Tensor,
  options: LinearOptions = {},
): Tensor {
  wantTensors('packedLinear', { x }, { bias })
  if (!(weight instanceof PackedWeight))
    throw new DTypeError('packedLinear', 'weight must come from packWeight.')
  if (x.dtype !== weight.dtype) {
    throw new DTypeError(
      'packedLinear',
      `x must be ${weight.dtype} as the weight, got ${x.describe()}. Convert it with .to('${weight.dtype}').`,
    )
  }
  const { rows, whole } = rowsFor('packedLinear', x, weight, bias, options)
  const { dtype, scale, activation, residual, gate } = outputOf('packedLinear', x, options)
  const given = {
    x: rows,
    packed: weight.packed.contiguous(),
    bias,
    residual: residual && asRows(residual),
    gate: gate && asRows(gate),
  }
  const { y } = product(given, { out: weight.shape[0], dtype, scale, activation })
  return x.ndim === 2 ? y : y.reshape(whole)
}
