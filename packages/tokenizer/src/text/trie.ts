import { PairMap } from './pair-map.js'

/** Texts by their UTF-16 units, one at a time. */
export class Trie {
  private readonly edges: PairMap
  private readonly values: number[] = [-1]

  constructor(expectedUnits = 8) {
    this.edges = new PairMap(expectedUnits)
  }

  add(text: string, value: number): void {
    let node = 0
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      let next = this.edges.get(node, unit)
      if (next < 0) {
        next = this.values.push(-1) - 1
        this.edges.set(node, unit, next)
      }
      node = next
    }
    this.values[node] = value
  }

  /** The node after `node` (the root is 0) and a unit, or -1. */
  step(node: number, unit: number): number {
    return this.edges.get(node, unit)
  }

  /** What was added with the text that leads to the node, or -1. */
  valueAt(node: number): number {
    return this.values[node]!
  }
}
