// Walks the tape from a result to the leaves, latest node first, freeing what each node saved as soon as its gradients
// are issued. Iterative: a graph may be deeper than the call stack.
import { AutogradError, DTypeError, ShapeError } from '../errors.js'
import { filled, issueOne } from '../native/encode.js'
import { formatShape, sameShape, type Shape } from '../shape.js'
import { inScope, unowned } from '../scope.js'
import type { Tensor } from '../tensor.js'
import { Node, withGrad, type InputMeta, type Part } from './tape.js'

export interface BackwardOptions {
  /** Keep what the graph saved, for another backward. Default false; implied by `createGraph`. */
  retainGraph?: boolean
  /** Record the backward itself, for second derivatives. Default false. */
  createGraph?: boolean
}

/** Sums a gradient over the dimensions that broadcasting stretched, and gives it the input's dtype. */
function fit(g: Tensor, meta: InputMeta): Tensor {
  let out = g
  if (!sameShape(g.shape, meta.shape)) out = sumTo(out, meta.shape)
  return out.dtype === meta.dtype ? out : out.to(meta.dtype)
}

function sumTo(g: Tensor, shape: Shape): Tensor {
  const lead = g.ndim - shape.length
  const dims: number[] = []
  for (let d = 0; d < g.ndim; d++)
    if (d < lead || (shape[d - lead] === 1 && g.shape[d] !== 1)) dims.push(d)
  return g.sum(dims, { keepDim: true }).reshape(shape)
}

let walks = 0

function reachable(root: Node): Node[] {
  const walk = ++walks
  root.walk = walk
  const nodes = [root]
  // The list grows as it is walked.
  for (const node of nodes) {
    for (const e of node.edges) {
      if (!(e instanceof Node) || e.walk === walk) continue
      e.walk = walk
      nodes.push(e)
    }
  }
  return nodes.sort((a, b) => b.order - a.order)
}

/** Gradients that have arrived and were not passed on yet. */
interface Pending {
  readonly grads: Map<Node, Tensor>
  /** Of the gradients that are 0 but for parts of theirs: these parts, all in one dimension. */
  readonly parts: Map<Node, Part[]>
}

/**
 * q, k and v cut out of one tensor: the gradient of each is written to its place, instead of being padded with zeros and
 * added. False when something else has arrived there too.
 */
function accumulatePart(pending: Pending, target: Node, part: Part, g: Tensor): boolean {
  const whole = pending.grads.get(target)
  const others = pending.parts.get(target)
  if (!whole || !others || whole.dtype !== g.dtype || whole.storage.refs !== 1) return false
  if (others.some((o) => o.dim !== part.dim || (o.from < part.to && part.from < o.to))) return false
  others.push(part)
  issueOne('copy', [g], part.of(whole))
  return true
}

/** Adds `g` to what has arrived at `target` before. Without createGraph the engine owns both, and adds in place. */
function accumulate(
  { grads: into, parts }: Pending,
  target: Node,
  g: Tensor,
  createGraph: boolean,
  part?: Part,
): void {
  const before = into.get(target)
  if (part && !before) parts.set(target, [part])
  else parts.delete(target)
  if (!before) {
    into.set(target, g.alias())
    return
  }
  const inPlace =
    !createGraph && before.storage.refs === 1 && before.isContiguous() && before.dtype === g.dtype
  if (inPlace) issueOne('add', [before, g], before, [0, 0])
  else {
    into.set(target, before.add(g).alias())
    before.dispose()
  }
}

/** @param passing what the engine holds of the gradient's memory and is about to release */
function accumulateLeaf(leaf: Tensor, g: Tensor, createGraph: boolean, passing?: Tensor): void {
  const before = leaf.grad
  if (createGraph) {
    leaf.grad = before ? before.add(g) : g.alias()
    return
  }
  if (before) {
    if (before.isContiguous() && before.dtype === g.dtype)
      issueOne('add', [before, g], before, [0, 0])
    else leaf.grad = unowned(() => before.add(g))
    return
  }
  // Taken over when nobody else can see the memory, else copied: a gradient must not change with something else.
  const view = passing !== undefined && passing !== g && passing.storage === g.storage
  const own = g.storage.refs === (view ? 2 : 1) && g.isContiguous()
  leaf.grad = own
    ? g.alias()
    : unowned(() => issueOne('copy', [g], { shape: g.shape, dtype: g.dtype }))
  leaf.grad!.storage.guardSoon()
}

function seed(root: Tensor, gradient: Tensor | undefined): Tensor {
  if (!gradient) {
    if (root.numel !== 1) {
      throw new ShapeError(
        'backward',
        `starts from one number, ${root.describe()} has ${root.numel}. Reduce it (mean(), sum()) or pass the gradient.`,
        [root.shape],
      )
    }
    return filled(root, 1, root)
  }
  if (!sameShape(gradient.shape, root.shape)) {
    throw new ShapeError(
      'backward',
      `the gradient is ${formatShape(gradient.shape)}, the tensor ${formatShape(root.shape)}; they must be equal.`,
      [gradient.shape, root.shape],
    )
  }
  if (gradient.dtype !== root.dtype) {
    throw new DTypeError('backward', `the gradient is ${gradient.dtype}, the tensor ${root.dtype}.`)
  }
  return gradient
}

function runNode(node: Node, passing: Tensor, pending: Pending, createGraph: boolean): void {
  let g = passing
  if (node.hooks) for (const hook of node.hooks) g = hook(g) ?? g
  const { part } = node
  if (part && !createGraph) {
    const [edge] = node.edges
    if (edge instanceof Node && accumulatePart(pending, edge, part, g)) return
  }
  const grads = node.rule(g, node)
  for (let i = 0; i < node.edges.length; i++) {
    const edge = node.edges[i]
    if (edge === undefined) continue
    const given = grads[i]
    if (!given) {
      throw new AutogradError(
        node.op,
        `its gradient rule returned nothing for input ${i}, which requires a gradient.`,
      )
    }
    const fitted = fit(given, node.metas[i]!)
    if (edge instanceof Node) accumulate(pending, edge, fitted, createGraph, part)
    else accumulateLeaf(edge, fitted, createGraph, passing)
  }
}

export function backward(root: Tensor, gradient?: Tensor, options: BackwardOptions = {}): void {
  const { createGraph = false, retainGraph = createGraph } = options
  root.assertLive('backward')
  if (!root.requiresGrad) {
    throw new AutogradError(
      'backward',
      `${root.toString()} does not depend on anything that requires a gradient.`,
    )
  }
  withGrad(createGraph, () => {
    const first = root.gradFn
    if (!first) {
      inScope(() => accumulateLeaf(root, seed(root, gradient), createGraph))
      return
    }
    const pending: Pending = { grads: new Map(), parts: new Map() }
    const { grads } = pending
    inScope(() => grads.set(first, seed(root, gradient).alias()) && undefined)
    for (const node of reachable(first)) {
      const g = grads.get(node)
      if (!g) continue
      grads.delete(node)
      try {
        // Without createGraph, what a rule makes on the way is freed at once.
        if (createGraph) runNode(node, g, pending, true)
        else inScope(() => runNode(node, g, pending, false))
      } catch (error) {
        if (node.stack && error instanceof Error) error.message += `\nIssued here:\n${node.stack}`
        throw error
      }
      if (!createGraph) g.dispose()
      if (!retainGraph) node.free()
    }
  })
}
