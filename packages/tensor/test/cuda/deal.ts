// Operands for the GPU and the CPU alike, and how the cases of families.ts are written down.
import {
  manualSeed,
  noGrad,
  randint,
  randn,
  tensor,
  type DeviceName,
  type DType,
  type Tensor,
} from '@shakti/tensor'

/** Hands out operands, the same on every device: they are drawn on the CPU and moved. */
export class Deal {
  constructor(readonly device: DeviceName) {
    manualSeed(12)
  }
  normal(shape: readonly number[], dtype: DType = 'f32', scale = 1): Tensor {
    return noGrad(() => randn(shape, { device: 'cpu' }).mul(scale).to(dtype).to(this.device))
  }
  integers(below: number, shape: readonly number[], dtype: DType = 'i32'): Tensor {
    return randint(0, below, shape, { device: 'cpu' }).to(dtype).to(this.device)
  }
  of(values: readonly number[], dtype: DType): Tensor {
    return tensor(values, { dtype, device: this.device })
  }
  /** What fn gives for these operands, and the gradients that come back to them. */
  both(operands: readonly Tensor[], fn: (...operands: Tensor[]) => Tensor): Tensor[] {
    const leaves = operands.map((t) => t.detach().requiresGrad_())
    const y = fn(...leaves)
    y.backward(this.normal(y.shape, y.dtype))
    return [y.detach(), ...leaves.map((t) => t.grad!)]
  }
}

export interface Case {
  readonly name: string
  /** The results, in an order of its own. */
  run(d: Deal): Tensor[]
  /** How many times the rounding of its dtype a result may be off; default 1, 0: not at all. */
  readonly slack?: number
}

export const sizes = [1, 7, 31, 33, 64, 100]
export const floats = ['f32', 'bf16', 'f16', 'f64'] as const
/** More elements than threads that any grid has. */
export const many = 620_000

export const one = (name: string, run: Case['run'], slack = 1): Case => ({ name, run, slack })
export const each = <T>(
  values: readonly T[],
  name: (v: T) => string,
  run: (d: Deal, v: T) => Tensor[],
  slack = 1,
): Case[] => values.map((v) => one(name(v), (d) => run(d, v), slack))
