// Puts other layers in the place of some of a module's.
import { ShaktiError } from '@shakti/tensor'
import { Linear } from './layers.js'
import type { Module } from './module.js'
import { matchesPattern } from './names.js'
import type { Parameter } from './parameter.js'

export interface WhichLinears {
  /** Which Linears, by path (`decoder.*`); default all. */
  only?: readonly string[]
  /** Which of them to leave as they are (`*.lmHead`). */
  except?: readonly string[]
}

/**
 * Puts what `make` gives in the place of each layer that `fits`, once all are made: an error leaves the module as it was.
 * Layers whose weight, as `weightOf` gives it, is the same one are made with the first of them as `like`.
 * @returns the new layers, one a weight
 */
export function replaceLayers<From extends Module, Weight, To extends Module>(
  module: Module,
  fits: (layer: Module, path: string) => layer is From,
  weightOf: (layer: From) => Weight,
  make: (layer: From, like: To | undefined) => To,
): Map<Weight, To> {
  const made = new Map<Weight, To>()
  const places: (() => void)[] = []
  for (const [path, parent] of module.namedModules()) {
    for (const [key, child] of parent.children()) {
      if (!fits(child, path ? `${path}.${key}` : key)) continue
      const weight = weightOf(child)
      const layer = make(child, made.get(weight))
      places.push(() => ((parent as unknown as Record<string, Module>)[key] = layer))
      if (!made.has(weight)) made.set(weight, layer)
    }
  }
  for (const place of places) place()
  return made
}

/** The same for the Linears of a module; weights that it then no longer holds are freed. */
export function replaceLinears<To extends Module>(
  name: string,
  module: Module,
  { only = ['*'], except = [] }: WhichLinears,
  make: (linear: Linear, like: To | undefined) => To,
): void {
  const any = (path: string, patterns: readonly string[]): boolean =>
    patterns.some((p) => matchesPattern(path, p))
  const made = replaceLayers(
    module,
    (layer, path): layer is Linear =>
      layer instanceof Linear && any(path, only) && !any(path, except),
    (linear): Parameter => linear.weight,
    make,
  )
  if (made.size === 0)
    throw new ShaktiError(name, `no Linear fits ${only.map((p) => `'${p}'`).join(', ')}.`)
  const held = new Set(module.parameters())
  for (const weight of made.keys()) if (!held.has(weight)) weight.dispose()
}
