// The vision encoder: patches of a chosen size, 2-D position bias, then blocks that are Pre-LayerNorm at first and
// RMSNorm behind the branch later, with QK-norm and 2-D RoPE in every attention (PAPER.md 6.1 - 6.4).
import { cat, ShapeError, tensor, type DeviceName, type Tensor } from '@shakti/tensor'
import {
  frugal,
  initFanIn,
  initZeros,
  MLP,
  Module,
  ModuleList,
  parameter,
  PositionBias2d,
  RMSNorm,
  rotaryTable2d,
  throughBlocks,
  TransformerBlock,
  type AttentionInputs,
  type NormScheme,
  type Parameter,
  type RotaryTable,
} from '@shakti/nn'
import type { VisionConfig } from '../config.js'
import { kernelResize } from './flexiPatch.js'

/** One learned kernel [width, 3, base, base], resized to the patch size in use. */
export class PatchEmbed extends Module {
  readonly weight: Parameter
  readonly bias: Parameter

  constructor(
    readonly width: number,
    readonly base: number,
  ) {
    super()
    this.weight = parameter([width, 3, base, base], initFanIn())
    this.bias = parameter([width], initZeros)
  }

  /**
   * Pixels [b, h, w, 3] with sides that are multiples of p: [b, h / p * w / p, width], row by row, in the weight's dtype.
   * The kernel is resized in f32.
   */
  forward(pixels: Tensor, p: number): Tensor {
    const [b, h, w, c] = pixels.shape as [number, number, number, number]
    if (pixels.ndim !== 4 || c !== 3 || h % p !== 0 || w % p !== 0) {
      throw new ShapeError(
        'PatchEmbed',
        `pixels must be [batch, h, w, 3] with sides that ${p} divides, got ${pixels.describe()}.`,
        [pixels.shape],
      )
    }
    const weight = this.weight.ready(pixels.device)
    const kernel =
      p === this.base
        ? weight.reshape([this.width, -1])
        : weight
            .float()
            .reshape([this.width * 3, -1])
            .matmul(kernelResize(this.base, p, pixels.device))
            .reshape([this.width, 3 * p * p])
            .to(weight.dtype)
    const patches = pixels
      .to(weight.dtype)
      .reshape([b, h / p, p, w / p, p, 3])
      .permute([0, 1, 3, 5, 2, 4])
      .reshape([b, (h / p) * (w / p), 3 * p * p])
    return patches.linear(kernel, this.bias)
  }
}

const lateScheme: Readonly<Record<VisionConfig['lateNorm'], NormScheme>> = {
  branch: 'branch',
  classic: 'classic',
  pre: 'pre-rms',
}

export class VisionEncoder extends Module {
  static override names = { norm: 'post_layernorm' }
  readonly embeddings: VisionEmbeddings
  readonly encoder: VisionLayers
  readonly norm: RMSNorm
  activationCheckpointing = false

  constructor(readonly config: VisionConfig) {
    super()
    this.embeddings = new VisionEmbeddings(config)
    this.encoder = new VisionLayers(config)
    this.norm = new RMSNorm(config.width, config.normEps)
  }

  /**
   * Images of one size.
   * @param pixels f32 [b, h, w, 3], normalised
   * @param patch side of a patch, one of the config's sizes
   * @returns [b, patches, width], patches row by row
   */
  forward(pixels: Tensor, patch: number): Tensor {
    const { x, rows, columns } = this.#embed(pixels, patch)
    return this.#blocks(x, { rotary: this.#rotary(rows, columns, x.device) })
  }

