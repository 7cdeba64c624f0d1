// Memory that kernels of the CPU take beside their operands while they run, in bytes, from the sizes alone: as the workspace_
// functions under kernels/src/ops have it. For budgets; memoryBudget.test.ts holds them to what the allocator saw.

const up = (n: number, to: number): number => Math.ceil(n / to) * to

/** How the weights of products lie, which decides their kernel. */
export type Layout = 'plain' | 'packed' | { readonly bits: 8 | 4; readonly group: number }

/** Of a product [m, k] x [n, k]. @param size bytes of an element of the activations */
export function productWorkspace(
  m: number,
  n: number,
  k: number,
  size: number,
  layout: Layout,
): number {
  // matmul/blocking.h and packed_weight.h
  const row = up(k, 16) + 16
  if (layout === 'plain') {
    const columns = Math.min(up(n, 32), 2048)
    // A quarter of the last cache, 8 MiB at most, which is taken here.
    const depth = Math.min(Math.floor(2 ** 21 / columns / 512) * 512, up(k, 16))
    const sums = size === 2 && k > 512 ? m * n : 0
    return 4 * Math.max(depth * columns + sums, m <= 16 ? m * row : 0)
  }
  if (layout === 'packed') {
    const panels = Math.ceil(n / 32)
    const rows = 192 * (panels < 64 ? Math.ceil(64 / panels) : 1)
    return 4 * up(Math.min(m, rows), 16) * row
  }
  // quant/layout.h
  const groups = Math.ceil(k / layout.group)
  return up(m * groups * layout.group, 64) + 8 * m * groups
}

/** Of attention. @param heads of keys, in the whole batch @param rows queries that share a head of keys */
export function attentionWorkspace(
  heads: number,
  rows: number,
  keys: number,
  headDim: number,
): number {
  // attention/split.h
  const dp = up(headDim, 16)
  const cut = Math.ceil(rows / 192)
  const block = up(Math.ceil(rows / cut), 24)
  const blocks = Math.ceil(rows / block)
  const tasks = heads * blocks
  let parts = Math.max(1, Math.min(Math.ceil(32 / tasks), Math.floor(keys / 512)))
  if (tasks >= 32) parts = 1
  parts = Math.ceil(keys / up(Math.ceil(keys / parts), 64))
  const packed = blocks >= 4 ? up(keys, 64) * 2 * dp : 0
  return 4 * heads * (packed + (parts > 1 ? rows * parts * (dp + 2) : 0))
}
