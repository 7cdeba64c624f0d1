// The 2-D absolute position bias (PAPER.md 6.3): a table for rows and one for columns, read at places relative to the image's
// size, so that it means the same at every patch size, and added once to the patch embeddings.
import { tensor, type DeviceName, type Tensor } from '@shakti/tensor'
import { initNormal } from './init.js'
import { Module } from './module.js'
import { parameter, type Parameter } from './parameter.js'

/** Linear interpolation of a table of `grid` entries at `n` places: a matrix [n, grid]. */
export function interpolationMatrix(n: number, grid: number): Float32Array {
  const m = new Float32Array(n * grid)
  for (let i = 0; i < n; i++) {
    const u = Math.min(Math.max(((i + 0.5) / n) * grid - 0.5, 0), grid - 1)
    const low = Math.floor(u)
    const high = Math.min(low + 1, grid - 1)
    m[i * grid + low]! += 1 - (u - low)
    m[i * grid + high]! += u - low
  }
  return m
}

export class PositionBias2d extends Module {
  readonly posRow: Parameter
  readonly posCol: Parameter
  readonly #matrices = new Map<number, Tensor>()

  constructor(
    readonly grid: number,
    readonly width: number,
  ) {
    super()
    this.posRow = parameter([grid, width], initNormal())
    this.posCol = parameter([grid, width], initNormal())
  }

  #matrix(n: number, device: DeviceName): Tensor {
    let m = this.#matrices.get(n)
    if (m?.device !== device) {
      m = tensor(interpolationMatrix(n, this.grid), { shape: [n, this.grid], device })
      m.kept = true
      // Images of ever new shapes must not fill the memory: the oldest matrix goes, to the collector.
      if (this.#matrices.size >= 64) this.#matrices.delete(this.#matrices.keys().next().value!)
      this.#matrices.set(n, m)
    }
    return m
  }

  /** [rows * columns, width], in the tables' dtype; interpolated and summed in f32. */
  forward(rows: number, columns: number): Tensor {
    const { device, dtype } = this.posRow
    const r = this.#matrix(rows, device).matmul(this.posRow.ready(device).float()).unsqueeze(1)
    const c = this.#matrix(columns, device).matmul(this.posCol.ready(device).float()).unsqueeze(0)
    return r
      .add(c)
      .reshape([rows * columns, this.width])
      .to(dtype)
  }
}