  /**
   * Images of several sizes in one pass, packed into one sequence in which none attends to another.
   * @param groups images of one size each, as for `forward`
   * @returns for each group what `forward` gives
   */
  forwardPacked(groups: readonly { readonly pixels: Tensor; readonly patch: number }[]): Tensor[] {
    const embedded = groups.map(({ pixels, patch }) => this.#embed(pixels, patch))
    const borders = [0]
    const tables: RotaryTable[] = []
    for (const { x, rows, columns } of embedded) {
      for (let i = 0; i < x.shape[0]!; i++) {
        borders.push(borders.at(-1)! + rows * columns)
        tables.push(this.#rotary(rows, columns, x.device))
      }
    }
    const { width } = this.config
    const packed = this.#blocks(
      cat(
        embedded.map(({ x }) => x.reshape([1, -1, width])),
        1,
      ),
      {
        cuSeqlens: tensor(Int32Array.from(borders), { device: this.device }),
        rotary: {
          cos: cat(
            tables.map((t) => t.cos),
            1,
          ),
          sin: cat(
            tables.map((t) => t.sin),
            1,
          ),
        },
      },
    )
    let at = 0
    return embedded.map(({ x }) => {
      const [b, n] = x.shape as [number, number]
      const part = packed.narrow(1, at, b * n).reshape([b, n, width])
      at += b * n
      return part
    })
  }

  #embed(pixels: Tensor, patch: number): { x: Tensor; rows: number; columns: number } {
    const { patchSizes, maxPatches } = this.config
    if (!patchSizes.includes(patch)) {
      throw new ShapeError(
        'VisionEncoder',
        `patch size ${patch} is not one of ${patchSizes.join(', ')}.`,
      )
    }
    const [rows, columns] = [pixels.shape[1]! / patch, pixels.shape[2]! / patch]
    if (rows * columns > maxPatches) {
      throw new ShapeError(
        'VisionEncoder',
        `${rows} x ${columns} patches are more than the ${maxPatches} allowed. Use larger patches or a smaller image.`,
      )
    }
    return { x: this.embeddings.forward(pixels, patch, rows, columns), rows, columns }
  }

  #rotary(rows: number, columns: number, device: DeviceName): RotaryTable {
    const { width, heads, ropeTheta } = this.config
    return this.encoder.rotary(rows, columns, width / heads, ropeTheta, device)
  }

  #blocks(x: Tensor, inputs: AttentionInputs): Tensor {
    const y = throughBlocks(x, this.encoder.layers, () => inputs, this.activationCheckpointing)
    return this.norm.forward(y)
  }
}

class VisionEmbeddings extends Module {
  readonly patchEmbedding: PatchEmbed
  readonly positionBias: PositionBias2d

  constructor({ width, basePatch, posGrid }: VisionConfig) {
    super()
    this.patchEmbedding = new PatchEmbed(width, basePatch)
    this.positionBias = new PositionBias2d(posGrid, width)
  }

  forward(pixels: Tensor, patch: number, rows: number, columns: number): Tensor {
    return frugal(() =>
      this.patchEmbedding.forward(pixels, patch).add(this.positionBias.forward(rows, columns)),
    )
  }
}

class VisionLayers extends Module {
  readonly layers: ModuleList<TransformerBlock>
  readonly #tables = new Map<string, RotaryTable>()

  constructor(config: VisionConfig) {
    super()
    const { layers, preNormLayers, lateNorm, width, heads, mlp, qkNorm, normEps } = config
    this.layers = new ModuleList(
      Array.from(
        { length: layers },
        (_, i) =>
          new TransformerBlock({
            norm: i < preNormLayers ? 'pre-layer' : lateScheme[lateNorm],
            eps: normEps,
            attention: { width, heads, qkNorm, eps: normEps },
            mlp: () => new MLP(width, mlp),
          }),
      ),
    )
  }

  /** The table of a grid, kept for the next image like it. */
  rotary(
    rows: number,
    columns: number,
    headDim: number,
    theta: number,
    device: DeviceName,
  ): RotaryTable {
    const key = `${rows}x${columns} on ${device}`
    let t = this.#tables.get(key)
    if (!t) {
      // Images of ever new shapes must not fill the memory: the oldest table goes, to the collector.
      if (this.#tables.size >= 64) this.#tables.delete(this.#tables.keys().next().value!)
      this.#tables.set(key, (t = rotaryTable2d(rows, columns, headDim, theta, device)))
    }
    return t
  }
}
