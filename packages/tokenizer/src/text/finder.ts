// Finds many fixed texts in one pass: the longest at the leftmost place, then on after it.

import { PairMap } from './pair-map.js'

/**
 * Aho and Corasick's automaton over the texts spelt backwards, run from the end of a text: its state at a place tells
 * at once the longest of the texts that begins there. So nothing is read twice, whatever the texts are.
 */
export class Finder {
  private readonly edges: PairMap
  private readonly fallback: number[] = [0]
  /** The longest text that begins where a state is, or -1. */
  private readonly longest: number[] = [-1]
  /** 1 for the last units of texts: most units of a text are none and leave the root at once. */
  private readonly enters = new Uint8Array(0x10000)

  constructor(private readonly texts: readonly string[]) {
    this.edges = new PairMap(texts.reduce((n, text) => n + text.length, 0))
    const nodes: { parent: number; unit: number }[] = [{ parent: 0, unit: 0 }]
    const depths: number[][] = [] // nodes by depth
    texts.forEach((text, index) => {
      let node = 0
      for (let i = text.length - 1; i >= 0; i--) {
        const unit = text.charCodeAt(i)
        if (node === 0) this.enters[unit] = 1
        let next = this.edges.get(node, unit)
        if (next < 0) {
          next = nodes.push({ parent: node, unit }) - 1
          this.edges.set(node, unit, next)
          ;(depths[text.length - 1 - i] ??= []).push(next)
          this.longest.push(-1)
          this.fallback.push(0)
        }
        node = next
      }
      if (this.longest[node]! < 0) this.longest[node] = index
    })
    // Breadth first, so that the state to fall back to is complete.
    for (const level of depths) {
      for (const node of level) {
        const { parent, unit } = nodes[node]!
        if (parent !== 0) this.fallback[node] = this.step(this.fallback[parent]!, unit)
        if (this.longest[node]! < 0) this.longest[node] = this.longest[this.fallback[node]!]!
      }
    }
  }

  private step(from: number, unit: number): number {
    let node = from
    for (;;) {
      const next = this.edges.get(node, unit)
      if (next >= 0) return next
      if (node === 0) return 0
      node = this.fallback[node]!
    }
  }

  /** Places and indices of the texts found, flat: start, index, start, index... */
  find(text: string): number[] {
    const found: number[] = [] // from the end, overlapping
    let node = 0
    for (let i = text.length - 1; i >= 0; i--) {
      const unit = text.charCodeAt(i)
      if (node === 0 && this.enters[unit] === 0) continue
      node = this.step(node, unit)
      const index = this.longest[node]!
      if (index >= 0) found.push(i, index)
    }
    const kept: number[] = []
    let end = 0
    for (let k = found.length - 2; k >= 0; k -= 2) {
      const start = found[k]!
      if (start < end) continue
      kept.push(start, found[k + 1]!)
      end = start + this.texts[found[k + 1]!]!.length
    }
    return kept
  }
}
