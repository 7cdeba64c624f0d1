// Syntax trees to a nondeterministic automaton, in arrays by node. A look-ahead is a program of its own, with its own
// MATCH, that stands before the programs that ask for it.

import { PatternError } from './syntax.js'
import type { EdgeTest, Node } from './syntax.js'
import { partition } from './ranges.js'
import type { CodePointSet, Partition } from './ranges.js'

export const MATCH = 0
export const SET = 1
export const SPLIT = 2
export const AHEAD = 3
export const EDGE = 4

export interface Program {
  readonly kind: Uint8Array
  /** Where a node leads; a SPLIT prefers it to `other`. */
  readonly out: Int32Array
  readonly other: Int32Array
  /** SET: its index in `member`. AHEAD: the node its program starts at. EDGE: its index in `edges`. */
  readonly arg: Int32Array
  readonly negated: Uint8Array
  readonly start: number
  /** First node of each program and the end; the main one is the last. */
  readonly bounds: readonly number[]
  /** Nodes that lead to a node without taking a character. */
  readonly before: readonly (readonly number[])[]
  readonly classes: Partition
  /** For each SET's index, 1 at each class it takes. */
  readonly member: readonly Uint8Array[]
  readonly edges: readonly { readonly test: EdgeTest; readonly member: Uint8Array }[]
}

const MAX_NODES = 4096
const MAX_CLASSES = 1024

export function compile(tree: Node, pattern: string): Program {
  const kind: number[] = []
  const out: number[] = []
  const other: number[] = []
  const arg: number[] = []
  const negated: number[] = []
  const sets: CodePointSet[] = []
  const edges: { test: EdgeTest; set: number }[] = []
  const bounds: number[] = [0]

  const add = (k: number, to: number, a = -1, alternative = -1, not = false): number => {
    if (kind.length >= MAX_NODES) {
      throw new PatternError(pattern, 0, `its automaton has more than ${MAX_NODES} states`)
    }
    out.push(to)
    other.push(alternative)
    arg.push(a)
    negated.push(not ? 1 : 0)
    return kind.push(k) - 1
  }
  const keep = (set: CodePointSet): number => {
    const known = sets.indexOf(set)
    return known >= 0 ? known : sets.push(set) - 1
  }
  const aheads = new Map<Node, number>()

  /** Look-aheads inside `node`, innermost first, each a program. */
  const aheadsOf = (node: Node): void => {
    if (node.kind === 'sequence' || node.kind === 'choice') node.items.forEach(aheadsOf)
    else if (node.kind === 'repeat') aheadsOf(node.item)
    else if (node.kind === 'ahead' && !aheads.has(node)) {
      aheadsOf(node.item)
      aheads.set(node, build(node.item, add(MATCH, -1)))
      bounds.push(kind.length)
    }
  }

  /** Nodes that match `node` and go on at `to`; the first of them. Built from the end, so that `to` is there. */
  const build = (node: Node, to: number): number => {
    switch (node.kind) {
      case 'set':
        return add(SET, to, keep(node.set))
      case 'sequence':
        return node.items.reduceRight((next, item) => build(item, next), to)
      case 'choice':
        return node.items
          .map((item) => () => build(item, to))
          .reduceRight<number>(
            (rest, make) => (rest < 0 ? make() : add(SPLIT, make(), -1, rest)),
            -1,
          )
      case 'ahead':
        return add(AHEAD, to, aheads.get(node)!, -1, node.negated)
      case 'edge':
        return add(EDGE, to, edges.push({ test: node.test, set: keep(node.set) }) - 1)
      case 'repeat': {
        const split = (inside: number, after: number): number =>
          node.greedy ? add(SPLIT, inside, -1, after) : add(SPLIT, after, -1, inside)
        let next = to
        let required = node.min
        if (node.max === Infinity) {
          const loop = split(-1, to)
          const body = build(node.item, loop)
          if (node.greedy) out[loop] = body
          else other[loop] = body
          // x+ enters its loop at the body.
          next = required > 0 ? body : loop
          if (required > 0) required--
        } else {
          for (let n = node.min; n < node.max; n++) next = split(build(node.item, next), to)
        }
        for (let n = 0; n < required; n++) next = build(node.item, next)
        return next
      }
    }
  }

  aheadsOf(tree)
  const start = build(tree, add(MATCH, -1))
  bounds.push(kind.length)
  const classes = partition(sets)
  if (classes.classes > MAX_CLASSES) {
    throw new PatternError(
      pattern,
      0,
      `it tells more than ${MAX_CLASSES} classes of characters apart`,
    )
  }
  const before: number[][] = kind.map(() => [])
  kind.forEach((k, node) => {
    if (k === SPLIT || k === AHEAD || k === EDGE) before[out[node]!]!.push(node)
    if (k === SPLIT) before[other[node]!]!.push(node)
  })
  return {
    kind: Uint8Array.from(kind),
    out: Int32Array.from(out),
    other: Int32Array.from(other),
    arg: Int32Array.from(arg),
    negated: Uint8Array.from(negated),
    start,
    bounds,
    before,
    classes,
    member: classes.members,
    edges: edges.map(({ test, set }) => ({ test, member: classes.members[set]! })),
  }
}
