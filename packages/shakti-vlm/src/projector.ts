// From patches to the decoder's embedding space (PAPER.md 6.5): merge x merge neighbours side by side, then LayerNorm and a
// two-layer MLP with GELU. With merge 1 it is the plain MLP of LLaVA's kind.
import { frugal, LayerNorm, Linear, Module } from '@shakti/nn'
import { ShapeError, type Tensor } from '@shakti/tensor'

export class Projector extends Module {
  static override names = { fc1: 'linear_1', fc2: 'linear_2' }
  readonly norm: LayerNorm
  readonly fc1: Linear
  readonly fc2: Linear

  constructor(
    readonly visionWidth: number,
    readonly width: number,
    readonly merge: number,
  ) {
    super()
    const merged = visionWidth * merge * merge
    this.norm = new LayerNorm(merged)
    this.fc1 = new Linear(merged, width)
    this.fc2 = new Linear(width, width)
  }

  /** Patches [b, rows * columns, visionWidth] to tokens [b, rows / merge * columns / merge, width], row by row. */
  forward(x: Tensor, rows: number, columns: number): Tensor {
    const { merge: m, visionWidth: d } = this
    const b = x.shape[0]!
    if (rows % m !== 0 || columns % m !== 0 || x.shape[1] !== rows * columns) {
      throw new ShapeError(
        'Projector',
        `a grid of ${rows} x ${columns} patches must have sides that ${m} divides and fit x ${x.describe()}.`,
        [x.shape],
      )
    }
    return frugal(() => {
      const merged = x
        .reshape([b, rows / m, m, columns / m, m, d])
        .permute([0, 1, 3, 2, 4, 5])
        .reshape([b, (rows / m) * (columns / m), m * m * d])
      return this.fc2.forward(this.fc1.forward(this.norm.forward(merged), { activation: 'gelu' }))
    })
  }
}
