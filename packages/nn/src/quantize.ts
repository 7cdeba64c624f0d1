// Puts linear layers whose weights are held in 8 or 4 bits in the place of others.
import type { QuantizeOptions } from '@shakti/tensor'
import type { Module } from './module.js'
import { QuantizedLinear } from './quantizedLinear.js'
import { replaceLinears, type WhichLinears } from './replace.js'

export interface QuantizeModuleOptions extends QuantizeOptions, WhichLinears {}

/**
 * Puts QuantizedLinears in the place of the Linears of a module, and frees the weights that it then no longer holds. A
 * weight that several Linears share is quantised once. To read a quantised module from a file, build it the same way
 * without values, `meta(() => quantize_(new Net(), options))`, and load its state dict.
 * @example quantize_(model, { bits: 4, except: ['*.lmHead'] })
 * @returns the module
 * @throws ShaktiError when no Linear fits
 */
export function quantize_<M extends Module>(module: M, options: QuantizeModuleOptions = {}): M {
  replaceLinears('quantize_', module, options, (linear, like?: QuantizedLinear) =>
    QuantizedLinear.from(linear, options, like),
  )
  return module
}
