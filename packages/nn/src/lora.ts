// Low-rank adaptation (arXiv 2106.09685, equation 3): a frozen product plus a trained one of rank r.
import { applyEpilogue, noGrad, ShaktiError, type Epilogue, type Tensor } from '@shakti/tensor'
import { initFanIn, initZeros } from './init.js'
import { Linear } from './layers.js'
import { Module } from './module.js'
import { matchesPattern } from './names.js'
import { parameter, type Parameter } from './parameter.js'

export class LoRALinear extends Module {
  readonly base: Linear
  /** [rank, in] */
  readonly loraA: Parameter
  /** [out, rank]; 0 at first, so that nothing changes */
  readonly loraB: Parameter
  readonly scale: number
  #merged = false

  /** @param options.alpha the update is scaled by alpha / rank; default alpha = rank */
  constructor(base: Linear, rank: number, options: { alpha?: number } = {}) {
    super()
    const [out, width] = base.weight.shape as [number, number]
    if (!Number.isInteger(rank) || rank < 1 || rank > Math.min(out, width)) {
      throw new ShaktiError(
        'LoRA',
        `rank must be an integer from 1 to ${Math.min(out, width)}, got ${rank}.`,
      )
    }
    this.base = base
    base.freeze()
    this.loraA = parameter([rank, width], initFanIn())
    this.loraB = parameter([out, rank], initZeros)
    this.scale = (options.alpha ?? rank) / rank
  }

  forward(x: Tensor, epilogue: Epilogue = {}): Tensor {
    if (this.#merged) return this.base.forward(x, epilogue)
    const update = x.linear(this.loraA.ready(x.device)).linear(this.loraB, undefined, {
      scale: this.scale,
      residual: this.base.forward(x),
    })
    return applyEpilogue(update, epilogue)
  }

  #addUpdate(sign: number): void {
    // quantize_ or pack_ may have put another layer there.
    if (!((this.base as Module) instanceof Linear))
      throw new ShaktiError(
        'LoRA',
        'the base is quantised or packed and cannot take the update. Merge first.',
      )
    noGrad(() => this.base.weight.add_(this.loraB.matmul(this.loraA).mul(sign * this.scale)))
  }

  /** Adds the update to the base weight: from now on a plain product. */
  merge(): void {
    if (this.#merged) return
    this.#addUpdate(1)
    this.#merged = true
  }

  unmerge(): void {
    if (!this.#merged) return
    this.#addUpdate(-1)
    this.#merged = false
  }
}

/**
 * Puts LoRA layers in the place of all Linears whose path fits a pattern (`decoder.*.qProj`). Freeze the model first:
 * the new matrices are then all that trains.
 * @returns the new layers, by path
 */
export function addLora(
  model: Module,
  patterns: readonly string[],
  rank: number,
  options: { alpha?: number } = {},
): Map<string, LoRALinear> {
  const added = new Map<string, LoRALinear>()
  const inside = [...model.namedModules()]
  for (const [path, parent] of inside) {
    if (parent instanceof LoRALinear) continue
    for (const [key, child] of parent.children()) {
      const name = path ? `${path}.${key}` : key
      if (!(child instanceof Linear) || !patterns.some((p) => matchesPattern(name, p))) continue
      const lora = new LoRALinear(child, rank, options)
      ;(parent as unknown as Record<string, Module>)[key] = lora
      added.set(name, lora)
    }
  }
  if (added.size === 0)
    throw new ShaktiError('addLora', `no Linear fits ${patterns.map((p) => `'${p}'`).join(', ')}.`)
  return added
}
