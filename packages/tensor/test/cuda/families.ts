// What each family of kernels (kernels/src/ops/<family>/cuda.cu) is tried with: sizes on both sides of a warp, of a block, of a tile
// and of a stage, in each dtype, forward and backward. One table for three uses: against the CPU, under every way the simulator can
// run a program (modes.test.ts), and with faults planted in the kernels (kernels/test/cuda/mutants.ts).
import type { Case } from './deal.js'
import { elements } from './families/elements.js'
import { products } from './families/products.js'
import { rows } from './families/rows.js'

/** These compute what the CPU computes, step for step: to the bit. */
const exact = new Set(['copy', 'index', 'quant', 'random', 'sort'])

/** By name, as the folders of kernels/src/ops. */
export const families: Readonly<Record<string, readonly Case[]>> = Object.fromEntries(
  Object.entries({ ...elements, ...products, ...rows }).map(([name, cases]) => [
    name,
    exact.has(name) ? cases.map((c) => ({ ...c, slack: 0 })) : cases,
  ]),
)
