// Puts the methods of every family on Tensor. An explicit call, since bundlers drop modules imported for effect alone.
import { Tensor } from '../tensor.js'
import { cast } from './cast.js'
import { elementwise } from './elementwise.js'
import { indexOps } from './index-ops.js'
import { matmulOps } from './matmul.js'
import { reduce } from './reduce.js'
import { shapeOps } from './shape-ops.js'
import { softmaxOps } from './softmax.js'
import { sortOps } from './sort.js'

/** Every family by name, for the tests that go over the table. */
export const families = {
  cast,
  elementwise,
  indexOps,
  matmulOps,
  reduce,
  shapeOps,
  softmaxOps,
  sortOps,
}

export function install(): void {
  for (const family of Object.values(families)) {
    for (const [name, fn] of Object.entries(family) as [
      string,
      (x: Tensor, ...args: never[]) => unknown,
    ][]) {
      Object.defineProperty(Tensor.prototype, name, {
        value(this: Tensor, ...args: never[]) {
          return fn(this, ...args)
        },
        writable: true,
        configurable: true,
      })
    }
  }
}
